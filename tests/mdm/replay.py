"""A server that plays recorded exchanges: each request must be the next one expected.

An exchange is {"request": {"method", "path", "auth", "headers"?, "json"? | "plist"? | "form"?},
"answer": {"status"?, "json"? | "text"? | "fill"? | "hang"?, "type"?, "charset"?}, "many"?}. `auth` is "basic",
"none" or "bearer NAME", where NAME is a variable. A request without a body has none of the three.

In what is expected "$name" stands for a variable: it gets its value where it has none, and must be
equal where it has one; "*" is anything, {"$plist": X} is base64 of a property list like X. In
answers the variables' values are put in. An exchange with "many" takes one request or more. In any
list {"$times": N, "each": X} is N times X, with "$i" from 0 on.
"""
import base64
import http.server
import json
import plistlib
import re
import threading
import urllib.parse

VARIABLE = re.compile(r"\$([a-z_]+)")


class Wrong(Exception):
    pass


def spread(items, known):
    """A list with its repetitions written out."""
    out = []
    for item in items:
        if isinstance(item, dict) and set(item) == {"$times", "each"}:
            out += [fill_in(item["each"], dict(known, i=i)) for i in range(item["$times"])]
        else:
            out.append(item)
    return out


def fill_in(value, known):
    """`value` with its variables' values."""
    if isinstance(value, dict):
        if set(value) == {"$plist"}:
            return base64.b64encode(plistlib.dumps(fill_in(value["$plist"], known))).decode()
        return {k: fill_in(v, known) for k, v in value.items()}
    if isinstance(value, list):
        return [fill_in(v, known) for v in spread(value, known)]
    if isinstance(value, str):
        return VARIABLE.sub(lambda m: str(known[m[1]]), value)
    return value


def match(want, got, known, where, loose=False):
    """Raises Wrong where `got` is not as wanted. loose: objects may have more members."""
    if want == "*":
        return
    if isinstance(want, str) and VARIABLE.fullmatch(want) and want[1:] not in known:
        known[want[1:]] = got
        return
    if isinstance(want, dict) and set(want) == {"$plist"}:
        match(want["$plist"], plistlib.loads(base64.b64decode(got, validate=True)), known, where)
    elif isinstance(want, dict):
        if not isinstance(got, dict) or not (set(want) <= set(got) if loose else set(want) == set(got)):
            raise Wrong(f"{where}: wanted {want}, got {got}")
        for key, value in want.items():
            match(value, got[key], known, f"{where}.{key}", loose)
    elif isinstance(want, list):
        want = spread(want, known)
        if not isinstance(got, list) or len(want) != len(got):
            raise Wrong(f"{where}: wanted {want}, got {got}")
        for i, value in enumerate(want):
            match(value, got[i], known, f"{where}[{i}]", loose)
    elif fill_in(want, known) != got:
        raise Wrong(f"{where}: wanted {fill_in(want, known)!r}, got {got!r}")


class Replay:
    def __init__(self, exchanges, known, user):
        self.exchanges, self.known, self.user = list(exchanges), known, user
        self.taken, self.wrong = 0, []
        self.lock, self.over = threading.Lock(), threading.Event()
        replay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self):
                replay.handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_any

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # the driver hung up: it may

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def check(self, want, method, target, headers, body):
        known = dict(self.known)
        match(want["method"], method, known, "method")
        match(want["path"], target, known, "path")
        auth = headers.get("Authorization")
        if want["auth"] == "basic":
            pair = f"{self.user}:{known['secret']}".encode()
            match("Basic " + base64.b64encode(pair).decode(), auth, known, "Authorization")
        elif want["auth"] == "none":
            match(None, auth, known, "Authorization")
        else:
            match("Bearer " + known[want["auth"].split()[1]], auth, known, "Authorization")
        for name, value in want.get("headers", {}).items():
            match(value, headers.get(name), known, name)
        if "json" in want:
            match(want["json"], json.loads(body), known, "body")
        elif "plist" in want:
            match(want["plist"], plistlib.loads(body), known, "body")
        elif "form" in want:
            match(want["form"], dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True)),
                  known, "body")
        else:
            match(b"", body, known, "body")
        self.known.update(known)

    def choose(self, *request):
        """The answer to the request; raises Wrong where it is none of those expected now."""
        if not self.exchanges:
            raise Wrong("no request was expected any more")
        first = self.exchanges[0]
        try:
            self.check(first["request"], *request)
        except Wrong:
            if not (first.get("many") and self.taken):
                raise
            self.exchanges.pop(0)
            self.taken = 0
            return self.choose(*request)
        self.taken += 1
        if not first.get("many"):
            self.exchanges.pop(0)
            self.taken = 0
        return first["answer"]

    def handle(self, rq):
        body = rq.rfile.read(int(rq.headers.get("Content-Length", 0)))
        with self.lock:
            try:
                answer = self.choose(rq.command, rq.path, rq.headers, body)
            except Exception as e:  # pylint: disable=broad-except
                self.wrong.append(f"{rq.command} {rq.path}: {e!r}")
                answer = {"status": 418, "text": "not as recorded"}
            answer = fill_in(answer, self.known)
        if answer.get("hang"):
            self.over.wait(60)
        data = answer.get("text", "").encode(answer.get("charset", "utf-8"))
        if "json" in answer:
            data = json.dumps(answer["json"]).encode()
        elif "fill" in answer:
            data = b"x" * answer["fill"]
        rq.send_response(answer.get("status", 200))
        rq.send_header("Content-Type", answer.get("type", "application/json"))
        rq.send_header("Content-Length", str(len(data)))
        for name, value in answer.get("headers", {}).items():
            rq.send_header(name, value)
        rq.end_headers()
        rq.wfile.write(data)

    def end(self):
        """What was wrong, as a list."""
        self.over.set()
        self.server.shutdown()
        left = self.exchanges[1:] if self.taken else self.exchanges
        return self.wrong + [f"never asked: {e['request']}" for e in left]
