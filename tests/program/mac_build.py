#!/usr/bin/env python3
"""The recipe `macos` from end to end, on Linux: the helper, macOS's programs and the guest are stand-ins, the
recipe and the scripts it calls are not. What was called, with which words, is kept and looked at."""
import json
import os
import pathlib
import plistlib
import shutil
import stat
import subprocess
import sys
import tempfile
import time

from mac_scripts import AGENT_JOB, ATTACHED, MAC, RECIPE, containers
from vt import VMTEST, check, contains, equal, main, skip

AGENT = pathlib.Path(VMTEST).resolve().parent / "shim" / "agent" / "vmtest-agent"
HELPER = pathlib.Path(__file__).resolve().parent / "mac_helper.py"
GUEST_SECONDS = "20"

# Each is told to the log, then does as little as the scripts notice.
PROGRAMS = {
    "uname": 'case $1 in -m) echo arm64 ;; *) echo Darwin ;; esac',
    "sw_vers": 'echo "$FAKE_HOST"',
    "sudo": 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"',
    "mkfile": 'exec truncate -s "$2" "$3"',
    "hdiutil": 'case $1 in attach) cat "$FAKE/attached.plist" ;; esac',
    "diskutil": '''case $1 in
apfs) cat "$FAKE/apfs.plist" ;;
mount) mkdir -p "$3/private/var/db" ;;
unmount) cp -a "$2" "$FAKE/data" && rm -r "$2"/* ;;
esac''',
    "file": 'echo "${FAKE_KIND:-Mach-O 64-bit executable arm64}"',
    "codesign": 'case " $* " in *" --display "*) cat "$FAKE/entitlements" ;; esac',
    "ssh-keyscan": 'echo "192.168.64.7 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"',
    "ssh": '''for command; do :; done
case $command in
*"tar -xf"*) tar -t >"$FAKE/copied"; "$SSH_ASKPASS" >"$FAKE/asked" ;;
*"sudo -S"*) cat >"$FAKE/typed" ;;
*vmtest/result*) echo "${FAKE_RESULT:-ok}" ;;
*/dev/console*) echo admin ;;
*sw_vers*) echo "$FAKE_GUEST" ;;
*"id -Gn"*) echo 1 ;;
*"sudo -n id"*) echo 0 ;;
*AppleSetupDone*) echo none ;;
*pmset*) [ "$FAKE_BROKEN" = sleep ] && echo 10 || echo 0 ;;
*networktime*) echo "Network Time: On" ;;
*kcpassword*) echo 0; exit 1 ;;
*"date -u"*) [ "$FAKE_BROKEN" = clock ] && echo 1000 || exec date -u +%s ;;
*"uname -r"*) echo 24.1.0 ;;
*shutdown*) : >"$FAKE/off"; exit 255 ;;
*) exit 9 ;;
esac''',
}


class Mac:
    """A folder with the stand-ins, and one for the image."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-mac-")).resolve()
        self.fake, self.bin = self.path / "fake", self.path / "bin"
        self.image, self.work = self.path / "an image", self.path / "work"
        for folder in (self.fake, self.bin, self.image, self.work):
            folder.mkdir(mode=0o700)
        for name, body in PROGRAMS.items():
            program = self.bin / name
            program.write_text('#!/bin/sh\nprintf "%s\\n" "$(basename "$0") $*" >>"$FAKE/called"\n' + body + "\n")
            program.chmod(0o755)
        (self.fake / "attached.plist").write_bytes(plistlib.dumps(ATTACHED))
        (self.fake / "apfs.plist").write_bytes(plistlib.dumps(containers()))
        (self.fake / "entitlements").write_text("com.apple.security.virtualization")
        (self.path / "x.ipsw").write_text("an IPSW")
        (self.path / "agent-for-macos").write_text("an agent")
        (self.path / "agent-for-macos").chmod(0o755)
        self.env = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "FAKE": str(self.fake),
                    "FAKE_HOST": "15.3", "FAKE_GUEST": "15.1", "FAKE_BROKEN": "",
                    "VMTEST_VZ": str(self.helper()), "VMTEST_AGENT": str(self.path / "agent-for-macos"),
                    "FAKE_AGENT": str(AGENT), "VMTEST_IMAGE_DIR": str(self.image),
                    "VMTEST_WORK_DIR": str(self.work), "VMTEST_SET_ipsw": str(self.path / "x.ipsw"),
                    "VMTEST_SET_ip_wait": GUEST_SECONDS, "VMTEST_GUEST_ADDRESS": "192.168.64.7"}
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def helper(self):
        path = self.path / "vmtest-vz"
        shutil.copy(HELPER, path)
        return path

    def build(self, **env):
        return subprocess.run([RECIPE], env={**self.env, **env}, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=240, check=False)

    def called(self):
        return (self.fake / "called").read_text()

    def requests(self):
        return [json.loads(line) for line in (self.fake / "requests").read_text().splitlines()]

    def description(self):
        return json.loads((self.image / "image.json").read_text())


def test_its_machines_hold_a_slot():
    """Seen in a build that fails at its last check: the digest of a whole disk of 64 GiB takes minutes."""
    with Mac() as mac:
        for name in ("home", "leases"):
            (mac.path / name).mkdir(mode=0o700)
        mac.env.update(VMTEST_HOME=str(mac.path / "home"), VMTEST_LEASE_DIR=str(mac.path / "leases"),
                       FAKE_HOST="27.1", FAKE_GUEST="27.0", FAKE_BROKEN="sleep")
        words = [VMTEST, "image", "build", RECIPE, "mac", "--set", f"ipsw={mac.path}/x.ipsw"]
        ran = subprocess.run(words, env=mac.env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                             timeout=240, check=False)
        equal(ran.returncode, 3, ran.stderr)
        contains(ran.stderr, "FAILED: never sleeps")
        held = (mac.fake / "lease").read_text().splitlines()
        equal(len(held), 3, held)  # to look, to install, to start
        equal(len(set(held)), 1, held)
        equal(pathlib.Path(held[0]).parent, mac.path / "leases")
        equal(list((mac.path / "leases").iterdir()), [])
        refused = subprocess.run(words, env={**mac.env, "VMTEST_MACOS_LIMIT": "0"}, capture_output=True, text=True,
                                 stdin=subprocess.DEVNULL, timeout=60, check=False)
        equal(refused.returncode, 3, refused.stderr)
        contains(refused.stderr, "this host is to run none")


def ops(mac):
    return [request["op"] for request in mac.requests()]


def check_image(mac, ran):
    image = mac.description()
    equal(stat.S_IMODE((mac.image / "image.json").stat().st_mode), 0o600)
    equal((image["os"], image["arch"], image["disk"], image["disk_format"], image["auxiliary"]),
          ("macos", "aarch64", "disk.img", "raw", "auxiliary"))
    equal(image["os_version"], json.loads((mac.image / "contents.json").read_text())["system"].split()[1])
    equal(image["channels"], ["agent", "ssh"])
    contains(ran.stderr, "checked: vmtest's agent answers by vsock, as root")
    equal(image["ssh"]["host_key"], "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5")
    equal(sorted(path.name for path in mac.image.iterdir()),
          ["auxiliary", "contents.json", "disk.img", "id_ed25519", "image.json"])
    equal((mac.image / "disk.img").stat().st_size, 64 << 30)
    equal(stat.S_IMODE((mac.image / "id_ed25519").stat().st_mode), 0o600)
    # the password is nobody's to see but in files of mode 0600
    password = image["ssh"]["password"]
    check(len(password) >= 16, password)
    for text in (mac.called(), ran.stdout, ran.stderr, json.dumps(mac.requests())):
        check(password not in text, "the password is among the words of a command, or shown")
    return image


def test_by_patching_the_disk():
    if os.getuid():
        print("left out: only root can give files to root, as the guest's are")
        return
    with Mac() as mac:
        ran = mac.build()
        equal(ran.returncode, 0, ran.stdout, ran.stderr)
        check_image(mac, ran)
        equal(ops(mac), ["restore_image", "create", "install", "create", "start"])
        contains(ran.stderr, "install: 50 %")
        contains(ran.stdout, "its Data volume is disk11s5")
        for line in ("checked: never sleeps: 0", "checked: root by sudo: 0", "checked: version: 15.1"):
            contains(ran.stderr, line)
        # the machine that starts is the one that was installed
        first, second = [r["config"] for r in mac.requests() if r["op"] == "create"]
        check("machine_identifier" not in first and "mac" not in first["nics"][0], first)
        equal((second["machine_identifier"], second["nics"][0]["mac"]), ("bWFj", "5e:00:00:00:0b:01"))
        placed = mac.fake / "data" / "private" / "var" / "db" / "vmtest"
        equal((placed / "settings").read_text(), "user=admin account=make wanted='15.1*'\n")
        equal((placed / "vmtest-agent").read_text(), "an agent")
        equal((placed / "vmtest.agent.plist").read_bytes(), AGENT_JOB.read_bytes())
        contains((placed / "account.dsimport").read_text(), mac.description()["ssh"]["password"])
        calls = mac.called()
        check(calls.index("diskutil enableOwnership disk11s5") < calls.index("diskutil mount"), calls)
        contains(calls, "hdiutil detach /dev/disk9\n")


def test_by_provisioning():
    with Mac() as mac:
        ran = mac.build(FAKE_HOST="27.1", FAKE_GUEST="27.0")
        equal(ran.returncode, 0, ran.stdout, ran.stderr)
        image = check_image(mac, ran)
        start = [r for r in mac.requests() if r["op"] == "start"][0]
        given = start["provisioning"]
        equal((given["user"], given["auto_login"], given["remote_login"]), ("admin", True, True))
        equal(given["password_file"], str(mac.work / "password"))
        equal(sorted((mac.fake / "copied").read_text().split()),
              ["authorized_keys", "first-boot", "settings", "vmtest-agent", "vmtest.agent.plist"])
        equal((mac.fake / "asked").read_text().rstrip(), image["ssh"]["password"])
        equal((mac.fake / "typed").read_text().rstrip(), image["ssh"]["password"])
        check("hdiutil" not in mac.called(), mac.called())


def test_what_goes_wrong_makes_no_image():
    table = [({"FAKE_BROKEN": "install"}, "newer than the host fails so"),
             ({"FAKE_BROKEN": "install"}, "because: The device said no. (AMRestoreErrorDomain 78)"),
             ({"FAKE_BROKEN": "unsupported"}, "cannot run on this Mac"),
             ({"FAKE_BROKEN": "sleep"}, "FAILED: never sleeps: the guest says \"10\""),
             ({"FAKE_BROKEN": "clock"}, "FAILED: the clock"),
             ({"FAKE_BROKEN": "agent", "VMTEST_SET_ip_wait": "3"}, "FAILED: vmtest's agent: agent.py: no agent answers"),
             ({"FAKE_KIND": "ELF 64-bit LSB executable"}, "is no program for macOS on Apple silicon"),
             ({"FAKE_RESULT": "failed: making the account", "VMTEST_SET_ip_wait": "3"},
              "it says: failed: making the account"),
             ({"FAKE_HOST": "12.6"}, "needs macOS 13 on the host"),
             ({"VMTEST_SET_version": "14"}, "holds macOS 27.0, and version=14"),
             ({"VMTEST_SET_memory": "3G"}, "macOS needs 4G"), ({"VMTEST_SET_cpus": "1"}, "at least 2 for cpus"),
             ({"VMTEST_VZ": "/no/such", "PATH": os.environ["PATH"]}, "needs a Mac"),
             ({"VMTEST_SET_ipsw": "/no/such.ipsw"}, "is no file")]
    for env, message in table:
        with Mac() as mac:
            ran = mac.build(**{"FAKE_HOST": "27.1", "FAKE_GUEST": "27.0", **env})
            equal(ran.returncode, 1, env, ran.stdout, ran.stderr)
            contains(ran.stdout + ran.stderr, message, env)
            check(not (mac.image / "image.json").exists(), env)
            check("Traceback" not in ran.stderr, ran.stderr)
            equal(helpers(mac), [], env)


def helpers(mac, patience=10):
    """Those of this folder that live on."""
    end = time.monotonic() + patience
    while True:
        left = [entry.name for entry in pathlib.Path("/proc").iterdir()
                if entry.name.isdigit() and str(mac.path / "vmtest-vz").encode() in words_of(entry)]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


def words_of(entry):
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_symbolic_link_is_no_ipsw():
    with Mac() as mac:
        (mac.path / "link.ipsw").symlink_to(mac.path / "x.ipsw")
        ran = mac.build(VMTEST_SET_ipsw=str(mac.path / "link.ipsw"))
        equal(ran.returncode, 1)
        contains(ran.stderr, "symbolic link")


def test_a_failed_patch_detaches_the_disk():
    with Mac() as mac:
        (mac.fake / "apfs.plist").write_bytes(plistlib.dumps({}))
        ran = mac.build()
        equal(ran.returncode, 1, ran.stdout)
        contains(ran.stderr, "0 Data volumes")
        contains(mac.called(), "hdiutil detach -force /dev/disk9")


def test_signing():
    with Mac() as mac:
        words = [MAC / "sign", mac.path / "vmtest-vz"]
        ran = subprocess.run(words, env=mac.env, capture_output=True, text=True, timeout=60, check=False)
        equal(ran.returncode, 0, ran.stderr)
        contains(mac.called(), f"codesign --force --sign - --entitlements {MAC.parents[1]}/shim/vz/"
                               f"vmtest-vz.entitlements {mac.path}/vmtest-vz")
        (mac.fake / "entitlements").write_text("com.apple.security.get-task-allow")
        ran = subprocess.run(words, env=mac.env, capture_output=True, text=True, timeout=60, check=False)
        equal(ran.returncode, 1)
        contains(ran.stderr, "is signed without com.apple.security.virtualization")


if __name__ == "__main__":
    if sys.platform == "darwin":
        skip("here the programs are real, and no stand-ins")
    main([test_by_patching_the_disk, test_by_provisioning,
          test_its_machines_hold_a_slot, test_what_goes_wrong_makes_no_image,
          test_a_symbolic_link_is_no_ipsw, test_a_failed_patch_detaches_the_disk, test_signing])
