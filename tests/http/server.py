"""The server of the room "http", against curl, openssl, and clients that mean it ill."""
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

program, part = sys.argv[1:3]
folder = tempfile.TemporaryDirectory()


class Server:
    def __init__(self, *args, fails=None):
        self.p = subprocess.Popen([program, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        line = self.p.stdout.readline()
        if fails:
            assert not line and self.p.wait() == 1, line
            self.error = self.p.stderr.read()
            assert re.search(fails, self.error), self.error
            return
        self.port = int(line or self.p.stderr.read())

    def end(self):
        """A crash, a leak (sanitizers) and a server that does not end are all failures."""
        self.p.stdin.close()
        code = self.p.wait(20)
        error = self.p.stderr.read()
        assert code == 0 and not error, (code, error)

    def raw(self, data, timeout=10):
        """Everything that comes back till the server closes the connection."""
        s = socket.create_connection(("127.0.0.1", self.port), timeout)
        got = b""
        try:
            s.sendall(data)
            while piece := s.recv(65536):
                got += piece
        except ConnectionError:
            pass
        except TimeoutError:
            raise AssertionError(f"neither answered nor closed: {data[:80]!r}, {got[:80]!r}")
        s.close()
        return got

    def alive(self):
        assert self.curl("/ping", "-o", "/dev/null", "-w", "%{http_code}") == "200"

    def curl(self, path, *args, scheme="http", code=0):
        r = subprocess.run(["curl", "-sS", "-m", "15", *args,
                            f"{scheme}://127.0.0.1:{self.port}{path}"], capture_output=True, text=True)
        assert r.returncode in (code, code and 55), (r.returncode, r.stderr)
        return r.stdout


def eventually(check, what):
    for _ in range(100):
        if check():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def test_plain():
    s = Server("body=100000")
    out = s.curl("/a/../b%20c?x=1&y=%41", "-i", "-H", "MDM-Signature: x y", "-A", "me")
    assert out.endswith("GET|/b c|x=1&y=A|127.0.0.1|me|x y|0|"), out
    assert "X-Own: yes" in out and "Set-Cookie" not in out, out
    out = s.curl("/p", "-X", "PUT", "--data-binary", "hello", "-A", "me")
    assert out == "PUT|/p||127.0.0.1|me|-|0|hello", out
    body = os.path.join(folder.name, "body")
    with open(body, "wb") as f:
        f.write(bytes(range(256)) * 390)
    out = subprocess.run(["curl", "-sS", "--data-binary", "@" + body,
                          f"http://127.0.0.1:{s.port}/x"], capture_output=True, check=True).stdout
    assert out.split(b"|", 7)[7] == bytes(range(256)) * 390
    # over the limit, and in chunks of unknown size: refused, and the client is told
    with open(body, "ab") as f:
        f.write(b"x" * 1000000)
    out = s.curl("/x", "--data-binary", "@" + body, "-o", "/dev/null", "-w", "%{http_code}")
    assert out == "413", out
    out = s.curl("/x", "-H", "Transfer-Encoding: chunked", "--data-binary", "a", "-w", "%{http_code}")
    assert out == "411", out
    # several in a row, late ones and streams among them; each ends its connection
    url = f"http://127.0.0.1:{s.port}"
    r = subprocess.run(["curl", "-sSv", url + "/later", url + "/stream", url + "/later", "-d", "1",
                        url + "/e"], capture_output=True, text=True, check=True)
    assert "".join(f"event {i}\n" for i in (5, 4, 3, 2, 1)) in r.stdout, r.stdout
    assert r.stdout.count("later") == 2 and r.stderr.count("< Connection: close") == 4, r.stderr
    out = s.curl("/stream", "-0", "-i")
    assert "chunked" not in out and out.endswith("event 1\n"), out
    # of requests sent ahead the first is answered
    got = s.raw(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    assert got.count(b"200 OK") == 1 and got.endswith(b"later"), got
    # files
    out = s.curl("/file?" + body, "-o", body + ".got")
    assert open(body, "rb").read() == open(body + ".got", "rb").read()
    for missing in ("/nowhere", "/dev/zero", "/"):
        assert s.curl("/file?" + missing, "-o", "/dev/null", "-w", "%{http_code}") == "404"
    out = s.curl("/file?" + body, "-I")
    assert f"Content-Length: {os.path.getsize(body)}\n" in out.replace("\r", ""), out
    # a client that goes away is noticed
    for path in ("/endless", "/never", "/later"):
        before = int(s.curl("/gone").split()[0])
        c = socket.create_connection(("127.0.0.1", s.port))
        c.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        time.sleep(0.03)
        c.close()
        eventually(lambda: int(s.curl("/gone").split()[0]) == before + 1, path)
    # what is under way when the server closes is let go of, too
    held = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(3)]
    for c, path in zip(held, ("/endless", "/never", "/big")):
        c.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    s.alive()
    s.end()
    s = Server()
    assert s.curl("/drain", "-i").count("Connection: close") == 1
    assert s.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""
    s.end()
    s = Server()
    Server(f"listen=127.0.0.1:{s.port}", fails="^busy: cannot listen")
    s.end()
    for bad in ("127.0.0.1", "localhost:80", "127.0.0.1:", "127.0.0.1:99999", "[127.0.0.1]:1", ":1"):
        Server("listen=" + bad, fails="^invalid")


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder.name)


def make_certs():
    for name, issuer in (("ca", None), ("server", "ca"), ("client", "ca"), ("other", None)):
        words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-days", "2", "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".pem"]
        if issuer:
            words += ["-CA", issuer + ".pem", "-CAkey", issuer + ".key", "-addext",
                      "basicConstraints=critical,CA:FALSE", "-addext",
                      "subjectAltName=IP:127.0.0.1"]
        openssl(*words)


def test_tls():
    make_certs()
    at = lambda name: os.path.join(folder.name, name)
    files = ["cert=" + at("server.pem"), "key=" + at("server.key")]
    os.chmod(at("server.key"), 0o640)
    Server(*files, fails="^auth: .*can be read by others.*chmod 600")
    os.chmod(at("server.key"), 0o600)
    Server("cert=" + at("server.pem"), fails="^invalid")
    Server("cert=" + at("ca.pem"), "key=" + at("server.key"), fails="^invalid: the server's key")
    Server("cert=" + at("server.key"), "key=" + at("server.key"), fails="^invalid: .*certificate")
    Server("clients=1", fails="^invalid: .*need TLS")
    ca = open(at("ca.pem")).read()
    client = ["--cert", at("client.pem"), "--key", at("client.key")]
    other = ["--cert", at("other.pem"), "--key", at("other.key")]
    der = len(subprocess.run(["openssl", "x509", "-in", at("client.pem"), "-outform", "DER"],
                             capture_output=True, check=True).stdout)

    def size(s, *args, code=0):
        out = s.curl("/x", "--cacert", at("ca.pem"), *args, scheme="https", code=code)
        return None if code else int(out.split("|")[6])

    s = Server(*files)
    assert size(s) == 0 and size(s, *client) == 0
    size(s, "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", code=35)
    assert size(s, "--tls-max", "1.2") == 0
    for n in (1000, 4000, 9000, 13000, 16000, 16384, 17000, 30000, 33000, 70000):  # around a record's size
        with open(at("body"), "w") as f:
            f.write("b" * n)
        size(s, "--data-binary", "@" + at("body"), "-H", "Expect:", "--max-time", "20")
    assert s.curl("/x", code=60, scheme="https") == ""  # no --cacert: not trusted
    # plain HTTP, and noise, on the TLS port
    s.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for n in (1, 5, 300, 70000):
        s.raw(os.urandom(n), timeout=1) if n > 5 else socket.create_connection(
            ("127.0.0.1", s.port)).sendall(os.urandom(n))
    assert size(s) == 0
    s.end()
    s = Server(*files, "clients=1")
    assert size(s) == 0 and size(s, *client) == der and size(s, *other) > 0
    # a resumed session still knows its certificate
    ctx = ssl.create_default_context(cafile=at("ca.pem"))
    ctx.load_cert_chain(at("client.pem"), at("client.key"))
    session = None
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", s.port)) as c:
            with ctx.wrap_socket(c, server_hostname="127.0.0.1", session=session) as t:
                t.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                assert f"|{der}|".encode() in t.recv(65536)
                session = t.session
    s.end()
    s = Server(*files, "clients=2", "ca=" + ca)
    assert size(s) == 0 and size(s, *client) == der
    size(s, *other, code=56)
    s.end()
    s = Server(*files, "clients=3", "ca=" + ca)
    assert size(s, *client) == der
    size(s, code=56)
    s.end()
    Server(*files, "clients=2", fails="^invalid: .*CA")
    Server(*files, "clients=2", "ca=no", fails="^invalid: .*client_ca_pem")


def test_torture():
    s = Server("timeout=1", "body=1000", "most=200")
    head = b"POST /x HTTP/1.1\r\nHost: a\r\n"
    for bad in (b"\r\n\r\n", b"\0" * 5000, b"GET\r\n\r\n", b"GET /\r\n\r\n", b"BREW / HTTP/1.1\r\n\r\n",
                b"GET http:// HTTP/9.9\r\n\r\n", b"GET /%zz%0 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n: \r\n\r\n",
                b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"GET / HTTP/1.1\r\nX: " + b"b" * 200000 + b"\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(5000)) + b"\r\n",
                b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
                b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"TRACE / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\x01",
                head + b"Content-Length: -1\r\n\r\nabc", head + b"Content-Length: x\r\n\r\n",
                head + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
                head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
                head + b"Content-Length: 500\r\n\r\nabc", head + b"Content-Length: 2000\r\n\r\n" + b"a" * 2000,
                head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na"):
        begun = time.monotonic()
        got = s.raw(bad)
        assert b"root:" not in got and time.monotonic() - begun < 9, (bad[:60], got[:300])
        s.alive()
    assert s.raw(head + b"Content-Length: 2000\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert s.raw(head + b"Content-Length: 2000\r\n\r\n" + b"a" * 2000).startswith(b"HTTP/1.1 413 ")
    assert s.raw(head + b"Content-Length: x\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    # a body, and a header, that trickle in without end
    for start, drop in ((head + b"Content-Length: 900\r\n\r\n", b"a"), (b"GET / HTTP/1.1\r\n", b"X: y\r\n")):
        c = socket.create_connection(("127.0.0.1", s.port))
        c.sendall(start)
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 20:
                c.sendall(drop)
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - begun < 15, "a slow client is kept for ever: %r" % drop
    # one that does not read its reply
    c = socket.create_connection(("127.0.0.1", s.port))
    c.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(3)
    eventually(lambda: s.curl("/gone").split()[1] == "1", "it is kept")
    c.close()
    # noise, cut requests, resets
    import random
    random.seed(7)
    good = head + b"Content-Length: 300\r\nMdm-Signature: " + b"s" * 900 + b"\r\n\r\n" + b"b" * 300
    for i in range(600):
        data = bytearray(good[:random.randrange(1, len(good))])
        for _ in range(i % 7):
            data[random.randrange(len(data))] = random.randrange(256)
        c = socket.create_connection(("127.0.0.1", s.port))
        if i % 3 == 0:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        try:
            c.sendall(data)
        except OSError:
            pass
        c.close()
    s.alive()
    eventually(lambda: s.curl("/gone").split()[1] == "1", "connections are kept")
    # more connections than allowed
    many = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(300)]
    time.sleep(0.5)
    for c in many:
        c.close()
    eventually(lambda: s.curl("/gone").split()[1] == "1", "connections are kept")
    s.end()


def test_many():
    """1,000 connections at once; their memory."""
    s = Server("timeout=30")
    rss = lambda: int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{s.p.pid}/status").read())[1])
    before = rss()
    connect = lambda: [socket.create_connection(("127.0.0.1", s.port), 20) for _ in range(1000)]
    conns = connect()
    for i, c in enumerate(conns):
        c.sendall(f"GET /c{i} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    for i, c in enumerate(conns):
        got = b""
        while piece := c.recv(4096):
            got += piece
        assert f"|/c{i}|".encode() in got
        c.close()
    conns = connect()
    assert s.curl("/gone").split()[1] == "1001"
    used = rss() - before
    print(f"1000 connections: {used} KiB")
    assert used < 100000, used
    # 1,000 long polls
    for c in conns:
        c.sendall(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
    s.alive()
    for c in conns[:500]:
        c.close()
    eventually(lambda: s.curl("/gone").split()[0] == "500", "long polls are kept")
    s.end()


globals()["test_" + part]()
