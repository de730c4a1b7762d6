-- LuaUnit under the host. It gives the assertions; a run at the top level of a suite is taken over
-- by the runner, and what ends a test early (skip, success) is told apart from text that only
-- looks like it. Runners that tests make themselves are left alone.


local M = {
  module = nil,     -- LuaUnit itself, once a suite has loaded it
  on_run = nil,     -- function(runner, names, instances): the runner's, for runs at the top level
  at_top = function() return false end,
}

local early = { kind = nil, text = nil } -- what LuaUnit raised last to end a test early

function M.begin_test() early.kind = nil end

-- "success" or "skip" where the error is really LuaUnit's, with the reason, or nil.
function M.early_end(err)
  local kind = early.kind
  if not kind or type(err) ~= "string" then return nil end
  local lu = M.module
  local prefix = kind == "success" and lu.SUCCESS_PREFIX or lu.SKIP_PREFIX
  local ends = prefix .. (kind == "skip" and early.text or "")
  if err:sub(-#ends) ~= ends then return nil end
  return kind, early.text
end

local function remember(kind, text)
  early.kind, early.text = kind, text
end

-- The wrappers end in tail calls: error positions stay those of the caller.
local function wrap_early_ends(lu)
  local success, success_if, skip = lu.success, lu.successIf, lu.skip
  local skip_if, run_only_if = lu.skipIf, lu.runOnlyIf
  lu.success = function() remember "success" return success() end
  lu.successIf = function(cond)
    if cond then remember "success" end
    return success_if(cond)
  end
  lu.skip = function(msg) remember("skip", tostring(msg)) return skip(msg) end
  lu.skipIf = function(cond, msg)
    if cond then remember("skip", tostring(msg)) end
    return skip_if(cond, msg)
  end
  lu.runOnlyIf = function(cond, msg)
    if not cond then remember("skip", lu.prettystr(msg)) end
    return run_only_if(cond, msg)
  end
end

local function wrap_runs(lu)
  local class = lu.LuaUnit
  local run_suite, run_instances = class.runSuite, class.runSuiteByInstances
  class.runSuite = function(runner, ...)
    if not M.at_top() or #class.instances > 0 then return run_suite(runner, ...) end
    local names = runner:initFromArguments(...)
    return M.on_run(runner, names or class.collectTests(), nil)
  end
  class.runSuiteByInstances = function(runner, list, arguments)
    if not M.at_top() or #class.instances > 0 then return run_instances(runner, list, arguments) end
    runner:initFromArguments(arguments)
    return M.on_run(runner, nil, list)
  end
end

local function patch(lu)
  if type(lu) ~= "table" or type(lu.LuaUnit) ~= "table" or lu == M.module then return end
  wrap_early_ends(lu)
  wrap_runs(lu)
  M.module = lu
end

-- Sees every module named luaunit that is loaded from a file, wherever that lies.
function M.install()
  local search = package.searchers[2]
  package.searchers[2] = function(name)
    local loader, file = search(name)
    if type(loader) ~= "function" or not tostring(file):find("luaunit[^/]*%.lua$") then
      return loader, file
    end
    return function(...)
      local lu = loader(...)
      patch(lu)
      return lu
    end, file
  end
end

-- Text of a value that was raised, as LuaUnit shows it.
function M.describe(value)
  if type(value) == "string" then return value end
  local mt = getmetatable(value)
  if type(mt) == "table" and mt.__tostring then return tostring(value) end
  if M.module and type(value) == "table" then return M.module.prettystr(value) end
  return tostring(value)
end

M.raw_exit = os.exit
return M
