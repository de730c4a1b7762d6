"""The helper as a process: what it says of itself, its clients, its end."""
import fcntl
import json
import os
import signal
import socket
import subprocess

from helper import BAD, BUSY, FAKE, MIB, UNSUPPORTED, Client, Failed, Helper, check, ipsw


def test_hello_says_that_it_is_a_fake(f):
    with Helper(f) as c:
        check(c.hello | {"pid": 0} == {"event": "hello", "protocol": 1, "version": c.hello["version"], "pid": 0,
                                       "state": "none", "fake": True}, c.hello)
        check(c.ok("host")["fake"] is True)
    said = subprocess.run([FAKE, "--version"], capture_output=True, check=True, text=True).stdout
    check("fake" in said and c.hello["version"] in said, said)
    host = json.loads(subprocess.run([FAKE, "--check"], capture_output=True, check=True).stdout)
    check(host["fake"] is True and host["supported"] is True, host)


def test_host(f):
    with Helper(f, OS="15.1", UNSUPPORTED=1, ROSETTA="not_installed", NESTED=1) as c:
        host = c.ok("host", "none")
        for name, value in {"supported": False, "os_version": "15.1", "arch": "arm64", "nested": True,
                            "rosetta": "not_installed", "min_cpus": 1, "max_cpus": 8,
                            "min_memory": 128 * MIB, "max_memory": 64 << 30,
                            "bridges": [{"id": "en0", "name": "Wi-Fi"}, {"id": "en7"}]}.items():
            check(host[name] == value, name, host)
    with Helper(f, OS="14.0", NESTED=1) as c:
        check(c.ok("host")["nested"] is False)


def test_several_clients(f):
    helper = Helper(f)
    with helper as c:
        others = [Client(helper.path) for _ in range(7)]
        many = socket.socket(socket.AF_UNIX)
        many.settimeout(20)
        many.connect(helper.path)
        refused = json.loads(many.makefile("rb").readline())
        check(refused["id"] is None and refused["error"]["code"] == BUSY, refused)
        many.close()
        c.ok("create", config=f.config())
        others[0].ok("start", "running")
        others[1].ok("pause", "paused")
        for other in others:
            for state in ("stopped", "starting", "running", "pausing", "paused"):
                check(other.event("state")["state"] == state)
        number = others[2].send("resume")
        others[2].close()  # its request goes on
        check(number == 1)
        while c.event("state")["state"] != "running":
            pass
        for other in others[3:]:
            other.close()


def test_a_client_that_left(f):
    helper = Helper(f, MS=200)
    with helper as c:
        other = Client(helper.path)
        c.ok("create", config=f.config())
        other.send("start")
        while c.event("state")["state"] != "starting":
            pass
        other.close()  # its request goes on, and nobody is told what comes of it
        while c.event("state")["state"] != "running":
            pass
        c.ok("state", "running")


def test_malformed_lines(f):
    helper = Helper(f)
    with helper as c:
        for line in (b"", b"x", b"[]", b'{"id":1}', b'{"op":"state"}', b'{"id":"1","op":"state"}',
                     b'{"id":2,"op":"create","config":{"cpus":2}}', b'{"id":3,"op":"state","x":1}'):
            c.socket.sendall(line + b"\n")
            reply = c.read()
            check(reply["ok"] is False and reply["error"]["code"] == BAD, line, reply)
        other = Client(helper.path)
        other.socket.sendall(b"\xff\xfe\n")
        check(other.read()["error"]["code"] == BAD and other.read() is None)
        other.close()
        c.ok("state", "none")


def test_it_ends_with_its_tie(f):
    ours, theirs = socket.socketpair()
    with open(f / "lease", "w", encoding="utf-8") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX)
        helper = Helper(f, options=("--tie", str(theirs.fileno()), "--lease", str(lease.fileno())),
                        pass_fds=(theirs.fileno(), lease.fileno()))
    theirs.close()
    with open(f / "lease", encoding="utf-8") as again:
        helper.client.ok("create", config=f.config())
        helper.client.ok("start", "running")
        try:  # the lock lives with the VM, though we have closed it
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise Failed("the lease is not held")
        except BlockingIOError:
            pass
        ours.close()
        helper.end()
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    helper.process.stderr.close()
    helper.client.close()


def test_it_ends_by_signals(f):
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)):
        helper = Helper(f)
        helper.client.ok("create", config=f.config(vsock=[{"port": 7, "socket": f / f"v{number}"}]))
        helper.client.ok("start")
        helper.process.send_signal(number)
        helper.end(code)
        check(os.path.exists(f / f"v{number}") == (number == signal.SIGKILL))
        helper.process.stderr.close()
        helper.client.close()


def test_it_ends_in_whatever_state(f):
    for steps in ((), ("create",), ("create", "start"), ("create", "start", "pause")):
        with Helper(f) as c:
            for step in steps:
                c.ok(step, **({"config": f.config()} if step == "create" else {}))
    with Helper(f, MS=100) as c:  # on its way
        c.ok("create", config=f.config())
        c.send("start")
        number = c.send("quit")
        while (message := c.read()) and message.get("id") != number:
            pass
        check(message and message["ok"], message)
        c.ok = lambda *_: None  # it has been asked to quit
    with Helper(f, INSTALL_MS=20000) as c:
        c.ok("create", config=f.mac_config())
        c.send("install", path=ipsw(f, "ipsw 24F74 15 5"))
        c.event("progress")
        number = c.send("quit")
        while (message := c.read()) and message.get("id") != number:
            pass
        check(message and message["ok"], message)
        c.ok = lambda *_: None
