-- One run of a list of tests: classes, their VMs, setUp, test, tearDown, outcomes.
local raw = ...
local artifacts = require "vmtest.artifacts"
local Hold = require "vmtest.reset"
local luaunit = require "vmtest.luaunit"
local marks = require "vmtest.marks"
local mdm = require "vmtest.mdm"
local outcome = require "vmtest.outcome"

local SUITE, CLASS, TEST = 1, 2, 3 -- scopes of VMs
local TEARDOWN_MAX = 60            -- seconds
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

local function leave_running(failed) return job.keep_always or (job.keep_failed and failed) end

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

local function is_bad(result)
  return outcome.is_failure(result.outcome) or result.outcome == "skipped"
end

local function set_up_class(test)
  local instance = test.instance
  local result = call_in_scope(CLASS, "setupClass", false, test.timeout, instance.setupClass, instance)
  if not is_bad(result) then return nil end
  result.why = result.why or "setupClass"
  return result
end

-- What the class needs besides VMs: nil, or why its tests are skipped or cannot run.
local function unmet(test)
  local needs = test.class_marks and test.class_marks.needs
  if not needs then return nil end
  local result = call_in_scope(CLASS, "needs", false, test.timeout, mdm.meet, needs)
  return is_bad(result) and result or nil
end

function Run:begin_class(test, group)
  self.class, self.class_test, self.class_failed = test.class, test, false
  self.group, self.broken, self.class_begun = group, nil, true
  local instance = test.instance
  if not instance or group.idle then return end
  self.broken = unmet(test)
  if self.broken then
    self.broken.why = "its MDM server could not be had"
  elseif group.hold then
    self.broken = group.hold:begin()
  elseif type(instance.setupClass) == "function" then
    self.broken = set_up_class(test)
  end
  if self.broken and self.broken.exited then note("exit") end
end

-- Whether its code may run: it has what it needs.
function Run:class_stands()
  return not self.group.idle and (not self.broken or self.broken.why == "setupClass")
end

function Run:end_class()
  if not self.class_begun then return end
  self.class_begun = false
  local test, hold = self.class_test, self.group.hold
  local instance = test.instance
  if instance and type(instance.teardownClass) == "function" and self:class_stands() then
    local result = call_in_scope(CLASS, "teardownClass", true,
      math.min(test.timeout, TEARDOWN_MAX), instance.teardownClass, instance)
    if outcome.is_failure(result.outcome) then
      self:suite_error("teardown", test.class .. ".teardownClass", result)
      self.class_failed = true
    end
  end
  local failed = self.class_failed
  if hold then hold:take() end
  raw.end_scope(CLASS, hold and hold:leave_at_end(failed) or not hold and leave_running(failed))
end

-- ---- one test ----

-- Seconds a test may take, with its tearDown.
local function time_of(test) return test.timeout + math.min(test.timeout, TEARDOWN_MAX) end

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
  if how then
    note(how)
    if outcome.is_failure(result.outcome) and result.outcome ~= "not_run" and not test.xfail then
      result.artifacts = artifacts.capture(test.name)
    end
  end
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

-- What the test is to find is made; nil, or the result of a failure.
function Run:prepare(test)
  local hold = self.group.hold
  local failed = hold and hold:before_test()
  if not failed then return nil end
  if failed.exited then note("exit") end
  return self:without_running(failed)
end

-- setUp, test and tearDown, as often as LuaUnit's --repeat says.
function Run:execute(test)
  local instance = test.instance
  local set_up = instance and set_up_of(instance)
  local tear_down = instance and tear_down_of(instance)
  local times = self.runner and self.runner.exeRepeat or 1
  local result
  for i = 1, times do
    luaunit.begin_test()
    if i > 1 and self.group.hold then
      result = self:prepare(test)
      raw.deadline(time_of(test), test.name)
    else
      result = nil
    end
    result = result or once(test, set_up, tear_down)
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
    result.xfail, result.artifacts)
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

-- The result of a test whose class, or whose VM, is broken. A failure that many share is shown in
-- full once.
function Run:without_running(broken)
  local message = broken.message or broken.reason or "failed"
  if broken.outcome == "skipped" then return { outcome = "skipped", reason = message } end
  local brief = broken.brief and broken.told and broken.brief
  broken.told = true
  return {
    outcome = broken.outcome == "not_run" and "not_run" or "error",
    message = brief or (broken.why or NO_VM) .. ": " .. message,
    trace = not brief and broken.trace or nil, infrastructure = broken.infrastructure,
  }
end

function Run:one(test)
  local result
  if test.skip then
    result = { outcome = "skipped", reason = test.skip }
  elseif self.broken then
    result = self:without_running(self.broken)
  else
    result = self:prepare(test)
  end
  raw.test_start(test, time_of(test))
  if not result then
    result = self:execute(test)
    if test.xfail then apply_mark(test, result) end
  end
  local failed = outcome.is_failure(result.outcome)
  self:finish(test, result, true)
  raw.end_scope(TEST, leave_running(failed))
  if self.group.hold then self.group.hold:after_test(failed) end
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

-- The tests of one class that follow each other, from test i on: how many there are, and where its
-- VMs come from.
local function group_from(self, i)
  local test, last, running = self.tests[i], i, 0
  while self.tests[last] and self.tests[last].class == test.class do
    if not self.tests[last].skip then running = running + 1 end
    last = last + 1
  end
  local group = { next = last }
  if Hold.has_vms(test) then
    group.idle = running == 0 -- no VM is started for tests that are skipped
    if not group.idle then
      local set_up = type(test.instance.setupClass) == "function" and function() return set_up_class(test) end
      group.hold = Hold.new(test, running, self.runner and self.runner.exeRepeat or 1, set_up or nil)
    end
  end
  return group
end

-- All of them, beforehand: what will be wanted again is known when it is made.
local function groups_of(self)
  local groups, i = {}, 1
  while self.tests[i] do
    groups[i] = group_from(self, i)
    i = groups[i].next
  end
  return groups
end

function Run:run_tests()
  local groups = groups_of(self)
  for i, test in ipairs(self.tests) do
    if groups[i] then
      self:end_class()
      self:begin_class(test, groups[i])
    end
    local failed = self:one(test)
    local reason = self:stop_reason(failed, self.last_outcome)
    if reason then
      self:end_class()
      self:not_run(i + 1, reason)
      return
    end
  end
  self:end_class()
end

function Run:all()
  raw.scope(TEST)
  if self:set_up_suite() then
    self:run_tests()
  else
    self:not_run(1, "setupSuite failed")
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
