-- Writes a Lua value as JSON: configurations of VMs, scripts of the simulated driver. A table with
-- a first element is an array, and so is what M.list made.
local M = {}

local List, Text = {}, {}
local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

-- An array, also where it is empty.
function M.list(items) return setmetatable(items, List) end

function M.is_list(value) return getmetatable(value) == List or value[1] ~= nil end

-- JSON that is written as it is.
function M.text(text) return setmetatable({ text = text }, Text) end

local function quote(text)
  return '"' .. text:gsub('[%c"\\\127]', function(c)
    return escapes[c] or string.format("\\u%04x", c:byte())
  end) .. '"'
end

local write

local function write_table(value, depth)
  local parts = {}
  local mt = getmetatable(value)
  if mt == Text then return value.text end
  if M.is_list(value) then
    for i, member in ipairs(value) do parts[i] = write(member, depth + 1) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, member in pairs(value) do
    parts[#parts + 1] = quote(tostring(key)) .. ":" .. write(member, depth + 1)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

function write(value, depth)
  local kind = type(value)
  if depth > 30 then error("nested too deeply (or in a circle)", 0) end
  if kind == "table" then return write_table(value, depth) end
  if kind == "string" then return quote(value) end
  if kind == "boolean" then return tostring(value) end
  if math.type(value) == "integer" then return string.format("%d", value) end
  if kind == "number" and value == value and math.abs(value) ~= math.huge then
    return string.format("%.17g", value)
  end
  error("cannot be written as JSON: " .. tostring(value), 0)
end

-- JSON text, or nil and why not. Members are sorted: the same value gives the same text.
function M.encode(value)
  local ok, text = pcall(write, value, 0)
  if ok then return text end
  return nil, text
end

return M
