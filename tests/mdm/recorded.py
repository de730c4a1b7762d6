"""A driver of a foreign server through one scenario of tests/mdm/exchanges.

A scenario is {"kind", "about", "steps", "exchanges"}; exchanges: see replay.py. A step is one of
  {"do": …, "args": {…}, "ok": … | "error": {"code", "says": […]}}: asks, and judges what it gives
  {"begin": …, "args": {…}}, {"end": true, "ok" | "error"}: the same in two
  {"call": EVENT, "status"?}: a call of the webhook. A property list stands in it as {"$plist": …}
  {"environment": {…}}: of the next "open", instead of the scenario's; also {"file": mode}: the
      credentials are in a file
No secret may be seen in what the driver writes, nor in its command line.
"""
import base64
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
# pylint: disable=wrong-import-position
from driver import Driver
from peers import free_port
from replay import Replay, fill_in, match

NAMES = {  # user of HTTP Basic; credentials: name, variable of the environment
    "micromdm": ("micromdm", {"api_key": "VMTEST_MICROMDM_API_KEY"}),
    "fleet": (None, {"api_token": "VMTEST_FLEET_API_TOKEN"}),
    "jamf": ("tester", {"client_id": "VMTEST_JAMF_CLIENT_ID",
                    "client_secret": "VMTEST_JAMF_CLIENT_SECRET",
                    "user": "VMTEST_JAMF_USER", "password": "VMTEST_JAMF_PASSWORD"}),
}


class Scenario:
    def __init__(self, driver, path):
        with open(path, encoding="utf-8") as f:
            self.plan = json.load(f)
        self.program, self.kind = driver, self.plan["kind"]
        self.folder = tempfile.mkdtemp()
        self.hook = free_port()
        self.secrets = {name: f"{name}-{uuid.uuid4().hex}" for name in ("secret", "token", "next_token")}
        self.known = dict(self.secrets, hook=self.hook)
        user, self.names = NAMES[self.kind]
        self.replay = Replay(self.plan["exchanges"], self.known, user)
        self.known["url"] = self.replay.url
        self.said, self.driver = "", None

    def start(self, credentials, mode=None):
        if self.driver:
            self.stop()
        values = fill_in(credentials, self.known)
        args, env = {}, {}
        if mode:
            args["credentials"] = os.path.join(self.folder, "credentials.json")
            with open(args["credentials"], "w", encoding="utf-8") as f:
                json.dump(values, f)
            os.chmod(args["credentials"], int(mode, 8))
        else:
            env = {self.names[k]: v for k, v in values.items()}
        self.driver = Driver(self.program, **env)
        return args

    def stop(self):
        with open(f"/proc/{self.driver.p.pid}/cmdline", encoding="utf-8") as f:
            self.said += f.read()
        self.driver.end()
        self.said += self.driver.said
        self.driver = None

    def begin(self, what, args):
        self.driver.begin(what, **fill_in(args, self.known))

    def end(self, step):
        got = self.driver.read()
        if "error" not in step:
            assert "ok" in got, got
            match(step.get("ok", "*"), got["ok"], self.known, "ok", loose=True)
            return
        assert "error" in got, got
        assert got["error"]["code"] == step["error"]["code"], got
        for words in fill_in(step["error"]["says"], self.known):
            assert words in got["error"]["message"] + " " + got["error"]["hint"], (words, got)

    def call(self, step):
        body = json.dumps(fill_in(step["call"], self.known)).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.hook}/", body,
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status = answer.status
        except urllib.error.HTTPError as e:
            status = e.code
        assert status == step.get("status", 200), status

    def step(self, step, state):
        if "environment" in step:
            state["credentials"], state["mode"] = step["environment"], step.get("file")
        elif "call" in step:
            self.call(step)
        elif step.get("do", step.get("begin")) == "open":
            args = self.start(state["credentials"], state["mode"])
            webhook = {"webhook": f"127.0.0.1:{self.hook}"} if self.kind == "micromdm" else {}
            self.begin("open", dict({"kind": self.kind, "url": "$url"}, **webhook, **args,
                                    **step.get("args", {})))
            self.end(step)
        elif "end" in step:
            self.end(step)
        else:
            started = time.monotonic()
            self.begin(step.get("do") or step["begin"], step.get("args", {}))
            if "do" in step:
                self.end(step)
                assert time.monotonic() - started < step.get("within", 60), "it took too long"

    def run(self):
        state = {"credentials": self.plan.get("credentials", {next(iter(self.names)): "$secret"}),
                 "mode": None}
        try:
            for i, step in enumerate(self.plan["steps"]):
                try:
                    self.step(step, state)
                except Exception:
                    print(f"step {i + 1}: {step}\n", "\n".join(self.replay.wrong), file=sys.stderr)
                    raise
            self.stop()
            wrong = self.replay.end()
            assert not wrong, "\n".join(wrong)
            self.see_no_secret()
        finally:
            if self.driver:
                self.driver.p.kill()
            shutil.rmtree(self.folder)

    def see_no_secret(self):
        user = NAMES[self.kind][0]
        for value in self.secrets.values():
            for shown in (value, base64.b64encode(f"{user}:{value}".encode()).decode()):
                assert shown not in self.said, "a secret was shown"
        assert len(self.said) > 100, "nothing was seen"


Scenario(os.path.abspath(sys.argv[1]), sys.argv[2]).run()
