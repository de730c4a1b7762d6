#!/usr/bin/env python3
"""Named VMs that run: a life, a training lab, two commands at once, a run that holds a VM, a VM that
a run left, and kill -9 at any moment of a start."""
import json
import os
import random
import select
import signal
import socket
import time

from vt import Home, check, contains, equal, main, need_image, shown

DISK = "name=data,size=1M"
MEMORY = "128M"


class Vms(Home):
    """A home whose VMs end with the test."""

    def __init__(self):
        super().__init__(images=True)

    def __exit__(self, *what):
        for pid, cmd in self.processes().items():
            if b"qemu-system" in cmd.split(b" ")[0]:
                os.kill(pid, signal.SIGKILL)
        super().__exit__(*what)

    def vm(self, *args, code=0, **kwargs):
        r = self.run("vm", *args, **kwargs)
        equal(r.returncode, code, args, r.stderr)
        return r

    def row(self, name):
        rows = {row["name"]: row for row in json.loads(self.vm("ls", "--json").stdout)}
        return rows.get(name)

    def state(self, name):
        return self.row(name)["state"]

    def create(self, name):
        self.vm("create", name, "--image", "small", "-m", MEMORY, "--disk", DISK)

    def write(self, name, text):
        self.vm("exec", name, f"printf %-512s {text} > /dev/vda && sync")

    def read(self, name):
        return self.vm("exec", name, "head -c 512 /dev/vda | tr -d '\\0 '").stdout


def qemus(home):
    return [pid for pid, cmd in home.processes().items() if b"qemu-system" in cmd.split(b" ")[0]]


def test_a_life():
    with Vms() as home:
        home.create("web")
        end, held = os.pipe()
        home.vm("start", "web", pass_fds=[held])
        os.close(held)
        check(select.select([end], [], [], 10)[0] and os.read(end, 1) == b"",
              "the VM holds what the shell that started it had open")
        os.close(end)
        pid = home.row("web")["pid"]
        equal(qemus(home), [pid])
        r = home.vm("start", "web")
        contains(r.stderr, "runs already")
        home.write("web", "kept")
        # what vmtest does between has no part in the VM's life
        equal(home.vm("exec", "web", "exit 7", code=7).stdout, "")
        r = home.run("vm", "exec", "-i", "web", "--", "tr", "a-z", "A-Z", check=True)
        home.suite("up/one.txt", "one")
        home.vm("cp", "up", "web:/tmp/up")
        home.vm("cp", "web:/tmp/up/one.txt", "down.txt")
        equal((home.work / "down.txt").read_text(), "one")
        home.vm("pause", "web")
        equal(home.state("web"), "paused")
        contains(home.vm("exec", "web", "true", code=2).stderr, "is paused")
        home.vm("resume", "web")
        r = home.start("vm", "console", "web", stdin=-1)
        while not select.select([r.stdout], [], [], 0)[0]:  # what was said before it is there is lost
            home.vm("exec", "web", "echo still alone > /dev/console")
        home.vm("exec", "web", "echo from the guest > /dev/console")
        shown(r.stdout.fileno(), "from the guest")
        out, err = r.communicate("to the guest\n", timeout=60)
        equal(r.returncode, 0, err)
        contains(out, "to the guest")  # its terminal's echo
        # a run's end, and a sweep, leave it alone
        home.vm("rm", "--all")
        equal(home.row("web")["pid"], pid)
        contains(home.vm("rm", "web", code=3).stderr, "runs")
        home.vm("stop", "web")
        equal(home.state("web"), "stopped")
        equal(qemus(home), [])
        home.vm("rm", "--all")
        home.vm("start", "web")
        equal(home.read("web"), "kept")
        home.vm("kill", "web")
        home.vm("rm", "web")
        equal(home.row("web"), None)
        equal(os.listdir(home.home / "vms"), [])


def test_a_training_lab():
    with Vms() as home:
        lab = [f"student-{i}" for i in (1, 2, 3)]
        home.create("master")
        home.vm("clone", "master", "student-{1..3}", "--start")
        equal({home.state(name) for name in lab}, {"running"})
        equal(len(qemus(home)), 3)
        for name in lab:
            equal(home.read(name), "")
            home.write(name, name)
        equal([home.read(name) for name in lab], lab)
        home.vm("stop", "--kill", "student-3")
        home.vm("reset", "student-{1..3}")
        equal([home.state(name) for name in lab], ["running", "running", "stopped"])
        equal([home.read(name) for name in lab[:2]], ["", ""])
        home.vm("rm", "--force", "student-{1..3}", "master")
        equal(qemus(home), [])


def snapshots(home, name):
    return {s["name"]: s for s in json.loads(home.vm("snapshots", name, "--json").stdout)}


def uptime(home, name):
    return float(home.vm("exec", name, "cat /proc/uptime").stdout.split()[0])


def test_snapshots_and_clones_of_a_running_vm():
    with Vms() as home:
        home.create("web")
        home.vm("start", "web")
        home.vm("exec", "web", "echo before > /tmp/mark")
        home.write("web", "before")
        home.vm("snapshot", "web", "clean")
        home.vm("exec", "web", "echo after > /tmp/mark")
        home.write("web", "after")
        home.vm("snapshot", "web", "later")
        equal({n: (s["memory"], s.get("parent")) for n, s in snapshots(home, "web").items()},
              {"clean": (True, None), "later": (True, "clean")})
        contains(home.vm("snapshots", "web").stdout, "  later")
        booted = uptime(home, "web")
        home.vm("restore", "web", "clean")
        equal(home.vm("exec", "web", "cat /tmp/mark").stdout, "before\n")
        equal(home.read("web"), "before")
        # a clone goes on in the snapshot's memory, and is put back there
        home.vm("clone", "web@clean", "copy-{1..2}", "--start")
        for name in ("copy-1", "copy-2"):
            equal(home.vm("exec", name, "cat /tmp/mark").stdout, "before\n")
            home.vm("exec", name, f"echo {name} > /tmp/mark")
        equal(home.vm("exec", "copy-1", "cat /tmp/mark").stdout, "copy-1\n")
        home.vm("reset", "copy-1")
        equal(home.vm("exec", "copy-1", "cat /tmp/mark").stdout, "before\n")
        check(uptime(home, "copy-1") < booted + 30, "it did not boot anew")
        contains(home.vm("rmsnap", "web", "clean", code=3).stderr, "copy-1, copy-2")
        contains(home.vm("rm", "--force", "web", code=3).stderr, "copy-1, copy-2")
        home.vm("rmsnap", "web", "later")
        equal(list(snapshots(home, "web")), ["clean"])
        home.vm("rm", "--force", "web", "copy-{1..2}")
        equal(qemus(home), [])


def test_two_commands_at_once():
    with Vms() as home:
        home.create("web")
        first = home.start("vm", "start", "web")
        while not qemus(home):
            time.sleep(0.01)
        second = home.run("vm", "reset", "web")
        out, err = first.communicate(timeout=100)
        equal(first.returncode, 0, err)
        # it waited its turn, or said who had it
        if second.returncode:
            equal(second.returncode, 3)
            contains(second.stderr, f"in use by another vmtest command (process {first.pid})")
        equal(home.state("web"), "running")
        equal(len(qemus(home)), 1)
        home.vm("kill", "web")


def test_a_run_that_holds_a_vm():
    with Vms() as home:
        suite = home.suite("hold.lua", f"""
            local vmtest = require "vmtest"
            TestHold = vmtest.class {{ image = "small", vm = {{ memory = "{MEMORY}" }} }}
            function TestHold:testIt()
              while not io.open "go" do vmtest.sleep(0.1) end
              error "failed"
            end
        """)
        run = home.start("run", "--keep", "fail", "--timeout", "300s", suite)
        while not [r for r in json.loads(home.vm("ls", "--json").stdout)
                   if r["state"] == "running" and r["facts"].get("ssh")]:
            check(run.poll() is None, "the run ended")
            time.sleep(0.1)
        row = json.loads(home.vm("ls", "--json").stdout)[0]
        name = row["name"]
        equal(row["run_alive"], True)
        r = home.vm("pause", name, code=3)
        contains(r.stderr, f"is in use by the run {row['run']}")
        contains(home.vm("console", name, code=3).stderr, row["run"])
        equal(home.vm("exec", name, "echo by ssh").stdout, "by ssh\n")
        (home.work / "go").touch()
        run.communicate(timeout=100)
        equal(run.returncode, 1)
        # left running: its configuration lies beside it
        equal(home.row(name)["run_alive"], False)
        home.vm("pause", f"{row['run']}/{name}")
        equal(home.state(name), "paused")
        home.vm("resume", name)
        equal(home.vm("exec", name, "echo still there").stdout, "still there\n")
        home.vm("rm", "--all")
        equal(home.row(name), None)
        equal(qemus(home), [])


def test_killed_in_the_middle_of_a_start():
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    with Vms() as home:
        home.create("web")
        for moment in (0.02, rng.uniform(0.03, 0.3), rng.uniform(0.3, 1)):
            start = home.start("vm", "start", "web")
            time.sleep(moment)
            start.kill()
            start.communicate()
            check(home.state("web") in ("stopped", "starting", "running"), home.row("web"))
        home.vm("start", "web")
        equal(home.state("web"), "running")
        equal(len(qemus(home)), 1)
        home.write("web", "whole")
        equal(home.read("web"), "whole")
        home.vm("rm", "--force", "web")
        equal(qemus(home), [])


def test_interrupted_start():
    with Vms() as home:
        home.create("web")
        start = home.start("vm", "start", "web")
        while not qemus(home):
            time.sleep(0.01)
        start.send_signal(signal.SIGINT)
        out, err = start.communicate(timeout=60)
        equal(start.returncode, 130, err)
        check(home.state("web") in ("stopped", "running"), home.row("web"))
        home.vm("kill", "web")
        equal(home.state("web"), "stopped")
        equal(qemus(home), [])


class Monitor:
    """QEMU's own, behind vmtest's back."""

    def __init__(self, home, name):
        state = next(path.parent for path in home.runtime.rglob("vm.json") if path.parent.name == name)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(state / "qmp"))
        self.stream = self.socket.makefile("rw")
        self.stream.readline()

    def __enter__(self):
        self.ask("qmp_capabilities")
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()

    def message(self, wanted):
        while not wanted(m := json.loads(self.stream.readline())):
            pass
        return m

    def ask(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        return self.message(lambda m: "return" in m or "error" in m)["return"]

    def unplug(self, device):
        self.ask("device_del", id=device)
        self.message(lambda m: m.get("data", {}).get("device") == device)


def unplug(home, name, device):
    """As a guest may that was asked before."""
    with Monitor(home, name) as qemu:
        qemu.unplug(device)


def behind_slots(home, name):
    """What QEMU has for what is plugged in."""
    with Monitor(home, name) as qemu:
        names = [c["label"] for c in qemu.ask("query-chardev")]
        names += [n["node-name"] for n in qemu.ask("query-named-block-nodes")]
    return [n for n in names if n.startswith("slot")]


def test_a_share_comes_and_goes():
    """Each command is a process of its own: what one gave, another takes away."""
    if os.geteuid():
        print("virtiofsd needs root: not tested")
        return
    with Vms() as home:
        home.create("web")
        home.vm("start", "web")
        (home.work / "plain").mkdir()
        (home.work / "plain" / "file").write_text("from the host\n")
        home.vm("share", "web", "name=src,path=plain,read-only")
        contains(home.vm("share", "web", "name=src,path=plain", code=3).stderr, "already")
        contains(home.vm("snapshot", "web", "no", code=2).stderr, '"src"')
        home.vm("exec", "web", "mkdir /s; for i in $(seq 50); do mount -t virtiofs src /s && break;"
                " sleep 0.2; done; cat /s/file && ! touch /s/new")
        home.vm("exec", "web", "umount /s")
        unplug(home, "web", "slot0")
        home.vm("unshare", "web", "src")
        contains(home.vm("unshare", "web", "src", code=2).stderr, 'no share "src"')
        home.vm("share", "web", "name=src,path=plain")
        equal(behind_slots(home, "web"), ["slot0-fs"])
        home.vm("unshare", "web", "src")
        equal(behind_slots(home, "web"), [])
        home.vm("snapshot", "web", "yes")
        home.vm("rm", "--force", "web")
        equal(qemus(home), [])


def test_what_qemu_refuses_to_plug_leaves_nothing():
    with Vms() as home:
        home.create("web")
        home.vm("start", "web")
        (home.work / "plain").mkdir()
        (home.work / "disk").write_bytes(bytes(1 << 20))
        gives = [("attach-disk", "detach-disk", "name=own,path=disk"), ("attach-disk", "detach-disk", "name=new,size=1M")]
        if os.geteuid() == 0:
            gives.append(("share", "unshare", "name=src,path=plain"))
        for give, take, what in gives:
            with Monitor(home, "web") as qemu:
                qemu.ask("device_add", driver="virtio-rng-pci", id="slot0", bus="slot1-port")
            contains(home.vm(give, "web", what, code=3).stderr, "QEMU refused device_add")
            equal(behind_slots(home, "web"), [])
            unplug(home, "web", "slot0")
            home.vm(give, "web", what)
            home.vm(take, "web", what[5:8])
        home.vm("kill", "web")
        equal(list(home.path.rglob("slot0*")), [])


def test_a_disk_comes_and_goes():
    """The same of disks; their files go with them."""
    with Vms() as home:
        home.create("web")
        home.vm("start", "web")
        (home.work / "disk").write_bytes(b"from the host\n".ljust(1 << 20, b"\0"))
        home.vm("attach-disk", "web", "name=stick,path=disk")
        contains(home.vm("attach-disk", "web", "name=stick,size=1M", code=3).stderr, "already")
        contains(home.vm("snapshot", "web", "no", code=2).stderr, '"stick"')
        find = "for i in $(seq 50); do d=$(grep -lx stick /sys/block/*/serial) && break; sleep 0.2; done"
        equal(home.vm("exec", "web", find + "; d=${d%/serial}; head -c 14 /dev/${d##*/}").stdout, "from the host\n")
        facts = json.loads(next(home.runtime.rglob("vm.json")).read_text())
        equal([d["name"] for d in facts["disks"]], ["data", "stick"])
        home.vm("detach-disk", "web", "stick")
        contains(home.vm("detach-disk", "web", "stick", code=2).stderr, 'no disk "stick"')
        home.vm("attach-disk", "web", "name=stick,size=1M")
        unplug(home, "web", "slot0")
        home.vm("detach-disk", "web", "stick")
        home.vm("attach-disk", "web", "name=stick,size=1M")
        equal(behind_slots(home, "web"), ["slot0-new"])
        made = list(home.path.rglob("slot0-new"))
        equal(len(made), 1)
        home.vm("kill", "web")
        equal([p for p in made if p.exists()], [])
        home.vm("rm", "--force", "web")
        equal(qemus(home), [])


need_image()
main([test_a_life, test_a_training_lab, test_a_share_comes_and_goes, test_a_disk_comes_and_goes,
      test_what_qemu_refuses_to_plug_leaves_nothing, test_snapshots_and_clones_of_a_running_vm,
      test_two_commands_at_once, test_a_run_that_holds_a_vm, test_killed_in_the_middle_of_a_start,
      test_interrupted_start])
