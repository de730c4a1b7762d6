#!/usr/bin/env python3
"""The suites that users run and copy pass on the small guest, as they stand. Those of managed devices
(testsuites/mdm) have a guest of their own: mdm_suites.py."""
import os
import pathlib
import subprocess
import sys
import tempfile

VMTEST = os.environ["VMTEST_PROGRAM"]
SUITES = pathlib.Path(__file__).resolve().parents[2] / "testsuites"


def main():
    if subprocess.run([VMTEST, "image", "show", "small"], capture_output=True).returncode:
        print("skipped: there is no image \"small\" (vmtest image build small)")
        return 77
    with tempfile.TemporaryDirectory(prefix="vmtest-suites-") as folder:
        return subprocess.run([VMTEST, "run", "-j", "1", "-o", folder + "/results",
                               *sorted(SUITES.glob("*.lua"))]).returncode


sys.exit(main())
