#!/usr/bin/env python3
"""vmtest vm console, on a terminal and in a pipe.

vm_console.py qemu: by QEMU's socket.
vm_console.py vz: by the log and the input socket of the vz driver's helper, beside the fake framework."""
import os
import pty
import select
import signal
import sys
import termios
import time

from vt import Home, check, contains, equal, main, need_image, shown, skip

DRIVER = sys.argv.pop(1)
LEAVE = b"\x1d"


class Vm(Home):
    """A home with a VM that runs."""

    def __init__(self):
        need_image()
        if DRIVER == "vz":
            if not os.access(os.environ.get("VMTEST_VZ", ""), os.X_OK):
                skip("the fake framework was not built (it needs GNUstep)")
            os.environ["VMTEST_FAKE_VZ_GUEST"] = "qemu"
        super().__init__(images=True)

    def __enter__(self):
        try:
            self.vm("create", "web", "--driver", DRIVER, "--image", "small")
            self.vm("start", "web")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *what):
        self.run("vm", "kill", "web")
        self.run("vm", "rm", "-f", "web")
        left = [] if what[0] else self.leftovers(10, but=("rt/vms",))
        super().__exit__(*what)
        equal(left, [])

    def vm(self, *words):
        run = self.run("vm", *words, timeout=120)
        equal(run.returncode, 0, words, run.stdout + run.stderr)
        return run.stdout

    def says(self, text):
        self.vm("exec", "web", f"echo {text} >/dev/console")


class Terminal:
    """A console on a terminal of its own."""

    def __init__(self, home):
        self.end, self.tty = pty.openpty()
        self.before, self.text = termios.tcgetattr(self.tty), ""
        self.process = home.start("vm", "console", "web", stdin=self.tty, stdout=self.tty, stderr=self.tty)
        self.shows("console of web; Ctrl-] leaves")
        check(termios.tcgetattr(self.tty) != self.before, "keys do not go one by one")

    def shows(self, wanted, patience=60):
        self.text = shown(self.end, wanted, self.text, patience)

    def type(self, keys):
        os.write(self.end, keys)

    def ends(self, status):
        equal(self.process.wait(timeout=60), status, self.text)
        equal(termios.tcgetattr(self.tty), self.before, "the terminal is not as it was")
        os.close(self.end)
        os.close(self.tty)


def test_a_terminal():
    with Vm() as home:
        home.says("said before")
        terminal = Terminal(home)
        home.says("the guest says")
        terminal.shows("the guest says")
        check("said before" not in terminal.text, terminal.text)
        # what is typed is read in the guest
        reads = home.start("vm", "exec", "web", "head -n 1 </dev/console")
        for _ in range(60):
            terminal.type(b"typed keys\r")
            if select.select([reads.stdout], [], [], 1)[0]:
                break
        contains(reads.communicate(timeout=60)[0], "typed keys")
        # much at once comes whole
        much = home.start("vm", "exec", "web", "{ seq 1 4000; echo that was all; } >/dev/console")
        terminal.shows("that was all", patience=120)
        equal(much.wait(timeout=60), 0)
        numbers = [word for word in terminal.text.split() if word.isdigit()]
        equal(numbers[-4000:], [str(i) for i in range(1, 4001)])
        # one at a time
        second = home.run("vm", "console", "web")
        equal(second.returncode, 3, second.stderr)
        contains(second.stderr, f"process {terminal.process.pid} has the console of VM web")
        terminal.type(b"before" + LEAVE + b"after")
        terminal.ends(0)
        home.says("that it lives")
        # by a signal
        terminal = Terminal(home)
        terminal.process.send_signal(signal.SIGTERM)
        terminal.ends(143)
        # the VM's end is that of its console, with the last that it said
        terminal = Terminal(home)
        home.says("last words")
        home.vm("kill", "web")
        terminal.shows("last words")
        terminal.ends(0)
        stopped = home.run("vm", "console", "web")
        equal(stopped.returncode, 2, stopped.stderr)
        contains(stopped.stderr, "VM web does not run")


def test_a_pipe():
    with Vm() as home:
        console = home.start("vm", "console", "web", stdin=-1)
        time.sleep(1)
        home.says("from the guest")
        out, err = console.communicate("to the guest\n", timeout=60)
        equal(console.returncode, 0, err)
        contains(out, "from the guest")
        contains(out, "to the guest")  # its terminal's echo


if __name__ == "__main__":
    main([test_a_terminal, test_a_pipe])
