-- What suites say about classes and tests besides their code, and what is raised to end a test
-- with another outcome than by an error.
local options = require "vmtest.options"

local M = {}

M.of = setmetatable({}, { __mode = "k" }) -- class table or test function -> its checked marks

-- Raised by vmtest.skip and vmtest.xfail; a table of a kind that no text can look like.
local Signal = { __name = "vmtest.signal" }
Signal.__tostring = function(s) return "vmtest." .. s.kind .. ": " .. s.reason end

function M.raise(kind, reason)
  if reason ~= nil and type(reason) ~= "string" then
    options.invalid("vmtest." .. kind, "the reason is to be a string")
  end
  error(setmetatable({ kind = kind, reason = reason or "" }, Signal), 0)
end

function M.is_signal(value)
  return type(value) == "table" and getmetatable(value) == Signal
end

local xfail_spec = {
  reason = "string",
  strict = "boolean",
  when = function(value)
    if type(value) == "boolean" or type(value) == "function" then return { value } end
    return nil, "is to be a boolean or a function that gives one"
  end,
}

function M.xfail(value)
  if type(value) == "string" then value = { reason = value } end
  if type(value) ~= "table" then return nil, "is to be a reason or a table" end
  local checked = options.check("xfail", xfail_spec, value)
  if not checked.reason then return nil, "needs a reason" end
  return checked
end

M.test_spec = { timeout = "duration", tags = options.strings, skip = "string", xfail = M.xfail }

-- Whether the mark holds now.
function M.xfail_holds(mark)
  local when = mark.when and mark.when[1]
  if when == nil then return true end
  if type(when) == "function" then return when() and true or false end
  return when
end

return M
