"""The program of mdm_driver.c, as the tests of real servers drive it."""
import json
import os
import subprocess


class Driver:
    """mdm_driver.c's program, which is asked one thing at a time; `said` is all that it wrote."""

    def __init__(self, program, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("VMTEST_")}
        self.p = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True,
                                  env=dict(clean, VMTEST_DEBUG="1", **env))
        self.events, self.said = [], ""

    def begin(self, what, **args):
        self.p.stdin.write(json.dumps(dict(args, do=what)) + "\n")
        self.p.stdin.flush()

    def read(self):
        while True:
            line = self.p.stdout.readline()
            assert line, self.p.stderr.read()
            self.said += line
            j = json.loads(line)
            if "event" not in j:
                return j
            self.events.append(j["event"])

    def ask(self, what, **args):
        self.begin(what, **args)
        return self.read()

    def ok(self, what, **args):
        j = self.ask(what, **args)
        assert "ok" in j, j
        return j["ok"]

    def fails(self, code, words, what, **args):
        e = self.ask(what, **args).get("error")
        assert e and e["code"] == code and words in e["message"] + e["hint"], e
        return e

    def end(self):
        out, err = self.p.communicate(timeout=30)
        self.said += out + err
        assert self.p.returncode == 0, (self.p.returncode, err)
