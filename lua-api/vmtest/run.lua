-- One run of a list of tests: classes, their VMs, setUp, test, tearDown, outcomes.
local raw = ...
local luaunit = require "vmtest.luaunit"
local marks = require "vmtest.marks"
local outcome = require "vmtest.outcome"
local vm = require "vmtest.vm"

local SUITE, CLASS, TEST = 1, 2, 3 -- scopes of VMs
local TEARDOWN_MAX = 60            -- seconds
local BOOT_MAX = 1800              -- seconds; the engine knows the real deadline, and keeps it
local NO_VM = "its VM could not be had"

local job = raw.job
local guard = raw.guard

-- What the whole job came to so far, over all runs at the top level of its suite.
local state = {
  next_id = 1, runs = 0, ran = 0, listed = 0, failed = 0, infrastructure = 0, load_error = false,
  exited = false, exit_code = 0,
}

local Run = { state = state }
Run.__index = Run

function Run.new(runner, tests, functions, left_out)
  return setmetatable({
    runner = runner, tests = tests, functions = functions,
    counts = { run = 0, passed = 0, failed = 0, error = 0, skipped = 0, left_out = left_out },
    started = raw.wall(), class = nil, broken = nil, aborted = false,
  }, Run)
end

local function any_of(instance, ...)
  for i = 1, select("#", ...) do
    local fn = instance[(select(i, ...))]
    if type(fn) == "function" then return fn end
  end
end

local function set_up_of(instance) return any_of(instance, "setUp", "Setup", "setup", "SetUp") end

local function tear_down_of(instance)
  return any_of(instance, "tearDown", "TearDown", "teardown", "Teardown")
end

-- ---- VMs of a class ----

local function boot_one(class, need)
  local name = need.opts.name or (need.key and class .. "-" .. need.key or class)
  return vm.make(need.opts, name)
end

local function boot(class, needs)
  if #needs == 1 then return { boot_one(class, needs[1]) } end
  local starts = {}
  for i, need in ipairs(needs) do
    starts[i] = function() return boot_one(class, need) end
  end
  return { raw.parallel(table.unpack(starts)) }
end

local function hand_over(instance, needs, vms)
  if #needs == 1 and not needs[1].key then
    instance.vm = vms[1]
    return
  end
  instance.vms = {}
  for i, need in ipairs(needs) do instance.vms[need.key] = vms[i] end
end

-- Boots what the class needs into a scope; nil, or the result of a failure.
local function give_vms(test, scope)
  local needs, longest = test.class_marks.vms, 0
  for _, need in ipairs(needs) do
    longest = math.max(longest, need.opts.boot_timeout or BOOT_MAX)
  end
  raw.deadline(longest, "boot")
  local before = raw.scope(scope)
  local how, vms, trace = guard(0, false, boot, test.class, needs)
  raw.scope(before)
  if how then return outcome.of(how, vms, trace) end
  hand_over(test.instance, needs, vms)
end

local function take_vms(instance)
  rawset(instance, "vm", nil)
  rawset(instance, "vms", nil)
end

local function has_vms(test)
  local class_marks = test.class_marks
  return class_marks and #class_marks.vms > 0
end

local function per_test(test) return test.class_marks.reset == "test" end

local function all_running(test)
  local function runs(v) return raw.vm_alive(v) and raw.vm_state(v) == "running" end
  if test.instance.vm then return runs(test.instance.vm) end
  for _, v in pairs(test.instance.vms or {}) do
    if not runs(v) then return false end
  end
  return test.instance.vms ~= nil
end

local function leave_running(failed) return job.keep_always or (job.keep_failed and failed) end

-- The VMs a test is to find: those of its class, anew where the test before broke them.
local function prepare_vms(self, test)
  if not has_vms(test) then return nil end
  if per_test(test) then return give_vms(test, TEST) end
  if all_running(test) then return nil end
  raw.log("info", "a VM of " .. test.class .. " no longer ran; it is made anew")
  raw.end_scope(CLASS, leave_running(self.class_failed))
  take_vms(test.instance)
  return give_vms(test, CLASS)
end

-- ---- classes ----

-- Notes os.exit(): the job ends after what must be torn down.
local function note(how)
  if how == "exit" then state.exited, state.exit_code = true, raw.exit_code() end
end

local function call_in_scope(scope, what, cleanup, timeout, fn, ...)
  raw.deadline(timeout, what)
  local before = raw.scope(scope)
  local how, err, trace = guard(timeout, cleanup, fn, ...)
  raw.scope(before)
  note(how)
  return outcome.of(how, err, trace)
end

function Run:suite_error(stage, what, result)
  if result.infrastructure then
    state.infrastructure = state.infrastructure + 1
  else
    state.failed = state.failed + 1
  end
  raw.suite_error(stage, what .. ": " .. (result.message or result.reason or "failed"), result.trace)
end

function Run:begin_class(test)
  self.class, self.class_test, self.class_failed, self.broken = test.class, test, false, nil
  self.class_begun = true
  local instance = test.instance
  if not instance then return end
  if has_vms(test) and not per_test(test) then
    local failed = give_vms(test, CLASS)
    if failed then
      self.broken, self.broken_why = failed, NO_VM
      return
    end
  end
  if type(instance.setupClass) ~= "function" then return end
  local result = call_in_scope(CLASS, "setupClass", false, test.timeout, instance.setupClass, instance)
  if outcome.is_failure(result.outcome) or result.outcome == "skipped" then
    self.broken, self.broken_why = result, "setupClass"
  end
end

function Run:end_class()
  if not self.class_begun then return end
  self.class_begun = false
  local test = self.class_test
  local instance = test.instance
  if instance and type(instance.teardownClass) == "function" and self.broken_why ~= NO_VM then
    local result = call_in_scope(CLASS, "teardownClass", true,
      math.min(test.timeout, TEARDOWN_MAX), instance.teardownClass, instance)
    if outcome.is_failure(result.outcome) then
      self:suite_error("teardown", test.class .. ".teardownClass", result)
      self.class_failed = true
    end
  end
  raw.end_scope(CLASS, leave_running(self.class_failed))
  if instance and has_vms(test) then take_vms(instance) end
  self.broken_why = nil
end

-- ---- one test ----

local function set_up_and_test(set_up, fn, instance)
  set_up(instance)
  fn(instance)
end

-- setUp and the test itself, under one deadline.
local function run_body(test, set_up)
  if set_up then return guard(test.timeout, false, set_up_and_test, set_up, test.fn, test.instance) end
  return guard(test.timeout, false, test.fn, test.instance)
end

local function once(test, set_up, tear_down)
  local how, err, trace = run_body(test, set_up)
  local result = how == nil and { outcome = "passed" } or outcome.of(how, err, trace)
  if how then note(how) end
  if tear_down then
    how, err, trace = guard(math.min(test.timeout, TEARDOWN_MAX), true, tear_down, test.instance)
    if how then
      note(how)
      result = outcome.add_teardown(result, outcome.of(how, err, trace))
    end
  end
  return result
end

local function apply_mark(test, result)
  local mark = test.xfail
  if not mark then return end
  local how, holds, trace = guard(5, true, marks.xfail_holds, mark)
  if how then
    local broken = outcome.of(how, holds, trace)
    result.outcome, result.message = "error", "xfail's `when`: " .. (broken.message or "failed")
  elseif holds then
    outcome.apply_xfail(result, mark)
  end
end

-- setUp, test and tearDown, as often as LuaUnit's --repeat says.
function Run:execute(test)
  local instance = test.instance
  local set_up = instance and set_up_of(instance)
  local tear_down = instance and tear_down_of(instance)
  local result
  for i = 1, self.runner and self.runner.exeRepeat or 1 do
    luaunit.begin_test()
    result = once(test, set_up, tear_down)
    if result.outcome ~= "passed" then
      if i > 1 then result.message = "iteration " .. i .. ", " .. (result.message or "") end
      break
    end
  end
  return result
end

function Run:finish(test, result, started)
  local o = result.outcome
  test.result = result
  test.seconds = raw.test_end(test, o, started, result.message, result.trace, result.reason,
    result.xfail)
  if started then state.ran = state.ran + 1 end
  if outcome.is_failure(o) then
    self.class_failed = true
    if result.infrastructure then
      state.infrastructure = state.infrastructure + 1
    else
      state.failed = state.failed + 1
    end
  end
  self:count(o)
end

-- For a test that does not get as far as its own code.
local function outcome_without_running(run, test)
  if test.skip then return { outcome = "skipped", reason = test.skip } end
  local broken = run.broken
  if not broken then return nil end
  local message = broken.message or broken.reason or "failed"
  if broken.outcome == "skipped" then return { outcome = "skipped", reason = message } end
  return {
    outcome = broken.outcome == "not_run" and "not_run" or "error",
    message = run.broken_why .. ": " .. message, trace = broken.trace,
    infrastructure = broken.infrastructure,
  }
end

function Run:one(test)
  local result = outcome_without_running(self, test)
  if not result then
    local failed = prepare_vms(self, test)
    if failed then
      result = failed
      result.outcome = failed.outcome == "not_run" and "not_run" or "error"
      result.message = NO_VM .. ": " .. (result.message or "failed")
    end
  end
  raw.test_start(test, test.timeout + math.min(test.timeout, TEARDOWN_MAX))
  if not result then
    result = self:execute(test)
    if test.xfail then apply_mark(test, result) end
  end
  local failed = outcome.is_failure(result.outcome)
  self:finish(test, result, true)
  raw.end_scope(TEST, leave_running(failed))
  if has_vms(test) and per_test(test) then take_vms(test.instance) end
  return failed
end

-- ---- the whole ----

function Run:not_run(from, reason)
  for i = from, #self.tests do
    self:finish(self.tests[i], { outcome = "not_run", reason = reason }, false)
  end
end

-- Why no further test is to run, or nil.
function Run:stop_reason(failed, result_outcome)
  if raw.stopping() then return "the run was stopped" end
  if state.exited then return "the suite called os.exit(" .. state.exit_code .. ")" end
  if failed and job.fail_fast then return "a test failed before (fail-fast)" end
  local runner = self.runner
  if failed and runner and (runner.quitOnFailure
      or (runner.quitOnError and result_outcome ~= "failed")) then
    self.aborted = true
    return "a test failed before (LuaUnit's --error or --failure)"
  end
end

function Run:set_up_suite()
  local fn = self.functions.setupSuite
  if not fn then return true end
  local result = call_in_scope(SUITE, "setupSuite", false, job.test_timeout, fn)
  if not outcome.is_failure(result.outcome) and result.outcome ~= "skipped" then return true end
  self:suite_error("setup", "setupSuite", result)
  return false
end

function Run:tear_down_suite()
  local fn = self.functions.teardownSuite
  if not fn then return end
  local result = call_in_scope(SUITE, "teardownSuite", true,
    math.min(job.test_timeout, TEARDOWN_MAX), fn)
  if outcome.is_failure(result.outcome) then self:suite_error("teardown", "teardownSuite", result) end
end

function Run:all()
  raw.scope(TEST)
  if not self:set_up_suite() then
    self:not_run(1, "setupSuite failed")
  else
    for i, test in ipairs(self.tests) do
      if not self.class_begun or test.class ~= self.class then
        self:end_class()
        self:begin_class(test)
      end
      local failed = self:one(test)
      local reason = self:stop_reason(failed, self.last_outcome)
      if reason then
        self:end_class()
        self:not_run(i + 1, reason)
        break
      end
    end
    self:end_class()
  end
  self:tear_down_suite()
  raw.scope(SUITE)
end

-- ---- what LuaUnit's caller gets ----

function Run:count(o)
  local c = self.counts
  self.last_outcome = o
  if o == "passed" or o == "xfailed" then
    c.passed = c.passed + 1
  elseif o == "skipped" then
    c.skipped = c.skipped + 1
  elseif o == "failed" then
    c.failed = c.failed + 1
  else
    c.error = c.error + 1
  end
end

local function status_of(o)
  return o == "skipped" and "SKIP" or o == "failed" and "FAIL" or outcome.is_failure(o) and "ERROR"
    or "SUCCESS"
end

local function node_of(number, test)
  local result = test.result
  return {
    number = number, testName = test.name, className = test.class or "[TestFunctions]",
    status = status_of(result.outcome), msg = result.message or result.reason,
    stackTrace = result.trace, duration = test.seconds,
  }
end

-- LuaUnit's lists of nodes, made when they are asked for.
local function lists(tests)
  local wanted = { failedTests = "FAIL", errorTests = "ERROR", skippedTests = "SKIP", allTests = true }
  return function(result, key)
    local status = wanted[key]
    if not status then return nil end
    local list = {}
    for number, test in ipairs(tests) do
      local node = node_of(number, test)
      if status == true or node.status == status then list[#list + 1] = node end
    end
    result[key] = list
    return list
  end
end

-- Fills runner.result as LuaUnit does; gives the number of tests that did not succeed.
function Run:result()
  local c = self.counts
  local bad = c.failed + c.error
  if self.runner then
    self.runner.result = setmetatable({
      selectedCount = #self.tests, nonSelectedCount = c.left_out, runCount = #self.tests - c.skipped,
      successCount = c.passed, failureCount = c.failed, errorCount = c.error,
      notSuccessCount = bad, skippedCount = c.skipped, duration = raw.wall() - self.started,
      suiteStarted = false,
    }, { __index = lists(self.tests) })
  end
  return bad
end

return Run
