"""Writes event files of all kinds, has the reports made, and reads them back with parsers that
share nothing with vmtest. Usage: check_reports.py WRITE_REPORTS"""
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "ctrf.schema.json"), encoding="utf-8") as f:
    SCHEMA = json.load(f)


# --- readers ---

def validate(value, schema, path="$"):
    """The part of JSON Schema that our schema uses."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    if "const" in schema:
        assert value == schema["const"], f"{path}: {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], f"{path}: {value!r} is none of {schema['enum']}"
    if "type" in schema:
        assert isinstance(value, kinds[schema["type"]]), f"{path}: {value!r:.100}"
        assert schema["type"] != "integer" or not isinstance(value, bool), path
    if "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{path}: {value!r}"
    if "minimum" in schema:
        assert value >= schema["minimum"], f"{path}: {value}"
    assert len(value) >= schema.get("minLength", 0) if isinstance(value, str) else True, path
    if isinstance(value, list):
        assert len(value) >= schema.get("minItems", 0), path
        for i, one in enumerate(value):
            validate(one, schema.get("items", {}), f"{path}[{i}]")
    if isinstance(value, dict):
        for key in schema.get("required", []):
            assert key in value, f"{path}: no {key}"
        for key, one in value.items():
            known = schema.get("properties", {}).get(key)
            assert known is not None or schema.get("additionalProperties", True), f"{path}.{key}"
            validate(one, known or {}, f"{path}.{key}")


class Tap:
    """TAP 14, strictly: every line must be one of those the format knows."""

    def __init__(self, text):
        self.points, self.bail, self.plan = [], None, None
        lines = text.split("\n")
        assert lines[0] == "TAP version 14"
        assert lines[-1] == ""
        i = 1
        while i < len(lines) - 1:
            line = lines[i]
            assert self.bail is None, "something stands behind Bail out!"
            point = re.fullmatch(r"(not )?ok (\d+) - (.*)", line)
            if re.fullmatch(r"1\.\.\d+", line):
                assert self.plan is None and not self.points
                self.plan = int(line[3:])
            elif point:
                assert int(point.group(2)) == len(self.points) + 1
                self.points.append(self.read_point(point))
            elif line == "  ---":
                assert "yaml" not in self.points[-1]
                i = self.read_yaml(lines, i + 1)
            elif line.startswith("Bail out! "):
                self.bail = line[10:]
            else:
                assert line.startswith("#"), f"no TAP: {line!r}"
            i += 1
        assert self.plan == len(self.points)

    @staticmethod
    def read_point(match):
        directive = re.search(r"(?<!\\) # (SKIP|TODO) ?(.*)$", match.group(3))
        name = match.group(3)[:directive.start()] if directive else match.group(3)
        assert not re.search(r"(?<!\\)(\\\\)*#", name), name
        return {"ok": not match.group(1), "name": re.sub(r"\\(.)", r"\1", name),
                "directive": directive.group(1) if directive else None,
                "reason": directive.group(2) if directive else None}

    def read_yaml(self, lines, i):
        yaml, key, indent = {}, None, ""
        while lines[i] != "  ...":
            member = re.fullmatch(r"(  (?:  )?)([a-z_]+): ?(.*)", lines[i])
            if key and yaml[key][1] == "|2-" and lines[i].startswith(indent + "  "):
                yaml[key][0].append(lines[i][len(indent) + 2:])
            else:
                assert member, f"no YAML: {lines[i]!r}"
                indent, key = member.group(1), member.group(2)
                yaml[key] = ([] if member.group(3) == "|2-" else [member.group(3)], member.group(3))
            i += 1
        for text in ["\n".join(v[0]) for v in yaml.values()]:
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u2028\u2029]", text), repr(text)
        self.points[-1]["yaml"] = {k: "\n".join(v[0]) for k, v in yaml.items()}
        return i


class Reports:
    def __init__(self, lines):
        with tempfile.TemporaryDirectory(prefix="vmtest-report-") as folder:
            with open(os.path.join(folder, "events.jsonl"), "wb") as out:
                for line in lines:
                    if not isinstance(line, bytes):
                        line = json.dumps(line, ensure_ascii=False).encode() + b"\n"
                    out.write(line)
            subprocess.run([sys.argv[1], folder], check=True, timeout=240)
            assert sorted(os.listdir(folder)) == \
                ["ctrf.json", "events.jsonl", "junit.xml", "results.tap"]
            raw = {}
            for name in ("junit.xml", "results.tap", "ctrf.json"):
                with open(os.path.join(folder, name), "rb") as f:
                    raw[name] = f.read()
        self.sizes = {name: len(data) for name, data in raw.items()}
        self.text = {name: data.decode("utf-8") for name, data in raw.items()}
        self.xml = ET.fromstring(raw["junit.xml"])
        self.tap = Tap(self.text["results.tap"])
        self.ctrf = json.loads(raw["ctrf.json"])
        validate(self.ctrf, SCHEMA)
        self.tests = self.ctrf["results"]["tests"]
        self.summary = self.ctrf["results"]["summary"]
        self.cases = list(self.xml.iter("testcase"))
        self.check_sums()

    def check_sums(self):
        """What the three say of how many tests there are must agree, and be true."""
        assert len(self.cases) == len(self.tests) == len(self.tap.points)
        for element in [self.xml, *self.xml.iter("testsuite")]:
            cases = list(element.iter("testcase"))
            assert int(element.get("tests")) == len(cases)
            for attribute, tag in (("failures", "failure"), ("errors", "error"),
                                   ("skipped", "skipped")):
                n = sum(1 for case in cases if case.find(tag) is not None)
                assert int(element.get(attribute)) == n, attribute
        assert self.summary["tests"] == len(self.tests)
        for status in ("passed", "failed", "skipped", "pending", "other"):
            n = sum(1 for test in self.tests if test["status"] == status)
            assert self.summary[status] == n, status

    def raw(self):
        return [test["rawStatus"] for test in self.tests]

    def case(self, name):
        return next(case for case in self.cases if case.get("name") == name)

    def test(self, name):
        return next(test for test in self.tests if test["name"] == name)

    def point(self, name):
        return next(p for p in self.tap.points if p["name"].endswith("." + name) or
                    p["name"].endswith(": " + name))


# --- events ---

class Clock:
    seconds = 0

    @classmethod
    def next(cls):
        cls.seconds += 1
        n = cls.seconds
        return f"2026-01-31T{12 + n // 3600 % 12:02}:{n // 60 % 60:02}:{n % 60:02}.500Z"


def event(kind, **members):
    return {"type": kind, "time": Clock.next(), **members}


def run_start(*suites, **more):
    return event("run_start", version=1, vmtest="0.1.0", run="20260131-120000-abc",
                 host={"os": "Linux", "release": "6.1", "arch": "x86_64", "cpus": 2, "memory": 1},
                 options={"dry_run": False},
                 jobs=[{"job": i + 1, "suite": s} for i, s in enumerate(suites)], **more)


def job_start(number=1, suite="suite.lua"):
    return event("job_start", job=number, suite=suite, pid=1, results="01-suite")


def plan(*names, job=1, first=1):
    return event("plan", job=job, tests=[
        {"id": first + i, "name": "TestA." + name, "class": "TestA", "file": "suite.lua", "line": 10 + i,
         "tags": ["net"]} for i, name in enumerate(names)])


def start(number, job=1):
    return event("test_start", job=job, id=number, timeout=60)


def end(number, outcome, job=1, **members):
    return event("test_end", job=job, id=number, outcome=outcome, duration=0.25, **members)


def job_end(outcome="failed", job=1, **members):
    return event("job_end", job=job, outcome=outcome, duration=9.5, exit=1, signal=0, **members)


def run_end():
    return event("run_end", exit=1, duration=12.25, counts={}, interrupted=False)


# --- cases ---

def test_every_outcome():
    outcomes = ["passed", "failed", "error", "skipped", "xfailed", "xpassed", "timed_out",
                "not_run"]
    lines = [run_start("suite.lua"), job_start(), plan(*["test_" + o for o in outcomes]),
             event("vm_state", job=1, vm="db", state="running",
                   info={"driver": "sim", "simulated": True}),
             event("vm_state", job=1, vm="web", state="running",
                   info={"driver": "qemu", "accel": "tcg", "image": "small", "state": "running"}),
             event("output", job=1, stream="stdout", text="before all\n")]
    for i, outcome in enumerate(outcomes):
        lines += [start(i + 1), event("output", job=1, stream="stdout", text=f"out {i}\nline 2\n"),
                  event("output", job=1, stream="stderr", text=f"err {i}\n")]
        more = {}
        if outcome in ("failed", "error", "xpassed", "timed_out"):
            more = {"message": f"first of {outcome}\nsecond", "trace": "suite.lua:3: here"}
        if outcome in ("skipped", "xfailed", "not_run"):
            more = {"reason": "because #1"}
        lines.append(end(i + 1, outcome, **more))
    r = Reports(lines + [job_end(), run_end()])
    assert r.raw() == outcomes
    assert [t["status"] for t in r.tests] == [
        "passed", "failed", "failed", "skipped", "other", "failed", "failed", "pending"]
    kinds = [None, "failure", "error", "skipped", "skipped", "failure", "error", "skipped"]
    for case, kind in zip(r.cases, kinds):
        found = [child.tag for child in case if child.tag not in ("system-out", "system-err")]
        assert found == ([kind] if kind else []), (case.get("name"), found)
    failed = r.case("test_failed")
    assert failed.get("classname") == "suite.lua.TestA"
    assert (failed.get("file"), failed.get("line"), failed.get("time")) == ("suite.lua", "11", "0.250")
    assert failed.find("failure").get("message") == "first of failed"
    assert failed.find("failure").text == "first of failed\nsecond\n\nsuite.lua:3: here"
    assert failed.find("system-out").text == "out 1\nline 2\n"
    assert failed.find("system-err").text == "err 1\n"
    assert r.case("test_error").find("error").get("type") == "error"
    assert r.case("test_xfailed").find("skipped").get("message") == "expected failure: because #1"
    suite = r.xml.find("testsuite")
    assert suite.get("name") == "suite.lua" and suite.get("hostname") and suite.get("timestamp")
    assert suite.get("time") == "9.500" and r.xml.get("time") == "12.250"
    assert suite.find("system-out").text == "before all\n"
    properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert properties["vm.web.driver"] == "qemu" and properties["vm.web.accel"] == "tcg"
    assert properties["vm.web.image"] == "small"
    points = r.tap.points
    assert [p["ok"] for p in points] == [True, False, False, True, False, False, False, True]
    assert [p["directive"] for p in points] == [
        None, None, None, "SKIP", "TODO", None, None, "SKIP"]
    assert points[3]["reason"] == "because \\#1"
    assert points[1]["yaml"]["message"] == "first of failed\nsecond"
    assert points[1]["yaml"]["line"] == "11" and points[1]["yaml"]["duration_ms"] == "250"
    assert properties["vm.db.simulated"] == "true" and "vm.web.simulated" not in properties
    assert "ran on simulated; qemu, tcg, image small" in r.text["results.tap"]
    one = r.test("test_failed")
    assert one["suite"] == ["suite.lua", "TestA"] and one["line"] == 11 and one["duration"] == 250
    assert one["stdout"] == ["out 1", "line 2"] and one["tags"] == ["net"]
    assert one["message"] == "first of failed\nsecond" and one["trace"] == "suite.lua:3: here"
    assert one["start"] >= 1769000000000
    assert r.ctrf["results"]["environment"]["extra"]["jobs"][0]["vms"]["web"]["driver"] == "qemu"


def test_artifacts():
    paths = ["web/failure-TestA.a.png", "web/failure-TestA.a.txt"]
    r = Reports([run_start("suite.lua"), job_start(), plan("a", "b", "c"),
                 start(1), event("output", job=1, stream="stdout", text="said"),
                 end(1, "failed", message="x", artifacts=paths),
                 start(2), end(2, "failed", message="x", artifacts=[]),
                 start(3), end(3, "failed", message="x", artifacts=[3, "", "x<&>.txt", None]),
                 job_end(), run_end()])
    assert r.test("a")["attachments"] == [
        {"name": "failure-TestA.a.png", "contentType": "image/png",
         "path": "01-suite/web/failure-TestA.a.png"},
        {"name": "failure-TestA.a.txt", "contentType": "text/plain",
         "path": "01-suite/web/failure-TestA.a.txt"}]
    assert "attachments" not in r.test("b")
    assert [a["path"] for a in r.test("c")["attachments"]] == ["01-suite/x<&>.txt"]
    assert r.case("a").find("system-out").text.split("\n") == [
        "said", "[[ATTACHMENT|01-suite/web/failure-TestA.a.png]]",
        "[[ATTACHMENT|01-suite/web/failure-TestA.a.txt]]", ""]
    assert r.case("b").find("system-out") is None
    assert r.case("c").find("system-out").text == "[[ATTACHMENT|01-suite/x<&>.txt]]\n"


def test_retries():
    lines = [run_start("suite.lua"), job_start(), plan("a", "b"),
             start(1), end(1, "failed", message="at first"), start(1), end(1, "passed"),
             start(2), end(2, "failed", message="one"), start(2), end(2, "failed", message="two")]
    r = Reports(lines + [job_end(), run_end()])
    a, b = r.test("a"), r.test("b")
    assert (a["status"], a["flaky"], a["retries"]) == ("passed", True, 1)
    assert a["retryAttempts"] == [
        {"attempt": 1, "status": "failed", "duration": 250, "message": "at first"}]
    assert (b["status"], b["flaky"], b["message"]) == ("failed", False, "two")
    assert r.summary["flaky"] == 1
    assert r.case("a").find("flakyFailure").get("message") == "at first"
    assert "# flaky" in r.text["results.tap"]


def test_events_stop_abruptly():
    lines = [run_start("suite.lua", "other.lua"), job_start(), plan("a", "b", "c"), start(1),
             end(1, "passed"), start(2), b'{"type":"test_end","job":1,"id":2,"outc']
    r = Reports(lines)
    assert r.raw() == ["passed", "error", "not_run"]
    assert "worker died" in r.test("b")["message"]
    assert r.case("b").find("error") is not None and r.case("c").find("skipped") is not None
    assert r.tap.bail.startswith("suite.lua: ")
    assert r.ctrf["results"]["environment"]["extra"]["interrupted"] is True
    assert len(r.xml.findall("testsuite")) == 2


def test_second_attempt_has_no_end():
    r = Reports([run_start("suite.lua"), job_start(), plan("a"), start(1),
                 end(1, "failed", message="at first"), start(1)])
    assert r.raw() == ["error"] and "worker died" in r.test("a")["message"]
    assert r.test("a")["retryAttempts"][0]["message"] == "at first"


def test_a_folder_without_events():
    with tempfile.TemporaryDirectory(prefix="vmtest-report-") as folder:
        done = subprocess.run([sys.argv[1], folder], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and done.stderr.startswith("not_found: "), done
        assert "events.jsonl" in done.stderr and os.listdir(folder) == []


def test_worker_crashed():
    lines = [run_start("suite.lua", "b.lua"), job_start(), plan("a", "b"), start(1),
             end(1, "error", message="the worker crashed", by="parent"),
             end(2, "not_run", reason="crashed by signal 11", by="parent"),
             job_end("crashed", reason="crashed by signal 11"),
             job_start(2, "b.lua"), plan("z", job=2), start(1, 2), end(1, "passed", 2),
             job_end("ok", 2), run_end()]
    r = Reports(lines)
    assert r.raw() == ["error", "not_run", "passed"]
    assert r.tap.bail == "suite.lua: crashed by signal 11"
    assert r.tap.points[2]["ok"]


def test_timed_out_job():
    r = Reports([run_start("suite.lua"), job_start(), plan("a", "b"), start(1),
                 job_end("timed_out", reason="did not come back"), run_end()])
    assert r.raw() == ["timed_out", "not_run"]
    assert "did not come back" in r.test("a")["message"]
    assert r.tap.bail is None


def test_suite_that_does_not_load():
    r = Reports([run_start("suite.lua"), job_start(),
                 event("suite_error", job=1, stage="load", message="suite.lua:3: <eof> & more"),
                 job_end("load_error"), run_end()])
    assert r.raw() == ["error"] and r.tests[0]["name"] == "(suite load)"
    assert r.cases[0].find("error").text == "suite.lua:3: <eof> & more"
    assert r.summary["failed"] == 1
    r = Reports([run_start("suite.lua"), job_start(),
                 job_end("infrastructure", reason="no memory"), run_end()])
    assert r.raw() == ["error"] and "no memory" in r.tests[0]["message"]


def test_nothing_at_all():
    assert Reports([]).tests == []
    assert Reports([run_start()]).tests == []
    r = Reports([b"\n\n", b"not json\n", b"[1]\n", b'{"a":1}\n', b'{"type":5}\n', b"\xff\xfe\n",
                 event("unknown", job=1), event("test_end"), event("test_end", job=-1, id=1),
                 event("test_end", job=1, id=10 ** 15), event("plan", job=1, tests=5),
                 event("plan", job=1, tests=[5, {}, {"id": "x"}]),
                 event("test_end", job=2, id=1, outcome="weird", duration="x", name=7),
                 event("test_end", job=2, id=2, outcome="passed", duration=1e300),
                 event("test_end", job=2, id=3, outcome="passed", duration=-5)])
    assert r.raw() == ["error", "passed", "passed"]
    assert [t["duration"] for t in r.tests] == [0, 10 ** 12, 0]


HOSTILE = ["\x00\x01\x08\x0b\x0c\x1b[31mred\x1b[0m\x7f", "]]>", "<script>alert(1)</script>",
           "a & b &amp; \"q\" 'q'", "\ufffe\uffff", "\x85\u2028\u2029\ufeff", "\r\n  ...\r\n  ---",
           "ok 7 - spoofed # SKIP", "Bail out! spoofed", "# TODO x \\# y", "日本語 🙂 é",
           "\tindented\n    more\n\n", "'\"|>-: {}[]%@`!&*"]


def test_hostile_text():
    lines = [run_start("su<i>te &\x1b\n.lua"), job_start(suite="su<i>te &\x1b\n.lua")]
    for i, text in enumerate(HOSTILE):
        lines.append(event("plan", job=1, tests=[
            {"id": i + 1, "name": "n" + text, "class": "C" + text, "file": "f" + text, "line": 1,
             "tags": [text]}]))
        lines += [start(i + 1), event("output", job=1, stream="stdout", text=text),
                  event("vm_state", job=1, vm=text, state=text, info={"driver": text}),
                  end(i + 1, "failed" if i % 2 else "skipped", message="m" + text,
                      trace="t" + text, reason="r" + text)]
    r = Reports(lines + [job_end(reason="".join(HOSTILE)), run_end()])
    assert len(r.tests) == len(HOSTILE)
    assert r.tap.bail is None
    for i, text in enumerate(HOSTILE):
        if i % 2:
            assert r.tests[i]["message"] == "m" + text.replace("\x00", "\ufffd")
    found = r.cases[1].find("failure")
    assert found.text == "m]]>\n\nt]]>" and found.get("message") == "m]]>"
    assert r.cases[10].get("name") == "n日本語 🙂 é"
    assert r.cases[0].get("name") == "n" + "\ufffd" * 6 + "[31mred\ufffd[0m\x7f"
    assert r.cases[11].get("name") == "n\tindented\n    more\n\n"
    assert r.tap.points[7]["directive"] is None


def test_invalid_utf8_in_events():
    lines = [run_start("suite.lua"), job_start(), plan("a", "b"), start(1),
             b'{"type":"test_end","job":1,"id":1,"outcome":"passed","message":"\xff\xfe"}\n',
             b'{"type":"test_end","job":1,"id":1,"outcome":"passed","message":"\\ud800"}\n',
             b"[" * 100000 + b"\n", b'{"type":"output","job":1,"text":"' + b"x" * (5 << 20) + b'"}\n',
             start(2), end(2, "passed"), job_end("ok"), run_end()]
    assert Reports(lines).raw() == ["error", "passed"]


def test_huge_texts_are_cut():
    big = "é" * (1 << 19)
    lines = [run_start("suite.lua"), job_start(), plan("a"), start(1)]
    lines += [event("output", job=1, stream="stdout", text="x" * 100000 + "\n") for _ in range(9)]
    lines += [end(1, "failed", message=big, trace=big), job_end(), run_end()]
    r = Reports(lines)
    for name, size in r.sizes.items():
        assert size < 700000, (name, size)
        assert "bytes cut" in r.text[name], name
    message = r.tests[0]["message"]
    head, note = message.split("\n")
    assert set(head) == {"é"} and 60000 < len(head.encode()) <= 65536
    assert int(re.search(r"\[(\d+) bytes cut", note).group(1)) + len(head.encode()) == 1 << 20
    assert "bytes cut" in r.cases[0].find("system-out").text


def many(n):
    lines = [run_start("suite.lua"), job_start()]
    for first in range(1, n + 1, 500):
        lines.append(plan(*[f"test{i:06}" for i in range(first, first + 500)], first=first))
    for i in range(1, n + 1):
        lines += [start(i), end(i, "passed" if i % 10 else "failed", message="broken")]
    return Reports(lines + [job_end(), run_end()])


def test_ten_thousand_tests():
    small, large = many(1000), many(10000)
    assert len(large.tests) == 10000 and large.summary["failed"] == 1000
    for name, size in large.sizes.items():
        assert 9 < size / small.sizes[name] < 11, name


def test_many_huge_texts_are_bounded_together():
    text = "x" * 60000
    lines = [run_start("suite.lua"), job_start()]
    for i in range(1, 2001):
        lines += [event("test_end", job=1, id=i, name=f"t{i}", outcome="failed", message=text)]
    r = Reports(lines + [job_end(), run_end()])
    assert len(r.tests) == 2000
    for name, size in r.sizes.items():
        assert size < 90 << 20, (name, size)
    assert len(r.tests[0]["message"]) == 60000 and len(r.tests[1999]["message"]) < 2000


def test_the_readers_refuse_what_is_wrong():
    good = Reports([run_start("s"), job_start(), plan("a"), start(1), end(1, "passed")]).ctrf
    for spoil in (lambda c: c["results"]["tests"][0].update(extraneous=1),
                  lambda c: c["results"]["tests"][0].update(status="xfailed"),
                  lambda c: c["results"]["tests"][0].update(duration=0.5),
                  lambda c: c["results"]["tests"][0].update(name=""),
                  lambda c: c["results"].pop("summary"),
                  lambda c: c.update(specVersion="1")):
        copy = json.loads(json.dumps(good))
        spoil(copy)
        try:
            validate(copy, SCHEMA)
        except AssertionError:
            continue
        raise AssertionError("the validator let it pass")
    for text in ("TAP version 14\n1..1\nok 1 - a\nrubbish\n", "TAP version 14\n1..2\nok 1 - a\n",
                 "TAP version 14\n1..1\nok 2 - a\n", "1..0\n",
                 "TAP version 14\n1..1\nnot ok 1 - a\n  ---\n  message: |2-\n    a\n  b\n  ...\n"):
        try:
            Tap(text)
        except AssertionError:
            continue
        raise AssertionError(f"the TAP reader let it pass: {text!r}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    failed = 0
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            try:
                function()
                print("ok", name)
            except Exception as why:  # each case is judged on its own
                failed += 1
                print("FAILED", name, type(why).__name__, why)
                import traceback
                traceback.print_exc(limit=-3)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
