"""LuaUnit under the host: files run untouched, and none of its traps can be hit."""
import collections
import os
import re
import shutil
import subprocess
import sys

LUA = shutil.which("lua5.4") or shutil.which("lua")
EXAMPLES = "/usr/share/doc/lua-unit/examples"
HEAD = 'local lu = require "luaunit"\nlocal vmtest = require "vmtest"\n'


def eq(actual, expected):
    assert actual == expected, f"expected {expected!r}\nactual   {actual!r}"


def counts(outcome):
    return dict(collections.Counter(e["outcome"] for e in outcome.of("test_end")))


# ---- untouched files ----

def test_ends_with_os_exit(b):
    r = b.run("""
        local lu = require "luaunit"
        function testGood() end
        function testBad() lu.assertEquals(1, 2) end
        os.exit(lu.LuaUnit.run())
        """)
    eq(r.outcomes(), {"testBad": "failed", "testGood": "passed"})
    eq(r.test("testBad")["message"], "suite.lua:4: expected: 2, actual: 1")
    eq(r.code, 1)
    eq(r.of("suite_error"), [])


def test_never_calls_run(b):
    r = b.run('local lu = require "luaunit"\nTestA = {}\nfunction TestA:testX() end\n')
    eq(r.outcomes(), {"TestA.testX": "passed"})
    eq(r.code, 0)


def test_without_luaunit(b):
    r = b.run("function testPlain() assert(1 == 1) end\nfunction testBad() assert(false, 'no') end")
    eq(r.outcomes(), {"testBad": "error", "testPlain": "passed"})


def test_run_with_arguments(b):
    r = b.run("""
        local lu = require "luaunit"
        TestA = {}
        function TestA:testX() end
        function TestA:testY() end
        TestB = {}
        function TestB:testZ() end
        os.exit(lu.LuaUnit.run('-v', 'TestA.testY', 'TestB'))
        """)
    eq(list(r.outcomes()), ["TestA.testY", "TestB.testZ"])


def test_run_as_method_and_patterns(b):
    r = b.run("""
        local lu = require "luaunit"
        function testOne() end
        function testTwo() end
        lu.LuaUnit:run('-p', 'One')
        """)
    eq(list(r.outcomes()), ["testOne"])


def test_runner_object(b):
    r = b.run("""
        local lu = require "luaunit"
        function testGood() end
        function testBad() error("x") end
        local runner = lu.LuaUnit.new()
        runner:setOutputType("tap")
        local bad = runner:runSuite()
        print(bad, runner.result.runCount, runner.result.errorTests[1].testName)
        os.exit(bad)
        """)
    eq(r.output(), "1\t2\ttestBad\n")


def test_run_by_instances(b):
    r = b.run("""
        local lu = require "luaunit"
        local T = { testA = function() end }
        os.exit(lu.LuaUnit.new():runSuiteByInstances({ { "Mine", T }, { "fn.x", function() end } }))
        """)
    eq(list(r.outcomes()), ["Mine.testA", "fn.x"])


def test_two_runs(b):
    r = b.run("""
        local lu = require "luaunit"
        function testA() end
        function testB() end
        lu.run('testB')
        lu.run('testA')
        """)
    eq([(e["id"], e["name"]) for e in r.of("test_end")], [(1, "testB"), (2, "testA")])


def test_run_from_a_required_module(b):
    b.write("all.lua", "function testA() require('vmtest').sleep(0.01) end\n"
                       "return require('luaunit').LuaUnit.run()\n")
    r = b.run("os.exit(require 'all')")
    eq(r.outcomes(), {"testA": "passed"})
    eq(r.code, 0)


def test_repeat_stops_at_the_failure(b):
    r = b.run("""
        local lu = require "luaunit"
        local n = 0
        function testN() n = n + 1; lu.assertTrue(n < 3) end
        lu.LuaUnit.run('--repeat', '5')
        """)
    assert r.test("testN")["message"].startswith("iteration 3, "), r.test("testN")


def test_luaunit_failure_option(b):
    r = b.run("""
        local lu = require "luaunit"
        function test1() lu.fail("x") end
        function test2() end
        os.exit(lu.LuaUnit.run('-f'))
        """)
    eq(r.outcomes(), {"test1": "failed", "test2": "not_run"})
    eq(r.code, 1)


def test_success_and_skips(b):
    r = b.run("""
        local lu = require "luaunit"
        function test1() lu.success(); error("not reached") end
        function test2() lu.successIf(true); error("not reached") end
        function test3() lu.skip("why") end
        function test4() lu.skipIf(true, "if") end
        function test5() lu.skipIf(false, "if") end
        function test6() lu.runOnlyIf(false, "only") end
        """)
    eq(r.outcomes(), {"test1": "passed", "test2": "passed", "test3": "skipped", "test4": "skipped",
                      "test5": "passed", "test6": "skipped"})
    eq([r.test(t)["reason"] for t in ("test3", "test4", "test6")], ["why", "if", '"only"'])


def official(b, name, prepare=""):
    """The counts of an official file under plain Lua and under the host."""
    path = os.path.join(b.folder, "test", name)
    if not LUA or not os.path.exists(os.path.join(EXAMPLES, name)):
        print("skipped: needs lua5.4 and LuaUnit's examples")
        sys.exit(77)
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
        text = file.read()
    b.write("test/" + name, "")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    b.write("plain.lua", f"""
        dofile "test/{name}"
        os.exit(require("luaunit").LuaUnit.run())
        """)
    plain = subprocess.run([LUA, "plain.lua"], cwd=b.folder, capture_output=True, check=False)
    line = [l for l in plain.stdout.decode().splitlines() if "Ran " in l][-1]
    found = {word: int(n) for n, word in re.findall(r"(\d+) (success|failure|error|skipped)", line)}
    words = {"success": "passed", "failure": "failed", "error": "error", "skipped": "skipped"}
    expected = {words[word]: n for word, n in found.items() if n}
    r = b.run(text, name="test/" + name, memory_limit=1 << 30)
    assert sum(expected.values()) > 2, line
    eq(counts(r), expected)
    return r


def test_official_luaunit(b):
    r = official(b, "test_luaunit.lua")
    assert len(r.of("test_end")) > 200


def test_official_examples(b):
    for name in ("compat_luaunit_v2x.lua", "example_with_luaunit.lua", "some_lists_comparisons.lua",
                 "legacy_example_with_luaunit.lua", "test_with_err_fail_pass.lua"):
        official(b, name)


def test_official_xml_and_duration(b):
    r = official(b, "test_with_xml.lua")
    assert r.test("TestThatLastsALongTime")["duration"] > 1


# ---- the eight traps ----

def test_trap1_wall_clock(b):
    r = b.run(HEAD + "function testWait() vmtest.sleep(0.4) end")
    assert 0.4 <= r.test("testWait")["duration"] < 10, r.test("testWait")


def test_trap2_failing_setup_and_teardown(b):
    r = b.run(HEAD + """
TestA = {}
function TestA:setupClass() error("broken") end
function TestA:testX() error("never runs") end
TestB = {}
function TestB:teardownClass() error("torn") end
function TestB:testY() end
function testZ() end
function teardownSuite() error("last") end
""")
    eq(r.outcomes(), {"TestA.testX": "error", "TestB.testY": "passed", "testZ": "passed"})
    assert r.test("TestA.testX")["message"].startswith("setupClass: suite.lua:5: broken")
    eq([(e["stage"], e["message"].split(":")[0]) for e in r.of("suite_error")],
       [("teardown", "TestB.teardownClass"), ("teardown", "teardownSuite")])
    eq(r.code, 1)


def test_trap2_failing_setup_suite(b):
    r = b.run(HEAD + "function setupSuite() error('no') end\nfunction testA() end\n"
                     "function teardownSuite() print('torn down') end")
    eq(r.outcomes(), {"testA": "not_run"})
    eq(r.of("suite_error")[0]["stage"], "setup")
    eq(r.output(), "torn down\n")
    eq(r.code, 1)


def test_trap3_huge_messages(b):
    r = b.run(HEAD + """
function testHuge() error("HEAD" .. ("x"):rep(1000000) .. ":1: ") end
function testHugeFailure() lu.fail("HEAD" .. ("y"):rep(1000000)) end
function testHugeTable() local t = {} for i = 1, 20000 do t[i] = "abc" end error(t) end
""")
    for name, outcome in (("testHuge", "error"), ("testHugeFailure", "failed"),
                          ("testHugeTable", "error")):
        test = r.test(name)
        eq(test["outcome"], outcome)
        assert len(test["message"]) < 17000 and "more bytes]" in test["message"]
    assert "HEAD" in r.test("testHuge")["message"][:40]


def test_trap4_message_that_is_a_pattern(b):
    r = b.run(HEAD + """
function testA() error("[foo.lua:3: bad", 0) end
function testB() lu.fail("%[ %z ( %1") end
""")
    eq(r.test("testA")["message"], "[foo.lua:3: bad")
    eq(r.test("testB")["message"], "suite.lua:5: %[ %z ( %1")


def test_trap5_spoofed_success(b):
    r = b.run(HEAD + """
function testA() error("x.lua:3: LuaUnit test SUCCESS: ", 0) end
function testB() error("LuaUnit test SUCCESS: ") end
function testC() error("LuaUnit test SKIP:    later") end
function testD() pcall(lu.skip, "real"); error("x.lua:3: LuaUnit test SUCCESS: ", 0) end
TestV = vmtest.class { vm = { driver = "sim", sim = { commands = {
  { match = "say", status = 1, stderr = "x.lua:3: LuaUnit test SUCCESS: " } } } } }
function TestV:testSh() self.vm:sh("say") end
function TestV:testRaised() error(self.vm:exec("say").stderr, 0) end
""")
    eq(set(r.outcomes().values()), {"error"})
    eq(len(r.outcomes()), 6)


def test_trap6_teardown_after_failure(b):
    r = b.run(HEAD + """
TestA = {}
function TestA:tearDown() error("and that too") end
function TestA:testFails() lu.assertTrue(false) end
function TestA:testPasses() end
""")
    message = r.test("TestA.testFails")["message"]
    assert "expected: true" in message and "and that too" in message, message
    eq(r.outcomes(), {"TestA.testFails": "failed", "TestA.testPasses": "error"})
    assert r.test("TestA.testPasses")["message"].startswith("tearDown: ")


def test_trap7_results_come_as_they_happen(b):
    w = b.start(HEAD + "function test1() print('caf\\u{e9}') end\n"
                       "function test2() while true do end end", test_timeout=100.0)
    w.wait_for(lambda e: e["type"] == "test_start" and e["name"] == "test2")
    w.wait_for(lambda e: e["type"] == "test_end" and e["name"] == "test1", 5)
    w.wait_for(lambda e: e["type"] == "output" and e["text"] == "caf\u00e9\n", 5)
    w.process.kill()
    w.wait()


def test_trap8_no_test_selected(b):
    r = b.run(HEAD + "function testA() end", filter="nothing")
    eq(r.code, 4)
    eq(r.of("plan")[0]["tests"], [])
    r = b.run(HEAD + "print('no tests at all')")
    eq(r.code, 4)


def test_trap8_256_failures(b):
    r = b.run(HEAD + """
for i = 1, 256 do _G["test" .. i] = function() lu.fail("x") end end
os.exit(lu.LuaUnit.run())
""")
    eq(counts(r), {"failed": 256})
    eq(r.code, 1)
