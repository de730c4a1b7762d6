"""A real Debian: debian.py guest|cloud_init. On the image "bookworm" as scripts/test builds it,
with cloud-init, QEMU's guest agent and a disk that EFI can boot."""
import contextlib
import functools
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading

from vt import Home, check, contains, equal, image_store, main, need_image, skip

IMAGE = "bookworm"
NEEDED = ("cloud-init", "qemu-guest-agent", "sudo")


def need_debian(*tools):
    need_image(IMAGE)
    packages = json.loads((image_store() / IMAGE / "latest" / "version.json").read_text())
    packages = packages.get("contents", {}).get("packages", {})
    missing = [name for name in NEEDED if name not in packages]
    if missing:
        skip(f"the image \"{IMAGE}\" has no {', '.join(missing)}: build it as scripts/test does")
    for tool in tools:
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            skip(f"there is no {tool}")


def passes(home, suite, text):
    run = home.run("run", home.suite(suite, text), timeout=1500)
    equal(run.returncode, 0, run.stdout + run.stderr)
    equal(home.leftovers(), [])


# ---- one guest: what it can, by QEMU's guest agent and by OpenSSH; then its upgrades ----

GUEST = """
local lu = require "luaunit"
local vmtest = require "vmtest"

TestDebian = vmtest.class { image = "bookworm", reset = "class", timeout = "15m",
  vm = { channel = "qga" } }

function TestDebian:test1Systemd()
  lu.assertEquals(self.vm:sh("systemctl is-system-running --wait").stdout, "running\\n")
  lu.assertEquals(self.vm:sh("cat /proc/1/comm").stdout, "systemd\\n")
  lu.assertStrContains(self.vm:sh("cat /etc/os-release").stdout, "VERSION_CODENAME=bookworm")
  self.vm:sh("systemctl is-active ssh vmtest-agent qemu-guest-agent systemd-networkd")
end

-- The same guest, as any machine that ssh reaches.
local function by_ssh(vm)
  local ssh = vm:info().ssh
  ssh.key = vm:info().image_dir .. "/id_ed25519"
  return vmtest.vm { driver = "ssh", ssh = ssh }
end

function TestDebian:test2Ssh()
  local other <close> = by_ssh(self.vm)
  lu.assertEquals(other:sh("cat /etc/machine-id").stdout, self.vm:sh("cat /etc/machine-id").stdout)
  lu.assertEquals(other:exec("exit 7").status, 7)
  local text = ("0123456789abcdef"):rep(20000)
  other:write("/root/by-ssh", text)
  lu.assertTrue(self.vm:read("/root/by-ssh") == text)
end

function TestDebian:test3Restore()
  self.vm:sh("systemd-run --unit=before sleep 1000")
  local boot = self.vm:sh("cat /proc/sys/kernel/random/boot_id").stdout
  self.vm:snapshot("clean")
  self.vm:sh("touch /root/after; sync; systemctl stop before; systemd-run --unit=after sleep 1000")
  vmtest.sleep(3)
  self.vm:restore("clean")
  lu.assertEquals(self.vm:exec("test -e /root/after").status, 1)
  lu.assertEquals(self.vm:exec("systemctl is-active before").stdout, "active\\n")
  lu.assertNotEquals(self.vm:exec("systemctl is-active after").stdout, "active\\n")
  lu.assertEquals(self.vm:sh("cat /proc/sys/kernel/random/boot_id").stdout, boot)
  lu.assertAlmostEquals(tonumber(self.vm:sh("date +%s").stdout), os.time(), 2)
  local other <close> = by_ssh(self.vm)
  lu.assertEquals(other:sh("systemctl is-system-running").stdout, "running\\n")
end

-- What is refreshed afterwards: an older version of a package, from the test's own repository.
function TestDebian:test4Older()
  self.vm:sh("rm -f /etc/apt/sources.list.d/*")
  self.vm:write("/etc/apt/sources.list", "deb [trusted=yes] http://10.0.2.2:PORT ./\\n")
  self.vm:sh("apt-get -q update && apt-get -q -y install probe", { timeout = "10m" })
  self.vm:stop()
  assert(os.execute("qemu-img convert -O qcow2 '" .. self.vm:info().overlay .. "' probed/disk.qcow2"))
end
os.exit(lu.LuaUnit.run())
"""


class Repository:
    """A repository of packages on this host, which a guest reaches by its NAT."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def add(self, name, version, depends=""):
        tree = self.folder.parent / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/share" / name).mkdir(parents=True)
        (tree / "usr/share" / name / "version").write_text(f"{version}\n")
        (tree / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: vmtest <root@localhost>\n"
            + (f"Depends: {depends}\n" if depends else "") + "Description: of a test of vmtest\n")
        tool("dpkg-deb", "--root-owner-group", "--build", tree, self.folder)

    def publish(self):
        entries = []
        for deb in sorted(self.folder.glob("*.deb")):
            data = deb.read_bytes()
            entries.append(tool("dpkg-deb", "-f", deb) + f"Filename: ./{deb.name}\nSize: {len(data)}\n"
                           f"SHA256: {hashlib.sha256(data).hexdigest()}\n")
        index = "\n".join(entries).encode()
        (self.folder / "Packages").write_bytes(index)
        (self.folder / "Release").write_text(
            "Origin: vmtest\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
            f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n")

    @contextlib.contextmanager
    def served(self, port=0):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass
        handler = functools.partial(Quiet, directory=self.folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()


def versions(home):
    return sorted(p.name for p in (home.home / "images/probed").iterdir() if not p.is_symlink())


def shown(home, name):
    run = home.run("image", "show", name)
    equal(run.returncode, 0, run.stderr)
    return run.stdout


def refreshed(home, repository, port):
    """A package's newer version, with a package that it needs from now on."""
    old, = versions(home)
    before = (home.home / "images/probed" / old / "version.json").read_bytes()
    repository.add("probe-data", "2.0")
    repository.add("probe", "2.0", "probe-data")
    repository.publish()
    with repository.served(port):
        run = home.run("image", "refresh", "probed", timeout=1500)
    equal(run.returncode, 0, run.stderr)
    new = run.stdout.strip().removeprefix("probed@")
    check(new > old, old, new)
    equal(versions(home), [old, new])
    look = shown(home, "probed")
    contains(look, f"image        probed@{new}, latest")
    contains(look, f"made of      probed@{old}")
    contains(look, "changes      probe: 1.0 -> 2.0\n             probe-data: none -> 2.0\n")
    check(not re.search(r" -> ", look.split("probe-data: none -> 2.0")[1]), look)
    check((home.home / "images/probed" / old / "version.json").read_bytes() == before)
    verified = home.run("image", "verify", f"probed@{old}", f"probed@{new}")
    equal(verified.returncode, 0, verified.stderr)


def test_guest():
    need_debian("dpkg-deb", "qemu-img")
    base = image_store() / IMAGE / "latest"
    with Home() as home:
        (home.home / "images").mkdir(mode=0o700)
        (home.home / "images" / IMAGE).symlink_to(image_store() / IMAGE)
        repository = Repository(home.work / "repository")
        repository.add("probe", "1.0")
        repository.publish()
        probed = home.work / "probed"
        probed.mkdir()
        for name in ("image.json", "kernel", "initrd", "id_ed25519"):
            shutil.copy2(base / name, probed)
        with repository.served() as port:
            passes(home, "guest.lua", GUEST.replace("PORT", str(port)))
        made = home.run("image", "import", str(probed))
        equal(made.returncode, 0, made.stderr)
        refreshed(home, repository, port)
        before = versions(home)
        failed = home.run("image", "refresh", "probed", timeout=1500)  # nobody serves it now
        equal(failed.returncode, 3, failed.stderr)
        contains(failed.stderr, "10.0.2.2")
        equal(versions(home), before)
        equal(home.leftovers(), [])


# ---- a disk as vendors give it, set up by cloud-init ----

# What makes the image one of vmtest: after that it lets nobody in and sets up no network.
OF_VMTEST = """/root/.ssh/authorized_keys
/etc/hostname
/etc/ssh/ssh_host_ed25519_key
/etc/ssh/ssh_host_ed25519_key.pub
/etc/ssh/sshd_config.d/vmtest.conf
/etc/systemd/network/80-dhcp.network
/etc/systemd/system/ssh.service
/etc/systemd/system/systemd-networkd-wait-online.service
/etc/systemd/system/vmtest-agent.service
/etc/systemd/system/vmtest-ready.service
/etc/systemd/system/multi-user.target.wants/qemu-guest-agent.service
/etc/systemd/system/multi-user.target.wants/vmtest-agent.service
/etc/systemd/system/multi-user.target.wants/vmtest-ready.service
/usr/libexec/vmtest/vmtest-agent
/usr/libexec/vmtest/ready
""".split()

CLOUD = """
local lu = require "luaunit"
local vmtest = require "vmtest"

TestCloud = vmtest.class { image = "cloud", reset = "class", timeout = "20m" }

function TestCloud:test1IsSetUp()
  self.vm:wait_until { cmd = "test -e /run/cloud-init/result.json", timeout = "5m" }
  local result = self.vm:read("/run/cloud-init/result.json")
  lu.assertStrContains(result, "DataSourceNoCloud")
  lu.assertStrMatches(result, '.*"errors": %[%].*')
  lu.assertEquals(self.vm:sh("hostname; id -un").stdout, "cloud\\nroot\\n")
  lu.assertEquals(self.vm:sh("ls /etc/ssh/ssh_host_*_key").stdout, "/etc/ssh/ssh_host_ed25519_key\\n")
  lu.assertEquals(self.vm:sh("test -d /sys/firmware/efi; cat /root/.ssh/authorized_keys | wc -l").stdout, "1\\n")
end

function TestCloud:test2Restore() -- of a guest that EFI has booted, by ssh alone
  self.vm:snapshot("clean")
  self.vm:sh("touch /root/after; sync")
  self.vm:restore("clean")
  lu.assertEquals(self.vm:exec("test -e /root/after").status, 1)
  lu.assertAlmostEquals(tonumber(self.vm:sh("date +%s").stdout), os.time(), 2)
end

function TestCloud:test3Stop()
  self.vm:stop()
  lu.assertEquals(self.vm:state(), "stopped")
end
os.exit(lu.LuaUnit.run())
"""


def tool(*words, **kwargs):
    env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    return subprocess.run([str(w) for w in words], check=True, capture_output=True, text=True,
                          env=env, **kwargs).stdout


def vendors_disk(home):
    """The image's disk as a raw file without anything of vmtest's."""
    disk = home.work / "debian-12.raw"
    tool("qemu-img", "convert", "-f", "qcow2", "-O", "raw",
         image_store() / IMAGE / "latest" / "disk.qcow2", disk)
    parts = json.loads(tool("sfdisk", "-J", disk))["partitiontable"]["partitions"]
    root = f"{disk}?offset={512 * next(p['start'] for p in parts if p['name'] == 'root')}"
    for path in OF_VMTEST:
        contains(tool("debugfs", "-R", f"stat {path}", root), "Inode:", path)
    tool("debugfs", "-w", "-f", "-", root, input="".join(f"rm {path}\n" for path in OF_VMTEST))
    equal(tool("debugfs", "-R", "ls -p /root/.ssh", root).count("authorized"), 0)
    tool("e2fsck", "-fn", root)
    return disk


def test_cloud_init():
    if not pathlib.Path("/usr/share/OVMF").exists() or os.uname().machine != "x86_64":
        skip("no EFI for x86-64 here")
    need_debian("qemu-img", "sfdisk", "debugfs", "mformat", "ssh-keygen")
    with Home() as home:
        disk = vendors_disk(home)
        made = home.run("image", "import", str(disk), "cloud", "--cloud-init", "--firmware", "efi",
                        "--memory", "512M", "--cpus", "2")
        equal(made.returncode, 0, made.stderr)
        disk.unlink()
        passes(home, "cloud.lua", CLOUD)


if __name__ == "__main__":
    need_debian()
    tests = {"guest": test_guest, "cloud_init": test_cloud_init}
    wanted = [tests[name] for name in sys.argv[1:]] or list(tests.values())
    sys.argv[1:] = []
    main(wanted)
