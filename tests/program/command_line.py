#!/usr/bin/env python3
"""The commands as a user types them, mistakes included: messages, exit codes, files."""
import json
import os
import pathlib
import resource
import signal
import subprocess
import time

from vt import Home, check, contains, equal, main

GOOD = """
local lu = require "luaunit"
TestGood = {}
function TestGood:testOne() lu.assertEquals(1, 1) end
function TestGood:testTwo() lu.assertTrue(true) end
"""
BAD = """
local lu = require "luaunit"
TestBad = {}
function TestBad:testA() lu.assertEquals(1, 2) end
function TestBad:testB() end
"""


def test_version_and_help():
    with Home() as home:
        r = home.run("--version")
        equal(r.returncode, 0)
        check(r.stdout.startswith("vmtest "), r.stdout)
        equal(home.run().returncode, 2)
        r = home.run("--help")
        equal(r.returncode, 0)
        for command in ("run", "list", "doctor", "report", "vm ls", "vm ssh", "vm exec", "vm rm"):
            contains(r.stdout, f"  {command} ")
            h = home.run(*command.split(), "--help")
            equal(h.returncode, 0, command)
            contains(h.stdout, "usage: vmtest " + command)
            contains(h.stdout, "example:")


def test_typing_mistakes():
    with Home() as home:
        suite = home.suite("good.lua", GOOD)
        for args, wanted in (
            (["rnu"], "vmtest run"),
            (["vm", "exce"], "vm exec"),
            (["imge", "ls"], "vmtest image"),
            (["run", "--exitfrist", suite], "--exitfirst"),
            (["run"], "SUITE"),
            (["run", "-k"], "-k needs a value"),
            (["run", "-Z", suite], "no option -Z"),
            (["run", "-j", "0", suite], "1 to 256"),
            (["run", "-j", "many", suite], "whole number"),
            (["run", "--timeout", "5 parsecs", suite], "is not a duration"),
            (["run", "--keep", "maybe", suite], "never, fail or always"),
            (["run", "-o", "", suite], "-o needs"),
            (["run", "--driver", "qmeu", suite], 'did you mean "qemu"'),
            (["run", "--driver", "xyz", suite], "there are: qemu"),
            (["run", "--channel", "agnet", suite], 'did you mean "agent"'),
            (["run", "--wait=soon", suite], "is not a duration"),
            (["run", "--mdm", "lba", suite], 'did you mean "lab"'),
            (["run", "--mdm", "lab=", suite], "needs a URL"),
            (["run", "--mdm", "none=https://m", suite], "takes no URL"),
            (["run", "goood.lua"], "good.lua"),
            (["run", "nowhere/x.lua"], "there is no suite"),
            (["list", "--jsn", suite], "--json"),
            (["report", "nowhere"], "cannot open"),
            (["report", "a", "b"], "one argument too many"),
            (["vm", "ssh", "ghost"], "there is no VM \"ghost\""),
            (["vm", "rm"], "name VMs"),
            (["vm", "exec", "ghost"], "missing"),
        ):
            r = home.run(*args)
            equal(r.returncode, 2, args)
            contains(r.stderr, wanted, args)
            equal(r.stdout, "", args)
            check(not home.leftovers(), args)


def test_exit_codes_and_reports():
    with Home() as home:
        good, bad = home.suite("good.lua", GOOD), home.suite("bad.lua", BAD)
        empty = home.suite("empty.lua", "-- nothing here\n")
        broken = home.suite("broken.lua", "local x = = 1\n")
        for args, code in (([good], 0), ([bad], 1), ([broken], 2), ([empty], 4),
                           ([good, empty], 0), ([good, bad], 1), ([bad, broken], 2),
                           (["-k", "nothing_matches", good], 4), (["-k", "(", good], 2)):
            r = home.run("run", *args)
            equal(r.returncode, code, args, r.stderr)
            results = pathlib.Path(r.stdout.strip())
            for name in ("events.jsonl", "junit.xml", "results.tap", "ctrf.json"):
                check((results / name).exists(), f"{name} after {args}")
            equal(home.events(results)[-1]["exit"], code)
        contains(home.run("run", broken).stderr, "broken.lua:1")
        equal(home.leftovers(), [])


def test_selection_and_order():
    with Home() as home:
        good, bad = home.suite("good.lua", GOOD), home.suite("bad.lua", BAD)
        home.run("run", "-k", "one or (TESTBAD and not testa)", good, bad)
        equal(set(home.outcomes()), {"TestGood.testOne", "TestBad.testB"})
        home.run("run", "-j", "1", "-x", bad, good)
        equal(home.outcomes().get("TestBad.testA"), "failed")
        check("passed" not in home.outcomes().values(), home.outcomes())
        home.run("run", "-j", "4", str(home.work))
        equal(len(home.outcomes()), 4)


def test_list():
    with Home() as home:
        good = home.suite("good.lua", GOOD)
        r = home.run("list", good)
        equal(r.returncode, 0)
        equal(r.stdout.splitlines(), [f"{good}::TestGood.testOne", f"{good}::TestGood.testTwo"])
        tests = json.loads(home.run("list", "--json", good).stdout)
        equal([(t["class"], t["name"]) for t in tests],
              [("TestGood", "testOne"), ("TestGood", "testTwo")])
        equal(tests[0]["line"], 4)
        r = home.run("list", home.suite("broken.lua", "x ="))
        equal(r.returncode, 2)
        contains(r.stderr, "broken.lua:1")
        check(not (home.work / "vmtest-results").exists(), "list writes no results")


def test_results_folder():
    with Home() as home:
        good = home.suite("good.lua", GOOD)
        equal(home.run("run", "-o", "out", good).returncode, 0)
        equal(home.run("run", "-o", "out", good).returncode, 0)  # an earlier run's folder: again
        precious = home.work / "precious"
        precious.mkdir()
        (precious / "thesis.txt").write_text("years of work")
        r = home.run("run", "-o", "precious", good)
        equal(r.returncode, 2)
        contains(r.stderr, "thesis.txt")
        equal((precious / "thesis.txt").read_text(), "years of work")
        (home.work / "out" / "notes.txt").write_text("mine")
        equal(home.run("run", "-o", "out", good).returncode, 2)
        r = home.run("run", "-o", good + "/x", good)
        check(r.returncode != 0 and "good.lua" in r.stderr, r.stderr)


def test_two_runs_at_once():
    with Home() as home:
        slow = home.suite("slow.lua", """
            local vmtest = require "vmtest"
            function testSlow() vmtest.sleep(3) end
        """)
        first = home.start("run", "-o", "out", slow)
        while not (home.work / "out" / "events.jsonl").exists():
            time.sleep(0.02)
        second = home.run("run", "-o", "out", slow)
        equal(second.returncode, 2)
        contains(second.stderr, "another")
        equal(home.run("run", "-o", "other", slow).returncode, 0)
        equal(first.wait(timeout=60), 0)
        first.communicate()
        equal(home.leftovers(), [])


def test_interrupt():
    with Home() as home:
        suite = home.suite("wait.lua", """
            local vmtest = require "vmtest"
            function testWait() vmtest.sleep(60) end
            function testZLater() end
        """)
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            run = home.start("run", suite)
            while not any("test_start" in p.read_text() for p in
                          home.work.glob("vmtest-results/2*/events.jsonl")):
                time.sleep(0.02)
            run.send_signal(number)
            equal(run.wait(timeout=60), code)
            run.communicate()
            equal(home.outcomes()["testZLater"], "not_run")
            contains((home.work / "vmtest-results/latest/junit.xml").read_text(), "testZLater")
            equal(home.leftovers(), [])
            subprocess.run(["rm", "-rf", home.work / "vmtest-results"], check=True)


def test_reports_of_a_killed_run():
    """kill -9 of the parent: the janitor writes the reports from the events there are."""
    with Home() as home:
        suite = home.suite("wait.lua", """
            local vmtest = require "vmtest"
            function testA() end
            function testWait() vmtest.sleep(60) end
        """)
        run = home.start("run", "-o", "out", suite)
        events = home.work / "out" / "events.jsonl"
        while not (events.exists() and "testWait" in events.read_text().split("test_start")[-1]):
            time.sleep(0.02)
        run.kill()
        run.communicate()
        equal(home.leftovers(), [])
        report = json.loads((home.work / "out" / "ctrf.json").read_text())
        statuses = {t["name"]: t["status"] for t in report["results"]["tests"]}
        equal(statuses.get("testA"), "passed")
        check("testWait" in statuses and statuses["testWait"] != "passed", statuses)
        equal(home.run("report", "out").returncode, 0)


def test_worker_that_dies():
    """Each test gets an outcome, the exit code says whose fault it was."""
    with Home() as home:
        for how, code, outcome in (("KILL", 3, "error"), ("ABRT", 70, "error")):
            suite = home.suite("die.lua", f"""
                function testA() end
                function testDies() os.execute("kill -{how} $PPID"); while true do end end
                function testLater() end
            """)
            r = home.run("run", suite)
            equal(r.returncode, code, r.stderr)
            equal(home.outcomes(), {"testA": "passed", "testDies": outcome,
                                    "testLater": "not_run"})
            equal(home.leftovers(), [])


def test_full_disk():
    """Results that cannot be written end the run with a clear message."""
    with Home() as home:
        suite = home.suite("talk.lua", """
            for i = 1, 2000 do _G["test" .. i] = function() print(string.rep("x", 200)) end end
        """)

        def limit():  # no file of this process may grow beyond this
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

        r = home.run("run", suite, preexec_fn=limit)
        equal(r.returncode, 3, r.stderr)
        contains(r.stderr, "events.jsonl")
        equal(home.leftovers(), [])


def test_background_child_does_not_hold_the_run():
    with Home() as home:
        suite = home.suite("bg.lua", 'function testBg() os.execute("sleep 300 &") end\n')
        equal(home.run("run", suite, timeout=60).returncode, 0)
        equal(home.leftovers(), [])


def test_sweep_after_a_power_cut():
    """What a dead run left is removed by the next one, but never a run that just begins."""
    with Home() as home:
        old, new = home.runtime / "20200101-000000-aaaaaa", home.runtime / "20200101-000000-bbbbbb"
        for folder in (old, new):
            (folder / "1-web").mkdir(parents=True)
            (folder / "lock").write_text("1\n")
        disks = home.home / "scratch" / old.name
        disks.mkdir(parents=True)
        os.utime(old, (0, 0))
        equal(home.run("run", home.suite("good.lua", GOOD)).returncode, 0)
        check(not old.exists() and not disks.exists(), "an old run's folders are still there")
        check(new.exists(), "the folder of a run that begins was removed")


def test_odd_places():
    with Home() as home:
        odd = home.suite("ein Ort/ü '\"$(x).lua", GOOD)
        r = home.run("run", odd)
        equal(r.returncode, 0, r.stderr)
        equal(home.run("run", "--", odd).returncode, 0)
        os.chmod(home.suite("secret.lua", GOOD), 0)
        if os.getuid() != 0:
            equal(home.run("run", "secret.lua").returncode, 2)


main([test_version_and_help, test_typing_mistakes, test_exit_codes_and_reports,
      test_selection_and_order, test_list, test_results_folder, test_two_runs_at_once,
      test_interrupt, test_reports_of_a_killed_run, test_worker_that_dies, test_full_disk,
      test_background_child_does_not_hold_the_run, test_sweep_after_a_power_cut,
      test_odd_places])
