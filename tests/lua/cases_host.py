"""What the host decides: deadlines, limits, os.exit, output, coroutines, loading, stopping."""
import os
import signal
import time

import run as runner
from cases_luaunit import HEAD, eq


# ---- deadlines ----

def test_endless_loop(b):
    r = b.run(HEAD + "function testLoop() while true do end end\nfunction testNext() end",
              test_timeout=1.0)
    eq(r.outcomes(), {"testLoop": "timed_out", "testNext": "passed"})
    assert "timed out after 1s" in r.test("testLoop")["message"]
    assert "suite.lua:3" in r.test("testLoop")["trace"]


def test_endless_loop_that_swallows_errors(b):
    r = b.run(HEAD + """
function testLoop() while true do pcall(function() while true do end end) end end
function testNext() end
""", test_timeout=0.5)
    eq(r.outcomes(), {"testLoop": "timed_out", "testNext": "passed"})
    assert r.test("testLoop")["duration"] > 2, "there is a grace before it is left"


def test_endless_loop_in_nested_coroutines(b):
    r = b.run(HEAD + """
local function spin() while true do pcall(function() while true do end end) end end
function testResume()
  local co = coroutine.create(function() coroutine.wrap(spin)() end)
  while true do coroutine.resume(co) end
end
function testSort()
  table.sort({ 3, 2, 1 }, function() while true do end end)
end
function testNext() end
""", test_timeout=0.5)
    eq(r.outcomes(), {"testResume": "timed_out", "testSort": "timed_out", "testNext": "passed"})


def test_endless_loop_at_load(b):
    r = b.run("while true do end", test_timeout=0.5)
    eq(r.code, 2)
    assert "timed out" in r.of("suite_error")[0]["message"]


def test_swallowed_timeout_still_counts(b):
    r = b.run(HEAD + """
function testA() pcall(vmtest.sleep, 100) end
function testB() for i = 1, 3 do pcall(vmtest.sleep, 100) end end
""", test_timeout=0.5)
    eq(r.outcomes(), {"testA": "timed_out", "testB": "timed_out"})
    assert r.seconds < 60


def test_timeout_in_a_primitive(b):
    r = b.run(HEAD + """
TestA = {}
function TestA:testSleep() vmtest.sleep(100) end
function TestA:tearDown() vmtest.sleep(0.05) print("torn down") end
TestA.testOwn = vmtest.test({ timeout = "200ms" }, function() vmtest.sleep(100) end)
""", test_timeout=0.5)
    eq(r.outcomes(), {"TestA.testOwn": "timed_out", "TestA.testSleep": "timed_out"})
    eq(r.output(), "torn down\n" * 2)
    assert "suite.lua:5" in r.test("TestA.testSleep")["message"]
    assert "after 0.2s" in r.test("TestA.testOwn")["message"]


def test_teardown_has_its_own_deadline(b):
    r = b.run(HEAD + """
TestA = {}
function TestA:testX() end
function TestA:tearDown() vmtest.sleep(100) end
""", test_timeout=0.5)
    eq(r.outcomes(), {"TestA.testX": "timed_out"})
    assert r.test("TestA.testX")["message"].startswith("tearDown: ")


def test_long_c_call_is_left_to_the_parent(b):
    w = b.start(HEAD + "function testFind() print('begun') "
                ";(('a'):rep(40000)):find(('a*'):rep(40) .. 'b') end", test_timeout=0.3)
    event = w.wait_for(lambda e: e["type"] == "test_start")
    w.wait_for(lambda e: e["type"] == "output")
    eq(event["timeout"], 0.6)  # what the parent's watchdog goes by
    time.sleep(1)
    assert w.process.poll() is None
    w.process.kill()
    w.wait()


def test_parent_is_told_how_long(b):
    r = b.run(HEAD + """
function setupSuite() end
function teardownSuite() end
TestA = vmtest.class { vm = { driver = "sim", boot_timeout = "3m" }, timeout = "80s" }
function TestA:setupClass() end
function TestA:teardownClass() end
function TestA:test1() end
""")
    eq([(e.get("what", e.get("name")), e.get("seconds", e.get("timeout"))) for e in r.events
        if e["type"] in ("deadline", "test_start")],
       [("load", 30), ("setupSuite", 30), ("boot", 180), ("setupClass", 80), ("test1", 140),
        ("teardownClass", 60), ("teardownSuite", 30), ("load", 30)])


def test_deep_recursion(b):
    r = b.run("""
        function test1() local function f() return 1 + f() end f() end
        function test2() error(setmetatable({}, { __tostring = function() error("in it") end })) end
        function test3() error(setmetatable({}, { __tostring = function() while true do end end })) end
        function test4() error() end
        function test5() local t = setmetatable({}, { __index = function(t, k) return t[k] end }) return t.x end
        function test6() coroutine.wrap(function() local function f() return 1 + f() end f() end)() end
        function test7() end
        """)
    eq(list(r.outcomes().values()), ["error"] * 6 + ["passed"])
    assert "stack overflow" in r.test("test1")["message"]


# ---- memory ----

def test_memory_hog(b):
    r = b.run(HEAD + """
function test1Hog() local t = {} for i = 1, math.huge do t[i] = ("x"):rep(1000) .. i end end
function test2Big() local s = ("x"):rep(100 << 20) end
function test3Caught() lu.assertFalse(pcall(string.rep, "x", 200 << 20)) end
function test4Next() local s = ("x"):rep(8 << 20) end
function test5Hog() local t = {} for i = 1, math.huge do t[i] = ("x"):rep(1000) .. i end end
function test6Next() local s = ("x"):rep(8 << 20) end
""", memory_limit=32 << 20)
    eq(r.outcomes(), {"test1Hog": "error", "test2Big": "error", "test3Caught": "passed",
                      "test4Next": "passed", "test5Hog": "error", "test6Next": "passed"})
    assert "memory" in r.test("test1Hog")["message"]
    eq(r.code, 1)


def test_memory_kept_by_the_suite(b):
    r = b.run(HEAD + """
Kept = {}
function test1Hog() for i = 1, math.huge do Kept[i] = ("x"):rep(1000) .. i end end
function test2Next() end
""", memory_limit=32 << 20)
    eq(r.outcomes()["test1Hog"], "error")
    assert "test2Next" in r.outcomes()


# ---- os.exit ----

def test_exit_before_tests(b):
    r = b.run("print('x') os.exit(3)")
    eq(r.code, 2)
    assert "os.exit(3)" in r.of("suite_error")[0]["message"]
    eq(b.run("os.exit(0)").code, 4)
    eq(b.run("os.exit(true)").code, 4)
    eq(b.run("os.exit(false)").code, 2)


def test_exit_code_counts(b):
    r = b.run(HEAD + "function testA() end\nlu.LuaUnit.run()\nos.exit(7)")
    eq(r.outcomes(), {"testA": "passed"})
    eq(r.code, 1)
    assert "os.exit(7)" in r.of("suite_error")[0]["message"]


def test_exit_cannot_be_caught(b):
    for call in ("pcall(os.exit, 3)", "coroutine.wrap(function() os.exit(3) end)()",
                 "coroutine.resume(coroutine.create(function() pcall(os.exit, 3) end))",
                 "table.sort({2, 1}, function() pcall(os.exit, 3) end)",
                 "local x <close> = setmetatable({}, {__close = function() end}) os.exit(3)"):
        r = b.run(f"do {call} end print('still here')")
        eq((r.code, r.output()), (2, ""))


def test_exit_in_a_test(b):
    r = b.run("""
        TestA = {}
        function TestA:test1() pcall(os.exit, 0) print("still here") end
        function TestA:test2() end
        function TestA:tearDown() print("tearDown") end
        function TestA:teardownClass() print("teardownClass") end
        function teardownSuite() print("teardownSuite") end
        """)
    eq(r.outcomes(), {"TestA.test1": "error", "TestA.test2": "not_run"})
    eq(r.output(), "tearDown\nteardownClass\nteardownSuite\n")
    eq(r.code, 1)


def test_exit_in_a_test_with_luaunit(b):
    """LuaUnit refuses it while tests run, unless it is told not to."""
    r = b.run(HEAD + """
function test1() os.exit(0) end
function test2() lu.unregisterCurrentSuite() pcall(os.exit, 0) end
function test3() end
""")
    eq(r.outcomes(), {"test1": "error", "test2": "error", "test3": "not_run"})
    assert "trying to exit" in r.test("test1")["message"]


def test_exit_in_class_and_suite_functions(b):
    suite = """
        TestA = {}
        function TestA:test1() end
        TestB = {}
        function TestB:test2() end
        function TestA:teardownClass() print("teardownClass") end
        function teardownSuite() print("teardownSuite") end
        function %s() os.exit(2) end
        """
    r = b.run(suite % "TestA.setupClass")
    eq(r.outcomes(), {"TestA.test1": "error", "TestB.test2": "not_run"})
    eq((r.code, r.output()), (1, "teardownClass\nteardownSuite\n"))
    r = b.run(suite % "setupSuite")
    eq(r.outcomes(), {"TestA.test1": "not_run", "TestB.test2": "not_run"})
    eq((r.code, r.output()), (1, "teardownSuite\n"))


def test_suite_may_replace_library_functions(b):
    r = b.run(HEAD + """
function test1()
  for _, lib in ipairs { "os", "io", "table", "math", "debug" } do
    for name in pairs(_G[lib]) do _G[lib][name] = function() error("mocked") end end
  end
  pairs, ipairs, pcall, type, tostring, error, select, next = nil, nil, nil, nil, nil, nil, nil, nil
end
function test2() lu.nothing_here() end
function test3() vmtest.sleep(0.01) end
""")
    eq(r.outcomes(), {"test1": "passed", "test2": "error", "test3": "passed"})


# ---- output ----

def test_output_in_order(b):
    r = b.run("""
        print("a", nil, 1.5)
        function testA()
          io.write("b", 1, "\\n")
          io.stdout:write("c\\n")
          io.stderr:write("d\\n")
          print("e")
        end
        """)
    eq([(e["stream"], e["text"]) for e in r.of("output")],
       [("stdout", "a\tnil\t1.5\n"), ("stdout", "b1\n"), ("stdout", "c\n"),
        ("stderr", "d\n"), ("stdout", "e\n")])
    kinds = [e["type"] for e in r.events]
    assert kinds.index("output") < kinds.index("plan") < kinds.index("test_start")
    assert kinds.index("test_end") > max(i for i, k in enumerate(kinds) if k == "output")


def test_output_that_is_no_utf8(b):
    r = b.run(r"""function testA() print("caf\xe9 \0 \u{1f600} \xff") end""")
    eq(r.output(), "caf\ufffd \0 \U0001f600 \ufffd\n")


def test_output_is_bounded(b):
    r = b.run("""
        function test1() for i = 1, 4000 do print(("x"):rep(1023)) end end
        function test2() print("after") end
        """)
    assert (1 << 20) <= len(r.output()) < (1 << 20) + 100
    assert r.output().endswith("after\n")
    eq(len(r.of("log")), 1)


def test_closing_stdout(b):
    r = b.run("""
        function test1()
          local ok, why = io.stdout:close()
          assert(not ok and why:find("standard"))
          print("one") io.write("two\\n") io.stdout:write("three\\n")
        end
        """)
    eq(r.output(), "one\ntwo\nthree\n")
    eq(r.code, 0)


def test_children_do_not_write_into_the_events(b):
    r = b.run("""
        function testA()
          local ok, how, code = os.execute("echo child; exit 3")
          assert(ok == nil and how == "exit" and code == 3)
          assert(os.execute("true") == true)
          local ok, how, code = os.execute("kill -9 $$")
          assert(ok == nil and how == "signal" and code == 9)
          assert(os.execute() == true)
          local p = io.popen("cat; echo popen")
          assert(p:read("a") == "popen\\n")
          assert(p:close())
        end
        """)
    eq(r.outcomes(), {"testA": "passed"})
    assert "child\n" in r.stderr


def test_execute_waits_in_the_loop(b):
    r = b.run(HEAD + """
local function meet(mine, other)
  return function() os.execute("touch " .. mine .. "; until [ -e " .. other .. " ]; do sleep 0.05; done") end
end
function testA() vmtest.parallel(meet("one", "two"), meet("two", "one")) end
function testB() os.execute("sleep 60") end
function testC() table.sort({2, 1}, function(a, b) os.execute("true") return a < b end) end
""", test_timeout=10.0)
    eq(r.outcomes(), {"testA": "passed", "testB": "timed_out", "testC": "passed"})
    assert r.seconds < 50


def test_stdin_is_empty(b):
    r = b.run("function testA() assert(io.read() == nil) end")
    eq(r.outcomes(), {"testA": "passed"})


def test_warnings(b):
    r = b.run('warn("@on") warn("be", "ware") function testA() end')
    eq([(e["level"], e["text"]) for e in r.of("log")], [("warning", "beware")])


# ---- coroutines and waiting ----

def test_own_coroutines_work(b):
    r = b.run("""
        function testA()
          local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end)
          assert(co(1) == 2 and co(5) == 10)
          local ok, why = pcall(co)
          assert(not ok and why:find("dead coroutine"), why)
          local c = coroutine.create(function(...) error({ ... }) end)
          local ok, e = coroutine.resume(c, 7)
          assert(not ok and e[1] == 7 and coroutine.status(c) == "dead")
          local _, main = coroutine.running()
          assert(main and not coroutine.isyieldable())
          local ok, why = pcall(coroutine.yield)
          assert(not ok and why:find("outside a coroutine"))
          coroutine.wrap(function() assert(coroutine.isyieldable()) end)()
          local ok, why = pcall(coroutine.wrap(function() error("in it") end))
          assert(why:find("suite.lua:15: in it"), why)
          local self = coroutine.running()
          local ok, why = coroutine.resume(self)
          assert(not ok and why:find("non%-suspended"), why)
        end
        """)
    eq([e.get("message") for e in r.of("test_end")], [None])


def test_waiting_in_an_own_coroutine(b):
    r = b.run(HEAD + """
function testCoroutine() coroutine.wrap(function() vmtest.sleep(0.1) end)() end
function testSort() table.sort({ 2, 1 }, function() vmtest.sleep(0.1) end) end
function testGsub() ("x"):gsub("x", function() vmtest.sleep(0.1) end) end
function testToString() tostring(setmetatable({}, { __tostring = function() vmtest.sleep(1) end })) end
function testAllowed()
  pcall(vmtest.sleep, 0.01)
  for _ in function() vmtest.sleep(0.01) end do end
  local t = setmetatable({}, { __index = function(_, k) vmtest.sleep(0.01) return k end })
  lu.assertEquals(t.x, "x")
  do local c <close> = setmetatable({}, { __close = function() vmtest.sleep(0.01) end }) end
  lu.assertErrorMsgContains("boo", function() vmtest.sleep(0.01) error("boo") end)
end
""")
    eq(r.outcomes(), {"testAllowed": "passed", "testCoroutine": "error", "testSort": "error",
                      "testGsub": "error", "testToString": "error"})
    assert "vmtest.parallel" in r.test("testCoroutine")["message"]
    for name in ("testSort", "testGsub", "testToString"):
        assert "table.sort" in r.test(name)["message"]
        assert r.test(name)["message"].startswith("suite.lua:"), r.test(name)["message"]


def test_parallel(b):
    r = b.run(HEAD + """
function testResults()
  local began, first = 0
  local function begin(value)
    began = began + 1
    vmtest.sleep(0.3)
    first = first or began -- how many had begun when one went on
    return value, 9
  end
  local a, b, c = vmtest.parallel(function() return begin(1) end, function() return 2 end, function() return begin(3) end)
  lu.assertEquals({ a, b, c }, { 1, 2, 3 })
  lu.assertEquals(first, 2)
  lu.assertEquals(select("#", vmtest.parallel()), 0)
end
function testNested()
  local n = 0
  local function leaf() vmtest.sleep(0.01) n = n + 1 end
  vmtest.parallel(function() vmtest.parallel(leaf, leaf) end, function() vmtest.parallel(leaf) end)
  lu.assertEquals(n, 3)
end
function testFirstErrorWins()
  local log = {}
  local ok, err = pcall(vmtest.parallel,
    function() vmtest.sleep(0.05) error("first", 0) end,
    function()
      local ok, e = pcall(vmtest.sleep, 60)
      log[#log + 1] = e.code
      error("second", 0)
    end)
  lu.assertEquals({ ok, err, log[1] }, { false, "first", "canceled" })
end
function testErrorAtOnce()
  local ran = false
  local ok, err = pcall(vmtest.parallel, function() error("x", 0) end, function() ran = true end)
  lu.assertEquals({ ok, err, ran }, { false, "x", false })
end
function testAssertionInside() vmtest.parallel(function() vmtest.sleep(0.01) lu.assertTrue(false) end) end
function testTimeout() vmtest.parallel(function() vmtest.sleep(60) end, function() vmtest.sleep(70) end) end
function testLoop() vmtest.parallel(function() vmtest.sleep(60) end, function() while true do end end) end
function testNoFunction() vmtest.parallel(print, 3) end
""", test_timeout=5.0)
    eq(r.outcomes(), {
        "testResults": "passed", "testNested": "passed", "testFirstErrorWins": "passed",
        "testErrorAtOnce": "passed", "testAssertionInside": "failed", "testTimeout": "timed_out",
        "testLoop": "timed_out", "testNoFunction": "error"})
    assert "argument 2" in r.test("testNoFunction")["message"]
    assert "suite.lua:39" in r.test("testAssertionInside")["trace"], r.test("testAssertionInside")


def test_exit_in_parallel(b):
    r = b.run("""
        local vmtest = require "vmtest"
        vmtest.parallel(function() vmtest.sleep(60) end, function() vmtest.sleep(0.05) os.exit(5) end)
        print("still here")
        """)
    eq((r.code, r.output()), (2, ""))
    assert r.seconds < 50


# ---- loading ----

def test_syntax_error(b):
    r = b.run("local x = 1\nlocal = 2\n")
    eq(r.code, 2)
    assert r.of("suite_error")[0]["message"].startswith("suite.lua:2: ")


def test_error_in_the_main_chunk(b):
    r = b.run("local x = 1\nerror('boo')\n")
    eq(r.code, 2)
    error = r.of("suite_error")[0]
    eq((error["stage"], error["message"]), ("load", "suite.lua:2: boo"))
    assert "suite.lua:2: in main chunk" in error["trace"]


def test_no_such_suite(b):
    r = runner.run(b.command, os.path.join(b.folder, "gone.lua"), b.folder)
    eq(r.code, 2)
    assert "gone.lua" in r.of("suite_error")[0]["message"]


def test_bytecode_is_refused(b):
    path = b.write("suite.lua", "")
    with open(path, "wb") as file:
        file.write(b"\x1bLua\x54\x00")
    r = runner.run(b.command, path, b.folder)
    eq(r.code, 2)


def test_hashbang_and_bom(b):
    r = b.run("\ufeff#!/usr/bin/env vmtest\nfunction testA() error('x') end")
    eq(r.test("testA")["message"], "suite.lua:2: x")


def test_require_beside_the_suite(b):
    b.write("helper.lua", "return { answer = 42 }")
    b.write("pack/init.lua", "return 'pack'")
    b.write("broken.lua", "\n\nlocal = 1")
    r = b.run("""
        local helper = require "helper"
        function testA() assert(helper.answer == 42 and require "pack" == "pack") end
        function testB() require "broken" end
        function testArg() assert(arg[0] == "suite.lua" and #arg == 0) end
        """)
    eq(r.outcomes(), {"testA": "passed", "testArg": "passed", "testB": "error"})
    assert "broken.lua:3:" in r.test("testB")["message"]


# ---- selection and modes ----

def test_filter(b):
    suite = """
        TestDisk = { testMount = function() end, testWrite = function() end }
        TestNet = { testWrite = function() end }
        function testOther() end
        """
    for text, names in (
            ("disk", ["TestDisk.testMount", "TestDisk.testWrite"]),
            ("WRITE and not net", ["TestDisk.testWrite"]),
            ("mount or other", ["TestDisk.testMount", "testOther"]),
            ("not (disk or net)", ["testOther"]),
            ("not disk and write", ["TestNet.testWrite"]),
            ("mount or disk and write", ["TestDisk.testMount", "TestDisk.testWrite"]),
            ("TestNet.testW", ["TestNet.testWrite"]),
            ("suite.lua and other", ["testOther"])):
        eq(list(b.run(suite, filter=text).outcomes()), names)


def test_filter_syntax_errors(b):
    for text, why in (("a and", "a word is expected at its end"),
                      ("(a or b", "a ')' is expected at its end"),
                      ("a b", "'and' or 'or' is expected instead of 'b' at column 3"),
                      ("or a", "instead of 'or' at column 1"), ("", "at its end"),
                      ("(" * 500 + "a", "nested too deeply"), ("not " * 500 + "a", "too deeply")):
        r = b.run("function testA() end", filter=text)
        eq(r.code, 2)
        message = r.of("suite_error")[0]["message"]
        assert message.startswith("-k: ") and why in message, message


def test_fail_fast(b):
    r = b.run(HEAD + """
function test1() end
function test2() lu.fail("x") end
function test3() end
""", fail_fast=True)
    eq(r.outcomes(), {"test1": "passed", "test2": "failed", "test3": "not_run"})
    assert "fail-fast" in r.test("test3")["reason"]


def test_list(b):
    r = b.run(HEAD + """
TestA = vmtest.class { image = "none", tags = { "disk" }, timeout = "2m" }
TestA.testX = vmtest.test({ tags = { "slow", "disk" } }, function() error("runs") end)
function testY() print("runs") end
os.exit(lu.LuaUnit.run())
""", list_only=True)
    eq(r.code, 0)
    eq([e["type"] for e in r.events], ["deadline", "plan"])
    x, y = r.events[1]["tests"]
    eq((runner.full_name(x), x["tags"], x["timeout"], x["file"], x["line"]),
       ("TestA.testX", ["disk", "slow"], 120.0, "suite.lua", 5))
    eq((y["name"], y["tags"], y["timeout"], "class" in y), ("testY", [], 30.0, False))


def test_list_refuses_vms(b):
    r = b.run(HEAD + 'vm = vmtest.vm { driver = "sim" }\nfunction testA() end', list_only=True)
    eq(r.code, 2)
    assert "a list of tests was asked for" in r.of("suite_error")[0]["message"]


def test_plan_in_parts(b):
    r = b.run('for i = 1, 450 do _G["test" .. i] = function() end end', list_only=True)
    eq([len(e["tests"]) for e in r.of("plan")], [200, 200, 50])
    eq([t["id"] for e in r.of("plan") for t in e["tests"]], list(range(1, 451)))


# ---- being stopped ----

STOP = HEAD + """
TestA = {}
function TestA:test1() print("begun") %s end
function TestA:test2() end
function TestA:tearDown() vmtest.sleep(0.05) print("torn down") end
function teardownSuite() print("last") end
"""


def stopped(b, body, how):
    w = b.start(STOP % body)
    w.wait_for(lambda e: e["type"] == "test_start")
    time.sleep(0.3)
    how(w)
    r = w.wait()
    eq(r.code, 5)
    eq(r.outcomes(), {"TestA.test1": "not_run", "TestA.test2": "not_run"})
    eq(r.output(), "begun\ntorn down\nlast\n")
    assert "stopped" in r.test("TestA.test1")["reason"]
    assert r.seconds < 20, r.seconds


def test_stop_by_signal(b):
    stopped(b, "vmtest.sleep(60)", lambda w: w.process.send_signal(signal.SIGTERM))


def test_stop_by_signal_in_a_loop(b):
    stopped(b, "while true do end", lambda w: w.process.send_signal(signal.SIGTERM))


def test_stop_by_the_end_of_stdin(b):
    stopped(b, "vmtest.sleep(60)", lambda w: w.process.stdin.close())


def test_stop_by_the_end_of_stdin_in_a_loop(b):
    stopped(b, "while true do pcall(function() while true do end end) end",
            lambda w: w.process.stdin.close())


def test_stop_while_loading(b):
    w = b.start("print('loading') while true do end")
    time.sleep(0.5)
    w.process.send_signal(signal.SIGTERM)
    r = w.wait()
    eq(r.code, 5)
    assert r.seconds < 20


def test_stop_cuts_a_long_teardown(b):
    for body in ("vmtest.sleep(60)", ""):  # told before it, and during it
        w = b.start(HEAD + "TestA = { testX = function() %s end,\n"
                           "tearDown = function() vmtest.sleep(600) end }" % body, test_timeout=100.0)
        w.wait_for(lambda e: e["type"] == "test_start")
        time.sleep(0.3)
        w.process.send_signal(signal.SIGTERM)
        r = w.wait()
        eq(r.code, 5)
        assert 4 < r.seconds < 40, r.seconds
