#!/usr/bin/env python3
"""The traps of Tart, on a stand-in for it (tests/standin/tart): what is lost when one does not know
them, that vmtest says so where it cannot be helped, and that nothing of ours stays behind."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from vt import Home, check, contains, equal, image_store, main, need_image, skip

STANDIN = pathlib.Path(__file__).resolve().parent.parent / "standin"
OTHERS = ["golden", "vmtest-mine-0123456789ab"]  # not ours, whatever it is called

HEAD = """
local lu = require "luaunit"
local vmtest = require "vmtest"
local function raises(code, fn, ...)
  local ok, err = pcall(fn, ...)
  lu.assertFalse(ok, "an error was expected")
  lu.assertEquals(err.code, code, tostring(err))
  return tostring(err)
end
local ways = { user = os.getenv "T_USER", key = os.getenv "T_KEY", suspendable = true }
local function make(extra)
  local o = { image = "golden", tart = ways }
  for key, value in pairs(extra or {}) do o[key] = value end
  return vmtest.vm(o)
end
"""


class Tart(Home):
    """A home with VMs of its own in the stand-in."""

    def __init__(self):
        super().__init__()
        self.env.update(PATH=f"{STANDIN}:{os.environ['PATH']}", TART_HOME=str(self.path / "tart"))
        image = (image_store() / "small-disk" / "latest").resolve()
        self.tart("standin-import", "golden", image)
        self.tart("clone", "golden", OTHERS[1])
        golden = json.loads((self.path / "tart/vms/golden/config.json").read_text())
        self.env.update(T_USER=golden["user"], T_KEY=golden["key"])
        self.ways = f"vm=golden,user={golden['user']},key={golden['key']}"

    def __exit__(self, *what):
        for pid in self.processes():  # of a test that failed: VMs that stay
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        super().__exit__(*what)

    def tart(self, *words):
        done = subprocess.run(["tart", *words], env=self.env, capture_output=True, text=True)
        equal(done.returncode, 0, words, done.stderr)
        return done.stdout

    def clones(self):
        return sorted(vm["Name"] for vm in json.loads(self.tart("list", "--source", "local", "--format", "json")))

    def ours(self):
        return [name for name in self.clones() if name not in OTHERS]

    def lua(self, text, code=0, env=None):
        """Runs a suite of one test function's body; what it printed."""
        suite = self.suite("suite.lua", HEAD + f"function testIt()\n{text}\nend\n")
        done = self.run("run", "--driver", "tart", "--timeout", "100s", suite, env=env)
        equal(done.returncode, code, done.stdout, done.stderr)
        self.clean()
        return done.stdout + done.stderr

    def clean(self):
        left = self.leftovers()
        equal(left, [], "left behind")
        equal(self.clones(), OTHERS, "VMs in tart")
        equal(os.listdir(self.home / "tart"), [], "records")


def there_is_no_tart():
    with Home() as home:
        suite = home.suite("suite.lua", HEAD + "function testIt() make() end")
        done = home.run("run", "--driver", "tart", suite, env={"PATH": "/usr/bin:/bin"})
        equal(done.returncode, 3, done.stderr)
        contains(done.stdout + done.stderr, "there is no `tart` on this host")
        contains(done.stdout + done.stderr, "brew install")


def named_vms():
    with Tart() as t:
        done = t.run("vm", "create", "web", "--driver", "tart", "--tart", t.ways + ",suspendable", "--start")
        equal(done.returncode, 0, done.stderr)
        equal(len(t.ours()), 1)
        last = "bs=512 count=1 2>/dev/null"  # of the disk: the guest's files are in its memory
        place = "$(($(cat /sys/block/vda/size) - 1))"
        equal(t.run("vm", "exec", "web", f"echo on-disk | dd of=/dev/vda seek={place} conv=sync {last}; sync; "
                    "echo one > /root/f; cat /root/f").stdout, "one\n")
        equal(t.run("vm", "snapshot", "web", "clean").returncode, 0)
        equal(len(t.ours()), 2)
        t.run("vm", "exec", "web", "echo two > /root/f")
        equal(t.run("vm", "restore", "web", "clean").returncode, 0)
        equal(t.run("vm", "exec", "web", "cat /root/f").stdout, "one\n")
        equal(t.run("vm", "stop", "web").returncode, 0)
        done = t.run("vm", "start", "web")
        equal(done.returncode, 0, done.stderr)
        found = t.run("vm", "exec", "web", f"dd if=/dev/vda skip={place} {last} | head -c 7").stdout
        equal(found, "on-disk", "its disk stayed")
        equal(t.run("gc").returncode, 0)
        equal(len(t.ours()), 2, "gc leaves what is in use")
        equal(t.run("vm", "rm", "--force", "web").returncode, 0)
        equal(t.processes(), {})
        equal(t.clones(), OTHERS)
        equal(os.listdir(t.home / "tart"), [])


def killed():
    with Tart() as t:
        suite = t.suite("suite.lua", HEAD + """
function testIt()
  local vm = make()
  vm:snapshot("one")
  vmtest.sleep(600)
end""")
        for whom in ("parent", "worker", "all"):
            run = t.start("run", "--driver", "tart", suite)
            until = time.monotonic() + 60
            while len(t.ours()) < 2 and time.monotonic() < until:
                time.sleep(0.3)
            equal(len(t.ours()), 2, whom)
            workers = [pid for pid, cmd in t.processes().items() if b"__worker" in cmd]
            janitors = [pid for pid, cmd in t.processes().items() if b"__janitor" in cmd]
            check(workers and janitors, t.processes())
            victims = {"parent": [run.pid], "worker": workers, "all": [*janitors, run.pid, *workers]}[whom]
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            run.communicate(timeout=120)
            if whom == "all":  # nobody is left to clean up: the VM is gone all the same
                until = time.monotonic() + 10
                while any(b"qemu-system" in cmd for cmd in t.processes().values()):
                    check(time.monotonic() < until, t.processes())
                    time.sleep(0.1)
                equal(len(t.ours()), 2)
                time.sleep(2.1)  # a run's folder that is new may be one of a run that begins
                equal(t.run("gc").returncode, 0)
            t.clean()


def saving():
    with Tart() as t:
        t.lua("""
  local vm = make()
  vm:write("/root/f", "before")
  vm:snapshot("slow")
  lu.assertEquals(vm:read("/root/f"), "before")
  vm:write("/root/f", "after")
  vm:restore("slow")
  lu.assertEquals(vm:read("/root/f"), "before")
  -- a second one of the same saved state, beside the first
  local dir
  for _, s in ipairs(vm:snapshots()) do dir = s.dir end
  lu.assertStrContains(raises("busy", vmtest.vm, { snapshot = dir }), "MAC address")
  lu.assertStrContains(raises("unsupported", vm.clone, vm), "MAC address")
  lu.assertEquals(vm:read("/root/f"), "before")
  vm:kill()
  local other <close> = vmtest.vm { snapshot = dir }
  lu.assertEquals(other:read("/root/f"), "before")
  lu.assertStrContains(raises("busy", vm.restore, vm, "slow"), "MAC address")
""", env={"TART_STANDIN_SUSPEND_DELAY": "3"})
        t.lua("""
  local vm = make()
  local said = raises("guest", vm.snapshot, vm, "none")
  lu.assertStrContains(said, "could not be saved, and tart ended it")
  lu.assertStrContains(said, "save is not supported by the configuration")
  lu.assertEquals(vm:state(), "crashed")
  vm:start()
  lu.assertEquals(vm:sh("echo up").stdout, "up\\n")
""", env={"TART_STANDIN_SUSPEND_DIES": "1"})
        t.lua("""
  local vm = make()
  vm:write("/root/f", "before")
  lu.assertStrContains(raises("unsupported", vm.snapshot, vm, "none"), "stacked disks")
  lu.assertEquals(vm:read("/root/f"), "before") -- it goes on all the same
""", env={"TART_STANDIN_STACKED": "1"})
        t.lua("""
  local vm = make { tart = { user = ways.user, key = ways.key } }
  local can, why = vm:supports("snapshot")
  lu.assertFalse(can)
  lu.assertStrContains(raises("unsupported", vm.snapshot, vm, "none"), "suspendable")
""")


def not_restored():
    """What macOS refuses is told by the restore, though tart calls the VM running before that."""
    with Tart() as t:
        done = t.run("vm", "create", "web", "--driver", "tart", "--tart", t.ways + ",suspendable", "--start")
        equal(done.returncode, 0, done.stderr)
        equal(t.run("vm", "snapshot", "web", "clean").returncode, 0)
        done = t.run("vm", "restore", "web", "clean", env={"TART_STANDIN_RESTORE_FAILS": "1"})
        check(done.returncode != 0, "it was restored")
        contains(done.stderr, "macOS refuses what was saved of it")
        contains(done.stderr, "take the snapshot anew")
        done = t.run("vm", "restore", "web", "clean")
        equal(done.returncode, 0, done.stderr)
        equal(t.run("vm", "rm", "--force", "web").returncode, 0)
        equal(t.clones(), OTHERS)


def suspended_original():
    """Its clone would have what was saved, and numbers that do not go with it."""
    with Tart() as t:
        run = subprocess.Popen(["tart", "run", "golden", "--no-graphics", "--suspendable"], env=t.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while json.loads(t.tart("get", "golden", "--format", "json"))["State"] != "running":
            check(time.monotonic() < until, "it does not run")
            time.sleep(0.2)
        t.tart("suspend", "golden")
        equal(run.wait(timeout=60), 0)
        t.lua("""lu.assertStrContains(raises("state", make), "golden is suspended in tart")""")
        t.tart("stop", "golden")
        t.lua("""make():sh("true")""")


def vanishing_neighbours():
    """`tart list` fails where a VM is deleted while it looks: that ends no start."""
    with Tart() as t:
        (t.path / "tart/racing").write_text("3")
        t.lua("""make():sh("true")""")
        equal((t.path / "tart/racing").read_text(), "0")


def used_up():
    """Whoever runs the kept clone by hand uses its state up; whoever runs a copy of it has its address."""
    with Tart() as t:
        t.lua(f"""
  local tart = "tart "
  local vm = make()
  vm:snapshot("one")
  local kept
  for name in io.popen("ls $TART_HOME/vms"):lines() do
    local f = io.open(os.getenv "TART_HOME" .. "/vms/" .. name .. "/state.vzvmsave")
    if f then kept = name; f:close() end
  end
  lu.assertIsString(kept)
  vm:kill()
  os.execute("tart clone " .. kept .. " copy; tart run copy --no-graphics > /dev/null 2>&1 & sleep 3")
  lu.assertStrContains(raises("busy", vm.restore, vm, "one"), "threw the saved state away")
  os.execute("tart stop copy; sleep 1; tart delete copy")
  vm:restore("one")
  lu.assertEquals(vm:sh("echo up").stdout, "up\\n")
  vm:kill()
  os.execute("tart run " .. kept .. " --no-graphics > /dev/null 2>&1 & sleep 3; tart stop " .. kept .. "; sleep 1")
  lu.assertStrContains(raises("state", vm.restore, vm, "one"), "is gone")
""")


def commands_by_exec():
    with Tart() as t:
        t.lua("""
  local vm = make { tart = {} }
  for _, status in ipairs { 0, 1, 2, 64, 125, 126, 127, 128, 255 } do
    lu.assertEquals(vm:exec("exit " .. status).status, status)
  end
  local r = vm:exec("echo out; printf err >&2; exit 2")
  lu.assertEquals({ r.stdout, r.stderr, r.status }, { "out\\n", "err", 2 })
  lu.assertEquals(vm:exec("kill -TERM $$").signal, "TERM")
  for _, word in ipairs { "", " ", "a'b", 'a"b', "$HOME", "`id`", "a;b&c|d", "*", "\\\\n", "-n", "ä€" } do
    lu.assertEquals(vm:exec({ "printf", "%s", word }).stdout, word)
  end
  lu.assertEquals(vm:exec("cat", { stdin = ("0123456789abcdef"):rep(5000) }).stdout, ("0123456789abcdef"):rep(5000))
  lu.assertEquals(vm:exec("cat").stdout, "")
  lu.assertEquals(vm:exec("echo \\"$A\\"; pwd", { env = { A = "it's $HOME" }, cwd = "/tmp" }).stdout,
    "it's $HOME\\n/tmp\\n")
  lu.assertStrContains(raises("guest", vm.exec, vm, "kill -9 $PPID; sleep 1"), "before the command did")
  raises("timeout", vm.exec, vm, "sleep 60", { timeout = "2s" })
  raises("unsupported", vm.exec, vm, "true", { pty = true })
  local can, why = vm:supports("files")
  lu.assertFalse(can)
  lu.assertStrContains(raises("unsupported", vm.write, vm, "/tmp/f", "x"), "ssh")
""")
        for status in ("1", "2", "125"):
            said = t.lua("""raises("timeout", make, { tart = {}, boot_timeout = "4s" })
  error(select(2, pcall(make, { tart = {}, boot_timeout = "4s" })))""", code=3, env={"TART_STANDIN_EXEC": status})
            contains(said, f"status {status}")
            contains(said, "is the Tart Guest Agent running?")
        t.lua("""
  local vm = make { tart = {}, boot_timeout = "40s" }
  local r = vm:exec("echo out; echo err >&2; exit 3")
  lu.assertEquals({ r.stdout, r.stderr, r.status }, { "out\\n", "err\\n", 3 })
""", env={"TART_STANDIN_EXEC_LOSES": "1"})
        t.lua("""
  local since = os.time()
  lu.assertStrContains(raises("unsupported", make, { tart = {} }), "without a terminal")
  lu.assertTrue(os.time() - since < 30, "it kept trying")
""", env={"TART_STANDIN_EXEC": "no-terminal"})


def addresses():
    with Tart() as t:
        said = t.lua("""make { boot_timeout = "8s" }""", code=3, env={"TART_STANDIN_NO_IP": "1"})
        contains(said, "tart knows no address of vmtest-")
        contains(said, "--resolver arp")
        t.lua("""make():sh("true")""", env={"TART_STANDIN_NO_IP": "arp"})
        t.lua("""make { tart = { user = ways.user, key = ways.key, resolver = "agent" } }:sh("true")""",
              env={"TART_STANDIN_NO_IP": "agent"})
        other = subprocess.Popen(["tart", "run", OTHERS[1], "--no-graphics"], env=t.env,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            suite = t.suite("suite.lua", HEAD + "function testIt() make() end")
            done = t.run("run", "--driver", "tart", suite, env={"TART_STANDIN_SAME_IP": "1"})
            equal(done.returncode, 3, done.stdout)
            said = done.stdout + done.stderr
            contains(said, f"the VM {OTHERS[1]} of tart have the same address, 127.77.255.1")
            contains(said, "dhcpd_leases")
            equal(t.clones(), OTHERS)
            check(other.poll() is None, "the other VM still runs")
        finally:
            other.send_signal(signal.SIGINT)
            other.wait()


def limits_and_versions():
    with Tart() as t:
        for words in ("1", "old"):
            said = t.lua("""lu.assertStrContains(raises("limit", make), "as macOS allows (2)")\nmake()""", code=3,
                         env={"TART_STANDIN_CODE6": words})
            contains(said, "restart the host")
        t.lua("""
  local vm = make { tart = { user = ways.user, key = ways.key } }
  lu.assertStrContains(vm:info().hypervisor, "2.10.0")
  lu.assertStrContains(raises("unsupported", vm.stop, vm), "2.10.0")
  lu.assertEquals(vm:state(), "running")
  vm:kill()
  lu.assertEquals(vm:state(), "stopped")
""", env={"TART_STANDIN_GENERATION": "1", "TART_STANDIN_VERSION": "2.10.0"})
        t.lua("""
  local vm = make { tart = { user = ways.user, key = ways.key } }
  vm:stop()
  vm:start()
  vm:reboot()
  lu.assertEquals(vm:sh("echo up").stdout, "up\\n")
""", env={"TART_STANDIN_GENERATION": "2", "TART_STANDIN_VERSION": "a build of our own"})
        said = t.lua("""make { image = "nothing" }""", code=3)
        contains(said, "cannot clone nothing")
        contains(said, "tart list")


def slots():
    """What Tart says of itself as macOS takes one of the host's slots before it starts."""
    with Tart() as t:
        config = t.path / "tart/vms/golden/config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"os": "darwin"}))
        said = t.lua("""make()""", code=3, env={"VMTEST_MACOS_LIMIT": "0"})
        contains(said, "is a macOS guest, and this host is to run none")
        t.lua("""
  local vm <close> = make { name = "first" }
  lu.assertStrContains(raises("busy", make, { name = "second" }), "first")
""", env={"VMTEST_MACOS_LIMIT": "1"})
        old = json.loads(config.read_text())
        del old["os"]  # as those that were made when there was macOS alone
        config.write_text(json.dumps(old))
        contains(t.lua("""make()""", code=3, env={"VMTEST_MACOS_LIMIT": "0"}), "is a macOS guest")
        config.write_text(json.dumps(old | {"os": "linux"}))
        t.lua("""make()""", env={"VMTEST_MACOS_LIMIT": "0"})


def identities():
    """Clones have numbers of their own, and what is restored keeps what it had."""
    with Tart() as t:
        config = t.path / "tart/vms/golden/config.json"  # a Linux guest has no serial number
        config.write_text(json.dumps(json.loads(config.read_text()) | {"os": "darwin"}))
        t.lua("""
  local json = require "vmtest.json"
  local function facts(vm)
    local f = assert(io.open(os.getenv "TART_HOME" .. "/vms/" .. vm:info().tart.name .. "/config.json"))
    local text = f:read("a")
    f:close()
    return text:match('"mac": "(.-)"'), text:match('"serial": "(.-)"'), tonumber(text:match('"memory": (%d+)'))
  end
  local function golden()
    local f = assert(io.open(os.getenv "TART_HOME" .. "/vms/golden/config.json"))
    return f:read("a"):match('"serial": "(.-)"')
  end
  local vm = make { memory = "320M" }
  local mac, serial, memory = facts(vm)
  lu.assertEquals(memory, 320)
  lu.assertNotEquals(serial, golden())
  vm:snapshot("one")
  vm:restore("one")
  lu.assertEquals({ facts(vm) }, { mac, serial, memory })
  vm:kill()
  vm:snapshot("off")
  vm:restore("off")
  lu.assertEquals(vm:state(), "stopped")
  vm:start()
  lu.assertEquals(vm:sh("echo up").stdout, "up\\n")
  local same = make { tart = { user = ways.user, key = ways.key, same_serial = true } }
  local _, kept = facts(same)
  lu.assertEquals(kept, golden())
""".replace('  local json = require "vmtest.json"\n', ""))


need_image("small-disk")
if os.geteuid():
    skip("the stand-in for tart needs root: its guests have addresses with port 22")
if not shutil.which("qemu-img") or not shutil.which("ssh"):
    skip("there is no qemu-img, or no ssh")
main([there_is_no_tart, named_vms, killed, saving, not_restored, suspended_original, vanishing_neighbours, used_up,
      commands_by_exec, addresses, limits_and_versions, slots, identities])
