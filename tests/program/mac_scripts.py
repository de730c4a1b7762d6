#!/usr/bin/env python3
"""What scripts/mac and the recipe `macos` do, as far as that can be known without a Mac: what they refuse,
what they would run, the files that they make, and a whole build in which the programs of macOS, the helper
and the guest are stand-ins."""
import importlib.util
import json
import os
import pathlib
import plistlib
import shutil
import stat
import subprocess
import sys
import tempfile

from vt import check, contains, equal, main

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAC, RECIPE = ROOT / "scripts" / "mac", ROOT / "scripts" / "recipes" / "macos"
AGENT_JOB = ROOT / "shim" / "agent" / "vmtest.agent.plist"
DRY = ["--dry-run", "ipsw=/images/x.ipsw"]


def load(name):
    spec = importlib.util.spec_from_file_location(name, MAC / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    return module


def run(*words, env=None, data=None):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120,
                          input=data, check=False, env={**os.environ, **(env or {})})


class Folder:
    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-mac-")).resolve()
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


# --- refusals ---

def test_they_need_a_mac():
    if sys.platform == "darwin":
        return
    with Folder() as folder:
        env = {"VMTEST_IMAGE_DIR": str(folder), "VMTEST_WORK_DIR": str(folder),
               "VMTEST_SET_ipsw": "/images/x.ipsw"}
        for ran in (run(RECIPE, env=env), run(RECIPE, "ipsw=latest"),
                    run(MAC / "sign", shutil.which("true"))):
            equal(ran.returncode, 1, ran.stderr)
            contains(ran.stderr, "needs a Mac")
        equal(list(folder.iterdir()), [])


def test_wrong_arguments():
    table = [
        ([], "a dry run needs version="), (["version=15.1", "size=1G"], "40G at least"),
        (["version=15.1", "size=1T"], "a size like 64G"), (["version=15.1", "memory=512M"], "4G at least"),
        (["version=15.1", "cpus=0"], "1 to 99"), (["version=15.1", "cpus=2;id"], "1 to 99"),
        (["version=15.1", "user=Admin"], "small letters"), (["version=15.1", "user=a b"], "small letters"),
        (["version=15.1", "user=$(id)"], "small letters"), (["version=15.1", "user=root"], "no login"),
        (["version=15.1", "full_name="], "full_name is empty"),
        (["version=15.1", "full_name=a\nb"], "control characters"),
        (["version=Sequoia"], "a version like 15.1"), (["version=15.1", "host=x"], "a version like"),
        (["version=15.1", "route=hand"], "auto, provision or patch"),
        (["version=15.1", "ip_wait=soon"], "number of seconds"),
        (["version=15.1", "ipsw=x.ipsw"], "an absolute path"), (["version=15.1", "ipsw="], "ipsw is not set"),
        (["version=11.7"], "12 is the first"), (["version=15.1", "iwsp=/x"], "there is no setting \"iwsp\""),
        (["version=15.1", "--dry"], "there is no option"), (["version=15.1", "x"], "no KEY=VALUE"),
        (["version=27", "host=26.4", "route=provision"], "needs macOS 27 on the host and in the guest"),
        (["version=26.4", "host=27", "route=provision"], "older guests ignore it silently"),
    ]
    for words, message in table:
        ran = run(RECIPE, *DRY, *words)
        equal(ran.returncode, 1, words, ran.stdout, ran.stderr)
        contains(ran.stderr, message, words)
    equal(run(RECIPE, "--help").returncode, 0)
    for script, words, message in (
            ("sign", [], "one PROGRAM"), ("sign", ["--x"], "no option"), ("sign", ["/no"], "is no program"),
            ("sign", ["--identity"], "needs a value"), ("place", ["/"], "ROOT and FOLDER"),
            ("place", ["/", "/tmp"], "no folder with an absolute path"),
            ("verify", [], "MACHINE.json and FOLDER"), ("agent.py", ["/no", "1"], "has vmtest's agent")):
        ran = run(MAC / script, *words)
        equal(ran.returncode, 1, script, words)
        contains(ran.stderr, message)


def test_dry_runs():
    patch = run(RECIPE, *DRY, "version=15.1").stdout
    provision = run(RECIPE, *DRY, "version=27.0", "host=27.1").stdout
    older_host = run(RECIPE, *DRY, "version=27.0", "host=26.1").stdout
    contains(patch, "the route: patch")
    for word in ("hdiutil attach", "place WORK/data WORK/first-boot", "hdiutil detach", "install",
                 "step 8: describing"):
        contains(patch, word)
    contains(provision, "the route: provision")
    contains(provision, "boot WORK/provisioning.json --")
    check("hdiutil" not in provision, provision)
    contains(older_host, "the route: patch")
    contains(older_host, "newer than the host")
    check("newer than the host" not in patch, patch)
    latest = run(RECIPE, "--dry-run", "ipsw=latest", "version=26").stdout
    contains(latest, "fetch it from the https address")


# --- files ---

def test_plists():
    job = plistlib.loads((MAC / "first-boot.plist").read_bytes())
    equal(job["ProgramArguments"], ["/bin/bash", "/private/var/db/vmtest/first-boot"])
    check(job["RunAtLoad"])
    contains((MAC / "first-boot").read_text(), f"/Library/LaunchDaemons/{job['Label']}.plist")
    agent = plistlib.loads(AGENT_JOB.read_bytes())
    equal((agent["Label"] + ".plist", agent["RunAtLoad"], agent["KeepAlive"]), (AGENT_JOB.name, True, True))
    for text in (f"/Library/LaunchDaemons/{AGENT_JOB.name}", f'"$here/vmtest-agent" {agent["ProgramArguments"][0]}'):
        contains((MAC / "first-boot").read_text(), text)
    nightly = plistlib.loads((MAC / "launchd.plist").read_bytes())
    contains((ROOT / "docs" / "mac.md").read_text(), f"{nightly['Label']}.plist")
    equal(nightly["ProgramArguments"][1], "run")
    entitlements = plistlib.loads((ROOT / "shim" / "vz" / "vmtest-vz.entitlements").read_bytes())
    equal(entitlements, {"com.apple.security.virtualization": True,
                         "com.apple.security.network.client": True})


def test_syntax():
    for path in [RECIPE, *MAC.iterdir()]:
        head = path.read_bytes()[:40]
        if b"bash" in head.partition(b"\n")[0]:
            ran = run("bash", "-n", path)
            equal(ran.returncode, 0, ran.stderr)
            if not head.startswith(b"# shellcheck"):
                check(os.access(path, os.X_OK), path)
            text = path.read_text()
            for word in ("mapfile", "readarray", "declare -A", "local -A", "EPOCHREALTIME", "${!1@", "|&", "&>>"):
                check(word not in text, f"{path}: the bash of macOS has no {word}")
        elif b"python3" in head:
            compile(path.read_text(), str(path), "exec")


def test_account():
    account = load("account")
    # as loginwindow has it: the mask alone where there is no more than the end
    equal(account.obfuscated("").hex(), "7d895223d2bcddeaa3b91f7d")
    for word in ("a", "elevenchars", "twelve chars", "ä-ü", "x" * 128):
        data = account.obfuscated(word)
        equal(len(data) % 12, 0)
        mask = bytes.fromhex("7d895223d2bcddeaa3b91f")
        plain = bytes(b ^ mask[i % 11] for i, b in enumerate(data))
        equal(plain.rstrip(b"\0").decode(), word)
        check(plain.endswith(b"\0"), word)
    record = account.record("ci", "A, B: C\\D", "p:w,\\x")
    head, body = record.rstrip("\n").split("\n")
    equal(head.split()[:6], ["0x0A", "0x5C", "0x3A", "0x2C", "dsRecTypeStandard:Users", "8"])
    equal(len(head.split()) - 6, 8)
    fields = split_fields(body)
    equal(fields[0], "ci")
    equal(fields[2], "p:w,\\x")
    equal(fields[5], "A, B: C\\D")
    equal(len(fields), 8)
    equal(fields[1], "dsAuthMethodStandard:dsAuthClearText")


def split_fields(line):
    """As dsimport reads a record whose head names ':' and '\\'."""
    fields, at = [""], 0
    while at < len(line):
        if line[at] == "\\":
            at += 1
            fields[-1] += line[at]
        elif line[at] == ":":
            fields.append("")
        else:
            fields[-1] += line[at]
        at += 1
    return fields


def test_account_files():
    with Folder() as folder:
        secret = folder / "password"
        secret.write_text("s3cret word\n")
        secret.chmod(0o644)
        ran = run(MAC / "account.py", "ci", "C I", secret, folder)
        equal(ran.returncode, 1)
        contains(ran.stderr, "can be read by others")
        secret.chmod(0o600)
        equal(run(MAC / "account.py", "ci", "C I", secret, folder).returncode, 0)
        for name in ("account.dsimport", "kcpassword"):
            equal(stat.S_IMODE((folder / name).stat().st_mode), 0o600)
        contains((folder / "account.dsimport").read_text(), "s3cret word")
        check(run(MAC / "account.py", "ci", "C I", secret, folder).returncode, "files were overwritten")
        secret.write_text("\n")
        contains(run(MAC / "account.py", "ci", "C I", secret, folder).stderr, "is no password")
        contains(run(MAC / "account.py", "c i", "C I", secret, folder).stderr, "no name of an account")


LEASES = """{
	name=one
	ip_address=192.168.64.9
	hw_address=1,5e:0:0:0:b:1
	identifier=1,5e:0:0:0:b:1
	lease=0x6700
}
{
	ip_address=192.168.64.10
	hw_address=1,5e:0:0:0:b:1
	lease=0x6801
}
{
	ip_address=192.168.64.11
	hw_address=ff,f1:f5:dd:7f:0:2:0:0:ab:11:1
	lease=0x9999
}
{
	ip_address=junk
	hw_address=1,5e:0:0:0:b:1
	lease=0x9999
}
{
	ip_address=192.168.64.12
	hw_address=1,5e:0:0:0:b:2
	lease=
}
"""


def test_lease():
    lease = load("lease")
    equal(lease.lease_of(LEASES, "5E:00:00:00:0B:01"), "192.168.64.10")
    equal(lease.lease_of(LEASES, "5e:00:00:00:0b:03"), None)
    equal(lease.lease_of(LEASES, "5e:00:00:00:0b:02"), None)
    equal(lease.lease_of("", "5e:00:00:00:0b:03"), None)
    with Folder() as folder:
        (folder / "leases").write_text(LEASES)
        equal(run(MAC / "lease.py", "5e:0:0:0:b:1", folder / "leases").stdout, "192.168.64.10\n")
        equal(run(MAC / "lease.py", "5e:0:0:0:b:7", folder / "leases").returncode, 1)
        contains(run(MAC / "lease.py", "5e:0", folder / "leases").stderr, "is no MAC address")


def containers(disk="disk9"):
    def container(store, *volumes):
        return {"PhysicalStores": [{"DeviceIdentifier": store}],
                "Volumes": [{"DeviceIdentifier": name, "Roles": list(roles)} for name, roles in volumes]}
    return {"Containers": [
        container("disk0s2", ("disk3s1", ["System"]), ("disk3s5", ["Data"])),  # the host's own
        container(f"{disk}s1", ("disk10s1", ["Preboot"]), ("disk10s2", ["Data"])),
        container(f"{disk}s2", ("disk11s1", ["System"]), ("disk11s5", ["Data"]), ("disk11s2", ["VM"]))]}


ATTACHED = {"system-entities": [
    {"dev-entry": "/dev/disk9", "content-hint": "GUID_partition_scheme"},
    {"dev-entry": "/dev/disk9s2", "content-hint": "Apple_APFS"},
    {"dev-entry": "/dev/disk11s1"}]}


def test_volumes():
    """The host's own Data volume must never be taken."""
    def ask(disk, plist):
        return subprocess.run([MAC / "volumes.py", disk], input=plistlib.dumps(plist), timeout=60,
                              capture_output=True, check=False)
    equal(ask("/dev/disk9", containers()).stdout, b"disk11s5\n")
    for disk, plist in (("/dev/disk8", containers()), ("/dev/disk9", {}), ("/dev/disk9", containers("disk90"))):
        ran = ask(disk, plist)
        equal(ran.returncode, 1, ran.stdout)
        contains(ran.stderr.decode(), "0 Data volumes")
    two = containers()
    two["Containers"][2]["Volumes"].append({"DeviceIdentifier": "disk11s6", "Roles": ["Data"]})
    contains(ask("/dev/disk9", two).stderr.decode(), "2 Data volumes")
    with Folder() as folder:
        (folder / "a").write_bytes(plistlib.dumps(ATTACHED))
        equal(run(MAC / "volumes.py", "--attached", folder / "a").stdout, "/dev/disk9\n")
        (folder / "a").write_bytes(plistlib.dumps({"system-entities": []}))
        equal(run(MAC / "volumes.py", "--attached", folder / "a").returncode, 1)


def prepared(folder):
    files = folder / "files"
    files.mkdir()
    for name in ("settings", "account.dsimport", "kcpassword", "authorized_keys", "vmtest-agent", AGENT_JOB.name):
        (files / name).write_text(name)
    root = folder / "data"
    (root / "private" / "var" / "db").mkdir(parents=True)
    return root, files


def test_place():
    with Folder() as folder:
        root, files = prepared(folder)
        if os.getuid():
            contains(run(MAC / "place", root, files).stderr, "needs root")
            return
        ran = run(MAC / "place", root, files)
        equal(ran.returncode, 0, ran.stderr)
        db = root / "private" / "var" / "db"
        modes = {db / ".AppleSetupDone": 0o400, db / "vmtest": 0o700, db / "vmtest" / "first-boot": 0o700,
                 db / "vmtest" / "account.dsimport": 0o600, db / "vmtest" / "kcpassword": 0o600,
                 db / "vmtest" / "vmtest-agent": 0o600, db / "vmtest" / AGENT_JOB.name: 0o600,
                 root / "Library/LaunchDaemons/vmtest.first-boot.plist": 0o644}
        for path, mode in modes.items():
            equal((stat.S_IMODE(path.stat().st_mode), path.stat().st_uid, path.stat().st_gid), (mode, 0, 0), path)
        contains(ran.stderr, "placed -rw-r--r-- 0:0")
        again = run(MAC / "place", root, files)
        equal(again.returncode, 1)
        contains(again.stderr, "prepared before")


def test_place_is_not_led_astray():
    for where in ("private/var/db/vmtest", "private/var/db/.AppleSetupDone", "Library", "Library/LaunchDaemons"):
        with Folder() as folder:
            root, files = prepared(folder)
            if os.getuid():
                return
            outside = folder / "outside"
            outside.mkdir()
            (root / where).parent.mkdir(parents=True, exist_ok=True)
            (root / where).symlink_to(outside)
            ran = run(MAC / "place", root, files)
            equal(ran.returncode, 1, where)
            contains(ran.stderr, "symbolic link", where)
            equal(list(outside.iterdir()), [], where)
            equal(list(files.iterdir()) != [], True)
    for name in ("kcpassword", "vmtest-agent", AGENT_JOB.name):
        with Folder() as folder:
            root, files = prepared(folder)
            (files / name).unlink()
            contains(run(MAC / "place", root, files).stderr, f"{name} is missing")
    with Folder() as folder:
        root, files = prepared(folder)
        contains(run(MAC / "place", folder, files).stderr, "is no Data volume")


if __name__ == "__main__":
    main([test_they_need_a_mac, test_wrong_arguments, test_dry_runs, test_plists, test_syntax, test_account,
          test_account_files, test_lease, test_volumes, test_place, test_place_is_not_led_astray])
