-- From how a guarded call ended to a test's outcome.
local raw = ...
local luaunit = require "vmtest.luaunit"
local marks = require "vmtest.marks"

local M = {}

local MESSAGE_MAX = 16384 -- bytes

local function head(text)
  if #text <= MESSAGE_MAX then return text end
  return text:sub(1, MESSAGE_MAX) .. string.format("\n[%d more bytes]", #text - MESSAGE_MAX)
end

-- The text of anything that was raised. A __tostring of the suite's own gets a deadline.
local function text_of(err)
  if type(err) == "string" then return head(err) end
  if raw.is_error(err) then return head(tostring(err)) end
  local how, text = raw.guard(5, true, luaunit.describe, err)
  if how or type(text) ~= "string" then return "(an error object that cannot be shown)" end
  return head(text)
end

-- "suite.lua:3: LuaUnit test FAILURE: expected …": LuaUnit's word is taken out, by position and not
-- as a pattern: the message may hold anything.
local function failure_text(err)
  local lu = luaunit.module
  if not lu or type(err) ~= "string" then return nil end
  local from, to = err:find(lu.FAILURE_PREFIX, 1, true)
  if not from then return nil end
  return head(err:sub(1, from - 1) .. err:sub(to + 1))
end

-- {outcome=, message=, trace=, reason=, infrastructure=}; `how` as raw.guard gives it.
function M.of(how, err, trace)
  if how == nil then return { outcome = "passed" } end
  if how == "timeout" then
    return { outcome = "timed_out", message = text_of(err), trace = trace }
  elseif how == "canceled" then
    return { outcome = "not_run", reason = "the run was stopped", message = text_of(err), trace = trace }
  elseif how == "exit" then
    return { outcome = "error", message = "it called os.exit(" .. raw.exit_code() .. ")" }
  elseif how == "memory" then
    return { outcome = "error", message = "not enough memory: the suite has reached its limit" }
  elseif marks.is_signal(err) then
    return { outcome = err.kind == "skip" and "skipped" or "xfailed", reason = head(err.reason) }
  end
  local kind, reason = luaunit.early_end(err)
  if kind == "success" then return { outcome = "passed" } end
  if kind == "skip" then return { outcome = "skipped", reason = head(reason) } end
  local failed = failure_text(err)
  if failed then return { outcome = "failed", message = failed, trace = trace } end
  if raw.is_error(err) and err.assertion then
    return { outcome = "failed", message = text_of(err), trace = trace }
  end
  return {
    outcome = "error", message = text_of(err), trace = trace,
    infrastructure = raw.is_error(err) and err.infrastructure or nil,
  }
end

local bad = { failed = true, error = true, timed_out = true, not_run = true, xpassed = true }

function M.is_failure(outcome) return bad[outcome] or false end

-- Adds what tearDown came to: it is never dropped, whatever the test came to before.
function M.add_teardown(result, after)
  if after.outcome == "passed" or after.outcome == "skipped" then return result end
  if not bad[result.outcome] then
    after.message = "tearDown: " .. (after.message or after.reason or "failed")
    return after
  end
  result.message = (result.message or result.reason or "") .. "\ntearDown failed too: "
    .. (after.message or after.reason or "")
  return result
end

-- Applies an xfail mark that holds. Time-outs and what the infrastructure did are not excused.
function M.apply_xfail(result, mark)
  local o = result.outcome
  if (o == "failed" or o == "error") and not result.infrastructure then
    result.outcome, result.reason = "xfailed", mark.reason
  elseif o == "passed" then
    if mark.strict ~= false then
      result.outcome = "xpassed"
      result.message = "it passed, though it is marked as expected to fail: " .. mark.reason
    end
  end
  result.xfail = mark.reason
end

return M
