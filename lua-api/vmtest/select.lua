-- Which tests run: `-k EXPRESSION`. Words are searched for, without regard to case, in the test's
-- name ("Class.test") and its file; they are combined by `and`, `or`, `not` and parentheses.
local M = {}

local keywords = { ["and"] = true, ["or"] = true, ["not"] = true }

local function tokens(text)
  local list, at = {}, 1
  while true do
    at = text:find("%S", at)
    if not at then return list end
    local token = text:match("^[()]", at) or text:match("^[^%s()]+", at)
    list[#list + 1] = { text = token, at = at }
    at = at + #token
  end
end

local Parser = {}
Parser.__index = Parser

function Parser:peek()
  local token = self.list[self.next]
  return token and token.text
end

function Parser:take()
  local text = self:peek()
  self.next = self.next + 1
  return text
end

function Parser:fail(wanted)
  local token = self.list[self.next]
  error(string.format("%s expected %s, in the expression: %s", wanted,
    token and string.format("instead of '%s' at column %d", token.text, token.at) or "at its end",
    self.text), 0)
end

function Parser:primary()
  local text = self:peek()
  if text == "(" then
    self:take()
    local inner = self:either()
    if self:peek() ~= ")" then self:fail("a ')' is") end
    self:take()
    return inner
  end
  if not text or text == ")" or text == "and" or text == "or" then self:fail("a word is") end
  local word = self:take():lower()
  return function(subject) return subject:find(word, 1, true) ~= nil end
end

function Parser:negation()
  if self:peek() ~= "not" then return self:primary() end
  self:take()
  self:deeper()
  local inner = self:negation()
  return function(subject) return not inner(subject) end
end

-- A bound for nesting, so that no expression exhausts the C stack.
function Parser:deeper()
  self.depth = self.depth + 1
  if self.depth > 100 then error("the expression is nested too deeply", 0) end
end

function Parser:both()
  local left = self:negation()
  while self:peek() == "and" do
    self:take()
    local a, b = left, self:negation()
    left = function(subject) return a(subject) and b(subject) end
  end
  return left
end

function Parser:either()
  self:deeper()
  local left = self:both()
  while self:peek() == "or" do
    self:take()
    local a, b = left, self:both()
    left = function(subject) return a(subject) or b(subject) end
  end
  return left
end

-- A function(name, file) that tells whether a test is selected; raises a text for an expression
-- that is wrong.
function M.compile(text)
  local parser = setmetatable({ text = text, list = tokens(text), next = 1, depth = 0 }, Parser)
  local match = parser:either()
  if parser:peek() then parser:fail(keywords[parser:peek()] and "a word is" or "'and' or 'or' is") end
  return function(name, file)
    return match((name .. "\n" .. (file or "")):lower())
  end
end

return M
