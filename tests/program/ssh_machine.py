#!/usr/bin/env python3
"""Suites on a machine that exists already: a real OpenSSH server on loopback, by --driver ssh."""
import getpass
import os
import pathlib
import shutil
import socket
import subprocess
import time

from vt import Home, check, contains, equal, main, skip

SUITE = """
local lu = require "luaunit"
local vmtest = require "vmtest"
TestMachine = vmtest.class { vm = { ssh = { host = "127.0.0.1", port = %d, user = "%s", key = "%s",
  %s } } }
function TestMachine:testExec()
  local r = self.vm:exec { "printf", "%%s", "it's here" }
  lu.assertEquals(r.stdout, "it's here")
end
function TestMachine:testFiles()
  local path = "%s/from-suite"
  self.vm:write(path, "written")
  lu.assertEquals(self.vm:read(path), "written")
end
function TestMachine:testUnsupported()
  local ok, err = pcall(self.vm.kill, self.vm)
  lu.assertFalse(ok)
  lu.assertEquals(err.code, "unsupported")
  lu.assertStrContains(err.message, "not vmtest's to power off")
end
function TestMachine:testWaits()
  while not io.open("go") do vmtest.sleep(0.1) end
end
"""


class Server:
    """sshd with a key of its own, in the home's folder."""

    def __init__(self, home):
        program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        if not program or not shutil.which("ssh-keygen"):
            skip("there is no OpenSSH server")
        self.folder = home.path / "sshd"
        self.folder.mkdir()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            str(self.folder / name)], check=True)
        self.host_key = " ".join((self.folder / "host.pub").read_text().split()[:2])
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        (self.folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\n"
            f"PidFile none\nAuthorizedKeysFile {self.folder}/authorized\nStrictModes no\n"
            f"SetEnv HOME={self.folder}\n"  # not this user's shell profile
            "UsePAM no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n")
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([program, "-D", "-e", "-f", self.folder / "config"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.05)

    def suite(self, home, name, more):
        return home.suite(name, SUITE % (self.port, getpass.getuser(), self.folder / "user", more,
                                         home.work))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def test_suites_on_a_machine():
    with Home() as home, Server(home) as server:
        known = server.suite(home, "known.lua", f'host_key = "{server.host_key}"')
        (home.work / "go").touch()
        r = home.run("run", "--driver", "ssh", known)
        equal(r.returncode, 0, r.stderr)
        equal(set(home.outcomes().values()), {"passed"})
        equal(len(home.outcomes()), 4)
        equal((home.work / "from-suite").read_text(), "written")
        equal(server.process.poll(), None)
        equal(home.leftovers(), [])


def test_unknown_and_busy():
    with Home() as home, Server(home) as server:
        unknown = server.suite(home, "unknown.lua", "")
        known = server.suite(home, "known.lua", f'host_key = "{server.host_key}"')
        (home.work / "go").touch()
        r = home.run("run", "--driver", "ssh", unknown)
        equal(r.returncode, 3, r.stderr)
        contains(r.stderr, "SHA256:")
        contains(r.stderr, f"[127.0.0.1]:{server.port} {server.host_key}")
        lines = home.work / "hosts"
        lines.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
        server.suite(home, "unknown.lua", 'known_hosts = "hosts"')
        equal(home.run("run", "--driver", "ssh", unknown).returncode, 0)

        (home.work / "go").unlink()
        first = home.start("run", "--driver", "ssh", "-o", "first", known)
        end = time.monotonic() + 100
        leases = home.path / "leases"
        while time.monotonic() < end and not (leases.exists() and any(leases.iterdir())):
            time.sleep(0.05)
        refused = home.run("run", "--driver", "ssh", "-o", "refused", known)
        equal(refused.returncode, 3, refused.stderr)
        contains(refused.stderr, f"the machine 127.0.0.1:{server.port} is in use: run ")
        second = home.start("run", "--driver", "ssh", "--wait=4m", "-o", "second", known)
        while time.monotonic() < end and len(list(leases.iterdir())) < 2:
            time.sleep(0.05)
        (home.work / "go").touch()
        equal(first.wait(timeout=100), 0, first.stderr.read())
        equal(second.wait(timeout=100), 0, second.stderr.read())
        equal(list(leases.iterdir()), [])
        equal(home.leftovers(), [])


if __name__ == "__main__":
    main([test_suites_on_a_machine, test_unknown_and_busy])
