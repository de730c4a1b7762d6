#!/usr/bin/env python3
"""The vz driver where things go wrong, and what is special about it.

vz.py stand_in: a helper that breaks its protocol, refuses and dies; and none at all.
vz.py guest: real guests behind the fake framework: killed helpers and workers, snapshots that do not
fit, VMs that stay."""
import json
import os
import pathlib
import signal
import sys
import time

from vt import Home, check, contains, equal, main, need_image, skip

STAND_IN = str(pathlib.Path(__file__).resolve().parent / "vz_stand_in.py")
SIX = {"domain": "VZErrorDomain", "code": 6, "message": "The number of virtual machines exceeds the limit."}

START = """
local vmtest = require "vmtest"
function testIt()
  local vm <close> = vmtest.vm { driver = "vz", image = "small", start = false }
  local ok, err = pcall(vm.start, vm, { timeout = "6s" })
  local file <close> = assert(io.open("said", "w"))
  file:write(ok and "none" or err.code, "\\n", tostring(err), "\\n", vm:info().hypervisor, "\\n")
end
"""

# ---- a stand-in for the helper ----


def start(wrong, helper=STAND_IN):
    """What a start comes to where the helper does this wrong: (code, message, hypervisor)."""
    need_image()
    with Home(images=True) as home:
        run = home.run("run", home.suite("start.lua", START), timeout=90,
                       env={"VMTEST_VZ": helper, "VZ_STAND_IN": json.dumps(wrong)})
        equal(run.returncode, 0, run.stdout + run.stderr)
        equal(home.leftovers(), [])
        text = (home.work / "said").read_text().splitlines()
        return text[0], "\n".join(text[1:-1]), text[-1]


def test_there_is_none():
    need_image()
    with Home(images=True) as home:
        suite = home.suite("start.lua", START)
        run = home.run("run", suite, env={"VMTEST_VZ": "/nowhere/vmtest-vz"})
        equal(run.returncode, 3, run.stderr)
        contains(run.stdout + run.stderr, "/nowhere/vmtest-vz")
        if sys.platform == "darwin":
            return
        run = home.run("run", suite, env={"VMTEST_VZ": ""})
        equal(run.returncode, 3, run.stderr)
        contains(run.stdout + run.stderr, "the vz driver needs macOS")


def test_another_version():
    code, said, _ = start({"protocol": 2})
    equal(code, "protocol", said)
    contains(said, "speaks version 2")


def test_no_json():
    code, said, _ = start({"say": ["create", "nonsense\n"]})
    equal(code, "protocol", said)
    contains(said, "not JSON")


def test_too_many_machines():
    code, said, _ = start({"refuse": {"start": SIX}})
    equal(code, "limit", said)
    contains(said, "restart the host")


def test_a_machine_that_cannot_be():
    code, said, _ = start({"refuse": {"create": {"domain": "VZErrorDomain", "code": 2,
                                                 "message": "Invalid.", "reason": "No disk."}}})
    equal(code, "invalid", said)
    contains(said, "Invalid. No disk.")


def test_it_dies():
    code, said, _ = start({"die": "start", "last_words": "the last line of all"})
    equal(code, "hypervisor", said)
    contains(said, "status 1: the last line of all")


def test_it_crashes_after_a_while():
    code, said, hypervisor = start({"fail": ["start", {"domain": "VZErrorDomain", "code": 1,
                                                       "message": "Internal."}]})
    equal(code, "guest", said)
    contains(said, "crashed")
    contains(said, "Internal.")
    equal(hypervisor, "fake")  # and not Apple's


def test_it_never_answers():
    code, said, _ = start({"silent": "host"})
    equal(code, "timeout", said)


def test_a_host_that_is_too_old():
    code, said, _ = start({"host": {"os_version": "10.15"}})
    equal(code, "unsupported", said)
    contains(said, "running a Linux guest needs macOS 11 on the host; this one has 10.15")
    code, said, _ = start({"host": {"os_version": "Catalina"}})
    equal(code, "invalid", said)
    contains(said, "is no version of macOS")


def test_a_guest_that_is_too_old():
    """Refused before there is any helper, by the version that the image tells."""
    with Home() as home:
        image = home.work / "image"
        image.mkdir()
        for name in ("disk.img", "auxiliary"):
            (image / name).write_bytes(b"\0" * 4096)

        def said(version):
            (image / "image.json").write_text(json.dumps({
                "format": 1, "os": "macos", "arch": "aarch64", "memory": "4G", "disk": "disk.img",
                "disk_format": "raw", "auxiliary": "auxiliary", "hardware_model": "TWFj"} | version))
            run = home.run("run", home.suite("old.lua", f"""
local vmtest = require "vmtest"
function testIt()
  local ok, err = pcall(vmtest.vm, {{ driver = "vz", image = "{image}", start = false,
    shares = {{ {{ name = "src", path = "{home.work}" }} }} }})
  local file <close> = assert(io.open("said", "w"))
  file:write(ok and "made" or err.code .. ": " .. err.message)
end
"""), env={"VMTEST_VZ": STAND_IN})
            equal(run.returncode, 0, run.stdout + run.stderr)
            return (home.work / "said").read_text()

        contains(said({"os_version": "12.6"}),
                 "sharing folders by VirtioFS needs macOS 13 in the guest; this one has 12.6")
        equal(said({"os_version": "13.0"}), "made")
        equal(said({}), "made")
        contains(said({"os_version": "Monterey"}), "invalid: ")


def test_another_program():
    code, said, _ = start({}, helper="/bin/false")
    equal(code, "hypervisor", said)
    contains(said, "vmtest-vz ended with status 1")


# ---- the options of its own ----

OWN = """
local vmtest = require "vmtest"
function testIt()
  local vm <close> = vmtest.vm { driver = "vz", image = "small", start = false, vz = %s }
  local ok, err = pcall(vm.start, vm, { timeout = "6s" })
  local file <close> = assert(io.open("said", "w"))
  file:write(ok and "none" or err.code, "\\n", tostring(err))
end
"""


def started(options, **host):
    """What a start with these options comes to: what was said, and the requests of the helper."""
    need_image()
    with Home(images=True) as home:
        record = home.work / "requests"
        wrong = {"record": str(record), "host": host, "refuse": {"start": SIX}}
        run = home.run("run", home.suite("start.lua", OWN % options), timeout=90,
                       env={"VMTEST_VZ": STAND_IN, "VZ_STAND_IN": json.dumps(wrong)})
        said = (home.work / "said").read_text() if (home.work / "said").exists() else run.stdout + run.stderr
        lines = record.read_text().splitlines() if record.exists() else []
        return said, {r["op"]: r for r in map(json.loads, lines)}


def test_options_reach_the_helper():
    said, asked = started('{ clipboard = true, screen = { width = 1920, height = 1200, ppi = 100 }, vmnet = "host" }',
                          os_version="26.1")
    contains(said, "limit")  # of the start, which is refused here
    config = asked["create"]["config"]
    equal(config["clipboard"], True)
    equal(config["screen"], {"width": 1920, "height": 1200, "ppi": 100})
    equal([nic["kind"] + nic["mode"] for nic in config["nics"]], ["vmnethost"])
    check("recovery" not in asked["start"], "an ordinary start")


def test_options_that_the_host_lacks():
    said, asked = started('{ vmnet = "shared" }', os_version="15.7")
    contains(said, "unsupported")
    contains(said, "needs macOS 26 on the host; this one has 15.7")
    equal(sorted(asked), ["host"])
    said, asked = started("{ rosetta = true }", arch="arm64", rosetta="not_installed")
    contains(said, "Rosetta is not installed on this host")
    equal(sorted(asked), ["host"])


def test_options_that_the_guest_lacks():
    said, asked = started("{ recovery = true }")
    contains(said, "recovery is there for macOS guests alone")
    equal(asked, {})  # before a helper was started
    with Home(images=True) as home:
        run = home.run("vm", "create", "web", "--driver", "vz", "-i", "small", "--vz", "recovery",
                       env={"VMTEST_VZ": STAND_IN})
        check(run.returncode != 0, "it is refused")
        contains(run.stderr, "for macOS guests alone")
        run = home.run("vm", "create", "web", "--driver", "qemu", "-i", "small", "--vz", "clipboard")
        contains(run.stderr, "is for the driver of that name")
        run = home.run("vm", "create", "web", "--driver", "vz", "-i", "small", "--vz",
                       "clipboard,screen=1280x", env={"VMTEST_VZ": STAND_IN})
        contains(run.stderr, "1920x1200")


# ---- guests behind the fake framework ----


def guest_home():
    need_image()
    helper = os.environ.get("VMTEST_VZ", "")
    if not os.access(helper, os.X_OK):
        skip("the fake framework was not built (it needs GNUstep)")
    os.environ["VMTEST_FAKE_VZ_GUEST"] = "qemu"
    return Home(images=True)


def passes(home, text, *more):
    run = home.run("run", *more, home.suite("suite.lua", text), timeout=280)
    equal(run.returncode, 0, run.stdout + run.stderr)
    equal(home.leftovers(), [])
    return run.stdout + run.stderr


HEAD = """
local lu = require "luaunit"
local vmtest = require "vmtest"
"""


def test_a_killed_helper():
    with guest_home() as home:
        said = passes(home, HEAD + """
function testIt()
  local vm <close> = vmtest.vm { driver = "vz", image = "small" }
  lu.assertEquals(vm:info().hypervisor, "fake")
  lu.assertEquals(#vm:info().nics[1].mac, 17)
  assert(os.execute("kill -9 " .. vm:info().pid))
  local ok, err = pcall(vm.wait_stopped, vm, { timeout = "20s" })
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(err), "killed by signal 9")
  lu.assertEquals(vm:state(), "crashed")
  vm:start()
  lu.assertEquals(vm:exec("echo again").stdout, "again\\n")
end
""")
        contains(said, "on vz (fake), image small")


def test_reboots():
    with guest_home() as home:
        passes(home, HEAD + """
function testIt()
  local vm <close> = vmtest.vm { driver = "vz", image = "small" }
  local function boot() return vm:read "/proc/sys/kernel/random/boot_id" end
  local first = boot()
  vm:reboot()
  local second = boot()
  lu.assertNotEquals(second, first)
  pcall(vm.exec, vm, "reboot") -- by itself, of which nobody tells
  vm:wait_until { cmd = "test $(cat /proc/sys/kernel/random/boot_id) != " .. second, timeout = "60s" }
  vm:stop() -- and is not started again
  lu.assertEquals(vm:state(), "stopped")
end
""")


BUSY = HEAD + """
TestBusy = vmtest.class { vm = { driver = "vz", image = "small" } }
function TestBusy:testIt()
  io.open("up", "w"):close()
  for i = 1, 10000 do self.vm:exec("echo " .. i) end
end
"""


def busy(home):
    """A run whose VM answers: the run, and its processes."""
    run = home.start("run", home.suite("busy.lua", BUSY))
    end = time.monotonic() + 120
    while not (home.work / "up").exists():
        check(time.monotonic() < end and run.poll() is None, "it came up")
        time.sleep(0.1)
    found = home.processes()
    check(any(b"qemu-system" in words for words in found.values()), "a guest runs")
    return run, found


def test_a_killed_worker():
    with guest_home() as home:
        run, found = busy(home)
        worker = [pid for pid, words in found.items() if b"__worker" in words]
        equal(len(worker), 1)
        os.kill(worker[0], signal.SIGKILL)
        run.communicate(timeout=60)
        equal(home.leftovers(), [])


def test_nobody_left_to_end_it():
    with guest_home() as home:
        run, found = busy(home)
        theirs = (b"vmtest-vz", b"qemu-system")
        for pid, words in found.items():
            if not any(name in words.split(b" ")[0] for name in theirs):
                os.kill(pid, signal.SIGKILL)  # parent, worker, janitor
        run.communicate(timeout=60)
        end = time.monotonic() + 5
        while home.processes() and time.monotonic() < end:
            time.sleep(0.05)
        left = home.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        equal(left, {})


def test_disks():
    with guest_home() as home:
        disk = home.work / "disk.raw"
        disk.write_bytes(b"from the host".ljust(4 << 20, b"\0"))
        passes(home, HEAD + f"""
function testIt()
  local vm <close> = vmtest.vm {{ driver = "vz", image = "small", disks = {{
    {{ name = "own", path = "{disk}" }}, {{ name = "still", path = "{disk}", read_only = true }} }} }}
  local function of(device) return vm:sh("dd if=/dev/" .. device .. " bs=13 count=1 2>/dev/null").stdout end
  lu.assertEquals(of "vda", "from the host")
  vm:sh("echo -n 'by the guest!' | dd of=/dev/vda conv=notrunc 2>/dev/null; sync")
  lu.assertNotEquals(vm:exec("echo x > /dev/vdb && sync").status, 0)
  vm:snapshot("one")
  vm:sh("echo -n 'by the other.' | dd of=/dev/vda conv=notrunc 2>/dev/null; sync")
  vm:restore("one")
  lu.assertEquals(of "vda", "by the guest!")
  vm:stop()
  vm:snapshot("cold")
  vm:start()
  lu.assertEquals(of "vda", "by the guest!")
  vm:sh("echo -n 'by the third.' | dd of=/dev/vda conv=notrunc 2>/dev/null; sync")
  vm:restore("cold")
  lu.assertEquals(vm:state(), "stopped")
  vm:start()
  lu.assertEquals(of "vda", "by the guest!")
  lu.assertEquals(of "vdb", "from the host")
end
function testRefused()
  for code, disk in pairs {{
    unsupported = {{ name = "d", path = "{disk}", format = "qcow2" }} }} do
    local ok, err = pcall(vmtest.vm, {{ driver = "vz", image = "small", disks = {{ disk }}, start = false }})
    lu.assertFalse(ok)
    lu.assertEquals(err.code, code)
  end
  local ok, err = pcall(vmtest.vm, {{ driver = "vz", image = "small-disk", start = false }})
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(err), "qcow2")
end
function testWrittenToItself()
  local vm <close> = vmtest.vm {{ driver = "vz", image = "small", disks = {{
    {{ name = "own", path = "{disk}", direct = true }} }} }}
  vm:sh("echo -n 'by the guest!' | dd of=/dev/vda conv=notrunc 2>/dev/null; sync")
  local ok, err = pcall(vm.snapshot, vm, "refused")
  lu.assertEquals(err.code, "unsupported")
  vm:stop()
end
""")
        equal(disk.read_bytes()[:13], b"by the guest!")


def test_options_of_its_own():
    with guest_home() as home:
        passes(home, HEAD + """
function testIt()
  local vm <close> = vmtest.vm { driver = "vz", image = "small", disks = { { name = "d", size = "4M" } },
    vz = { clipboard = true, vmnet = { mode = "shared", subnet = "10.77.0.0/24" },
      disk_sync = "none" } }
  vm:write("/root/f", "kept")
  vm:snapshot("one")
  vm:sh("rm /root/f")
  vm:restore("one")
  lu.assertEquals(vm:read("/root/f"), "kept")
end
function testScreen() -- whose keyboard, by USB, the framework does not save
  local vm <close> = vmtest.vm { driver = "vz", image = "small", vz = { screen = "1280x800" } }
  lu.assertEquals(vm:exec("echo hello").stdout, "hello\\n")
  local ok, err = pcall(vm.snapshot, vm, "refused")
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(err), "USB input device")
end
""")


def edit(folder, change):
    path = folder / "snapshot.json"
    facts = json.loads(path.read_text())
    change(facts["vz"])
    path.write_text(json.dumps(facts))


def test_snapshots_that_do_not_fit():
    with guest_home() as home:
        passes(home, HEAD + """
function testIt()
  local vm <close> = vmtest.vm { name = "first", driver = "vz", image = "small" }
  vm:write("/root/f", "kept")
  vm:snapshot("kept", { keep = true })
  local file <close> = assert(io.open("mac", "w"))
  file:write(vm:info().nics[1].mac)
end
""")
        folder = next(home.home.glob("snapshots/kept"))
        whole = (folder / "snapshot.json").read_text()
        again = HEAD + """
function testIt()
  local vm <close> = vmtest.vm { name = "second", driver = "vz", image = "small", memory = "%s", start = false }
  local ok, err = pcall(vm.restore, vm, "kept")
  local file <close> = assert(io.open("said", "w"))
  if ok then -- it has become that machine
    local mac <close> = assert(io.open("mac"))
    lu.assertEquals(vm:info().nics[1].mac, mac:read("a"))
  end
  file:write(ok and vm:read("/root/f") or err.code .. ": " .. err.message)
end
"""

        def restored(memory="256M"):
            passes(home, again % memory)
            return (home.work / "said").read_text()

        equal(restored(), "kept")  # in another process, by another VM
        contains(restored("192M"), "state: ")
        contains(restored("192M"), "\"memory\"")
        edit(folder, lambda own: own.update(host="0" * 64))
        contains(restored(), "another Mac")
        (folder / "snapshot.json").write_text(whole)
        edit(folder, lambda own: own.update(os_version="199.1"))
        contains(restored(), "was taken on macOS 199.1")
        (folder / "snapshot.json").write_text(whole)
        edit(folder, lambda own: own.update(machine="0" * 64))
        contains(restored(), "other devices")
        (folder / "snapshot.json").write_text(whole)
        (folder / "state").rename(folder / "aside")
        contains(restored(), "not_found: ")
        (folder / "aside").rename(folder / "state")
        equal(restored(), "kept")


INJECTED = HEAD + """
function testIt()
  local vm <close> = vmtest.vm { driver = "vz", image = "small" }
  vm:write("/root/f", "kept")
  local ok, err = pcall(vm.snapshot, vm, "one")
  local file <close> = assert(io.open("said", "w"))
  file:write("snapshot ", ok and "ok" or tostring(err), "\\n")
  lu.assertEquals(vm:state(), "running")
  lu.assertEquals(vm:read("/root/f"), "kept") -- the guest goes on
  if not ok then return end
  ok, err = pcall(vm.restore, vm, "one")
  file:write("restore ", ok and "ok" or tostring(err), "\\n")
  if ok then return end
  lu.assertEquals(vm:state(), "crashed")
  vm:start()
end
"""


def test_what_the_framework_refuses():
    with guest_home() as home:
        def said(fail):
            home.env["VMTEST_FAKE_VZ_FAIL"] = fail
            passes(home, INJECTED)
            return (home.work / "said").read_text()

        text = said("save=11")
        contains(text, "VZErrorDomain 11")
        contains(text, "the snapshot was given up")
        text = said("restore=12")
        contains(text, "snapshot ok\nrestore ")
        contains(text, "VZErrorDomain 12")
        contains(text, "belongs to its Mac")


def test_vms_that_stay():
    with guest_home() as home:
        def vm(*words):
            run = home.run("vm", *words, timeout=120)
            equal(run.returncode, 0, words, run.stdout + run.stderr)
            return run.stdout

        vm("create", "stays", "--driver", "vz", "--image", "small")
        try:
            vm("start", "stays")
            contains(vm("ls"), "running")
            equal(vm("exec", "stays", "--", "echo", "here"), "here\n")
            vm("pause", "stays")
            vm("resume", "stays")
            vm("exec", "stays", "--", "touch", "/root/there")
            vm("snapshot", "stays", "one")
            vm("exec", "stays", "--", "rm", "/root/there")
            vm("restore", "stays", "one")
            vm("exec", "stays", "--", "test", "-e", "/root/there")
            vm("stop", "stays")
            check("running" not in vm("ls"), "it stopped")
        finally:
            home.run("vm", "rm", "-f", "stays")
        equal(home.leftovers(15, but=("rt/vms",)), [])


PARTS = {
    "stand_in": [test_there_is_none, test_another_version, test_no_json, test_too_many_machines,
                 test_a_machine_that_cannot_be, test_it_dies, test_it_crashes_after_a_while,
                 test_it_never_answers, test_a_host_that_is_too_old, test_a_guest_that_is_too_old,
                 test_options_reach_the_helper, test_options_that_the_host_lacks,
                 test_options_that_the_guest_lacks, test_another_program],
    "guest": [test_a_killed_helper, test_reboots, test_a_killed_worker, test_nobody_left_to_end_it,
              test_disks, test_options_of_its_own, test_snapshots_that_do_not_fit, test_what_the_framework_refuses,
              test_vms_that_stay],
}

if __name__ == "__main__":
    part = sys.argv.pop(1)
    main(PARTS[part])
