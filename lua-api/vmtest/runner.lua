-- The runner: loads the suite, finds its tests, runs them. Its main function is the root task.
local raw = ...
local discover = require "vmtest.discover"
local luaunit = require "vmtest.luaunit"
local outcome = require "vmtest.outcome"
local selection = require "vmtest.select"
local Run = require "vmtest.run"

local OK, FAILED, LOAD_ERROR, INFRASTRUCTURE, EMPTY, INTERRUPTED = 0, 1, 2, 3, 4, 5

local job = raw.job
local state = Run.state
local loading = false

local function load_error(message, trace)
  state.load_error = true
  raw.suite_error("load", message, trace)
end

local function chunk_of_suite()
  local file, why = io.open(job.suite, "rb")
  if not file then return nil, why end
  local text
  text, why = file:read("a")
  file:close()
  if not text then return nil, job.suite_name .. ": " .. tostring(why) end
  text = text:gsub("^\239\187\191", ""):gsub("^#[^\n]*", "")
  return load(text, "@" .. job.suite_name, "t")
end

local function select_tests(tests, runner)
  local lu = luaunit.module
  if runner and runner.patternIncludeFilter and lu then
    local list = {}
    for i, test in ipairs(tests) do list[i] = { test.name, test } end
    list = lu.LuaUnit.applyPatternFilter(runner.patternIncludeFilter, list)
    tests = {}
    for i, item in ipairs(list) do tests[i] = item[2] end
  end
  if not state.filter then return tests end
  local selected = {}
  for _, test in ipairs(tests) do
    if state.filter(test.name, test.file) then selected[#selected + 1] = test end
  end
  return selected
end

local function suite_functions(list)
  local found = { setupSuite = rawget(_G, "setupSuite"), teardownSuite = rawget(_G, "teardownSuite") }
  for _, item in ipairs(list) do
    if found[item[1]] == nil and type(item[2]) == "function" then found[item[1]] = item[2] end
  end
  return found
end

-- Runs what {{name, instance}, …} stands for, as `runner` (LuaUnit's, or nil) is set up.
local function run_list(runner, list)
  local tests = discover.expand(list)
  if runner and runner.shuffle then luaunit.module.private.randomizeTable(tests) end
  local all = #tests
  tests = select_tests(tests, runner)
  discover.finish(tests, state.next_id, job.test_timeout)
  state.next_id = state.next_id + #tests
  state.runs = state.runs + 1
  raw.plan(tests)
  if job.list_only then
    state.listed = state.listed + #tests
    return 0
  end
  local run = Run.new(runner, tests, suite_functions(list), all - #tests)
  loading = false
  raw.shield(true, 0)
  run:all()
  raw.deadline(job.test_timeout, "load")
  raw.shield(false, state.exited and 5 or job.test_timeout)
  loading = true
  if run.aborted then luaunit.raw_exit(-2) end
  if state.exited then luaunit.raw_exit(state.exit_code) end
  return run:result()
end

luaunit.at_top = function() return loading end

luaunit.on_run = function(runner, names, instances)
  runner:registerSuite()
  local ok, result = pcall(function()
    return run_list(runner, instances or discover.resolve(names))
  end)
  runner:unregisterSuite()
  if not ok then error(result, 0) end
  return result
end

local function run_all()
  local runner
  if luaunit.module then
    runner = luaunit.module.LuaUnit.new()
    runner:registerSuite()
  end
  run_list(runner, discover.resolve(discover.collect()))
end

local function ended_by_exit()
  local code = raw.exit_code()
  if state.exited or code == 0 then return end
  if state.runs == 0 then
    load_error("the suite called os.exit(" .. code .. ") before it ran any test")
  elseif state.failed + state.infrastructure == 0 then
    state.failed = state.failed + 1
    raw.suite_error("teardown", "the suite ended itself by os.exit(" .. code
      .. "), although no test failed")
  end
end

local function run_suite()
  local chunk, why = chunk_of_suite()
  if not chunk then return load_error(why) end
  loading = true
  raw.deadline(job.test_timeout, "load")
  local how, err, trace = raw.guard(job.test_timeout, false, chunk)
  if how == nil and state.runs == 0 then
    how, err, trace = raw.guard(job.test_timeout, false, run_all)
  end
  loading = false
  if how == "exit" then
    ended_by_exit()
  elseif how and how ~= "canceled" then
    local result = outcome.of(how, err, trace)
    if result.infrastructure then
      state.infrastructure = state.infrastructure + 1
      raw.suite_error("setup", result.message, trace)
    else
      load_error(result.message or result.reason, trace)
    end
  end
end

local function exit_code()
  if raw.stopping() then return INTERRUPTED end
  if state.load_error then return LOAD_ERROR end
  if state.failed > 0 then return FAILED end
  if state.infrastructure > 0 then return INFRASTRUCTURE end
  if state.ran + state.listed == 0 then return EMPTY end
  return OK
end

local function set_paths()
  local folder = job.suite:match("^(.*)/[^/]*$") or "."
  package.path = folder .. "/?.lua;" .. folder .. "/?/init.lua;" .. package.path
  _G.arg = { [0] = job.suite_name }
end

local function main()
  if job.filter then
    local ok, filter = pcall(selection.compile, job.filter)
    if not ok then
      load_error("-k: " .. filter)
      return LOAD_ERROR
    end
    state.filter = filter
  end
  if job.list_only then raw.list_mode() end
  set_paths()
  luaunit.install()
  run_suite()
  raw.end_scope(1, job.keep_always or (job.keep_failed and state.failed > 0))
  return exit_code()
end

return main
