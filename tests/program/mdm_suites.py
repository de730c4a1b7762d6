#!/usr/bin/env python3
"""The suites for MDM that users run and copy. `run`: all pass on the stand-in, where there is the image
"device". `lint`: their profiles have no finding but those that are true of them (no VM)."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

VMTEST = os.environ["VMTEST_PROGRAM"]
KNOWN = {("wifi.mobileconfig", "not-in-vm"),
         ("system-extensions.mobileconfig", "needs-user-approved-mdm")}
SUITES = pathlib.Path(__file__).resolve().parents[2] / "testsuites" / "mdm"


def lint():
    profiles = sorted(SUITES.glob("profiles/*.mobileconfig"))
    assert profiles
    r = subprocess.run([VMTEST, "profile", "lint", "--os", "15.1", "--json", *profiles],
                       capture_output=True, text=True, check=False)
    assert r.returncode in (0, 1), r.stderr
    found = {(pathlib.Path(f["file"]).name, f["rule"]) for f in json.loads(r.stdout)}
    assert found == KNOWN, found ^ KNOWN


def run():
    if subprocess.run([VMTEST, "image", "show", "device"], capture_output=True, check=False).returncode:
        print('skipped: there is no image "device" (vmtest image build device)')
        return 77
    # once more where one fails: an installation has hung once, for a reason not known (docs/limits.md)
    return run_all() and run_all()


def run_all():
    environment = {k: v for k, v in os.environ.items() if k != "VMTEST_IMAGE"}
    with tempfile.TemporaryDirectory(prefix="vmtest-suites-") as folder:
        r = subprocess.run([VMTEST, "run", "-j", "2", "-o", folder + "/results", *sorted(SUITES.glob("*.lua"))],
                           env=environment, capture_output=True, text=True, check=False)
    print(r.stdout, r.stderr, flush=True)
    assert "skipped: " not in r.stdout, "a suite was skipped"
    return r.returncode


sys.exit({"lint": lint, "run": run}[sys.argv[1]]())
