#!/usr/bin/env python3
"""scripts/mac/first-boot, run by a bash in a folder that stands for a macOS guest, with stand-ins for its
programs: what it calls, which files it makes with which modes, and what it leaves where it fails."""
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile

from mac_scripts import MAC
from vt import check, contains, equal, main, skip

PROGRAMS = {
    "dscl": 'n=$(cat /tries 2>/dev/null || echo 0); echo $((n + 1)) >/tries; [ "$n" -ge 1 ]',
    "dsimport": 'cp "$1" /imported; echo "ci:x:501:20::/Users/ci:/bin/sh" >>/etc/passwd',
    "dseditgroup": "",
    "createhomedir": "mkdir /Users/ci; chown 501:20 /Users/ci",
    "launchctl": '[ "$1" != print ]',
    "pmset": "", "systemsetup": "", "softwareupdate": "", "defaults": "", "shutdown": "",
    "sw_vers": "echo 15.1",
    "sudo": 'shift 2; exec "$@"',
    "visudo": '[ "$1" = -cqf ] && [ -s "$2" ]',
    "sleep": "",
}
ENTER = """for d in usr dev; do mount --bind "/$d" "$1/$d"; done
mount --bind "$1/local" "$1/usr/local"
exec chroot "$1" /usr/bin/env -i PATH=/fake:/usr/bin:/usr/sbin FAIL="$2" /bin/bash \\
    /private/var/db/vmtest/first-boot"""


class Guest:
    def __init__(self, account):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-guest-"))
        self.here = self.root / "private" / "var" / "db" / "vmtest"
        self.daemon = self.root / "Library" / "LaunchDaemons" / "vmtest.first-boot.plist"
        for folder in (self.here, self.daemon.parent, self.root / "fake", self.root / "Users", self.root / "etc",
                       self.root / "usr", self.root / "dev", self.root / "local",
                       self.root / "Library" / "Preferences"):
            folder.mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            if os.path.islink(f"/{name}"):
                (self.root / name).symlink_to(os.readlink(f"/{name}"))
        (self.root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
        (self.root / "etc" / "group").write_text("root:x:0:\nstaff:x:20:\n")
        for name, body in PROGRAMS.items():
            program = self.root / "fake" / name
            program.write_text(f'#!/bin/sh\necho "{name} $*" >>/called\n[ "$FAIL" != {name} ] || exit 1\n{body}\n')
            program.chmod(0o755)
        shutil.copy(MAC / "first-boot", self.here)
        (self.here / "settings").write_text(f"user=ci account={account} wanted='15*'\n")
        (self.here / "authorized_keys").write_text("ssh-ed25519 AAAA vmtest\n")
        (self.here / "vmtest-agent").write_text("an agent")
        (self.here / "vmtest.agent.plist").write_text("its job")
        self.daemon.write_text("a job")
        if account == "make":
            (self.here / "account.dsimport").write_text("a record with s3cret")
            (self.here / "kcpassword").write_text("masked s3cret")
        else:
            with open(self.root / "etc" / "passwd", "a", encoding="utf-8") as file:
                file.write("ci:x:501:20::/Users/ci:/bin/sh\n")
            (self.root / "Users" / "ci").mkdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root, ignore_errors=True)

    def boot(self, fail=""):
        ran = subprocess.run(["unshare", "-m", "sh", "-ec", ENTER, "sh", self.root, fail], capture_output=True,
                             text=True, timeout=60, check=False)
        check((self.here / "result").exists(), ran.stderr, self.log())
        return ran.returncode

    def log(self):
        log = self.here / "log"
        return log.read_text() if log.exists() else "no log"

    def result(self):
        return (self.here / "result").read_text()

    def called(self):
        return (self.root / "called").read_text().splitlines()


def mode_of(path):
    status = path.stat()
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def no_secret_is_left(guest):
    equal([p.name for p in guest.here.iterdir() if p.name in ("account.dsimport", "kcpassword")], [])
    check(not guest.daemon.exists(), "it would run again")
    for line in guest.called() + [guest.log()]:
        check("s3cret" not in line, line)


def has_agent(guest):
    program, job = guest.root / "local/libexec/vmtest-agent", guest.daemon.with_name("vmtest.agent.plist")
    equal((mode_of(program), program.read_text()), ((0o755, 0, 0), "an agent"))
    equal((mode_of(job), job.read_text()), ((0o644, 0, 0), "its job"))
    check("launchctl bootstrap system /Library/LaunchDaemons/vmtest.agent.plist" in guest.called(), guest.called())


def test_an_account_is_made():
    with Guest("make") as guest:
        equal(guest.boot(), 0, guest.log())
        equal(guest.result(), "ok\n", guest.log())
        no_secret_is_left(guest)
        calls = guest.called()
        equal((guest.root / "imported").read_text(), "a record with s3cret")
        key = guest.root / "Users" / "ci" / ".ssh" / "authorized_keys"
        equal((mode_of(key), mode_of(key.parent)), ((0o600, 501, 20), (0o700, 501, 20)))
        equal(key.read_text(), "ssh-ed25519 AAAA vmtest\n")
        equal((guest.root / "etc" / "sudoers.d" / "vmtest").read_text(), "ci ALL=(ALL) NOPASSWD: ALL\n")
        equal(mode_of(guest.root / "etc" / "sudoers.d" / "vmtest")[0], 0o440)
        equal(mode_of(guest.root / "etc" / "kcpassword"), (0o600, 0, 0))
        check((guest.root / "private/var/db/.AppleSetupDone").exists())
        has_agent(guest)
        for line in ("dseditgroup -o edit -a ci -t user admin",
                     "pmset -a sleep 0 displaysleep 0 disksleep 0", "systemsetup -setusingnetworktime on",
                     "launchctl bootstrap system /System/Library/LaunchDaemons/ssh.plist",
                     "defaults write /Library/Preferences/com.apple.loginwindow autoLoginUser ci",
                     "sudo -u ci defaults write com.apple.SetupAssistant LastSeenCloudProductVersion 15.1"):
            check(line in calls, line, calls)
        check(calls.count("dscl . -list /Users") == 2, "it waits for the directory", calls)
        equal(calls[-1], "shutdown -r now")


def test_an_account_is_there():
    with Guest("made") as guest:
        equal(guest.boot(), 0, guest.log())
        equal(guest.result(), "ok\n")
        check(not any(line.split()[0] in ("dsimport", "shutdown", "createhomedir") for line in guest.called()),
              guest.called())
        check((guest.root / "Users/ci/.ssh/authorized_keys").exists())
        has_agent(guest)


def test_what_fails_is_told():
    for program, what in (("dsimport", "making the account"), ("visudo", "letting it be root"),
                          ("pmset", "staying awake"), ("dscl", "waiting for the directory"),
                          ("launchctl", "starting the agent"),
                          ("softwareupdate", "no updates by itself")):
        with Guest("make") as guest:
            equal(guest.boot(program), 1, program)
            equal(guest.result(), f"failed: {what}\n")
            no_secret_is_left(guest)
            check("shutdown -r now" not in guest.called(), program)
            contains(guest.log(), what)


if __name__ == "__main__":
    if sys.platform != "linux" or os.getuid() or subprocess.run(
            ["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        skip("needs root on Linux, and mount namespaces")
    main([test_an_account_is_made, test_an_account_is_there, test_what_fails_is_told])
