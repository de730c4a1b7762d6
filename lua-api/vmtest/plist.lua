-- Values of property lists in Lua: dictionaries and arrays are tables, data and dates are objects
-- of their own, for a string is text. To and from the JSON form that the engine takes and gives
-- ({"$data": …}, {"$date": …}); compared, and shown.
local json = require "vmtest.json"
local options = require "vmtest.options"

local M = {}

local SHOWN = 400 -- bytes of a value in a message
local DEPTH = 30

-- ---- base64 ----

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local value_of = {}
for i = 1, #alphabet do value_of[alphabet:byte(i)] = i - 1 end

local function digits(n, count)
  local out = {}
  for i = 1, count do
    local at = (n >> (24 - 6 * i) & 63) + 1
    out[i] = alphabet:sub(at, at)
  end
  return table.concat(out)
end

local function encode(bytes)
  local parts = {}
  for i = 1, #bytes - 2, 3 do
    parts[#parts + 1] = digits(string.unpack(">I3", bytes, i), 4)
  end
  local left = #bytes % 3
  if left > 0 then
    local last = string.unpack(">I3", bytes:sub(-left) .. ("\0"):rep(3 - left))
    parts[#parts + 1] = digits(last, left + 1) .. ("="):rep(3 - left)
  end
  return table.concat(parts)
end

local function decode(text)
  local parts, n, bits = {}, 0, 0
  for i = 1, #text do
    local value = value_of[text:byte(i)]
    if value then
      n, bits = n << 6 | value, bits + 6
      if bits >= 8 then
        bits = bits - 8
        parts[#parts + 1] = string.char(n >> bits & 255)
        n = n & (1 << bits) - 1
      end
    end
  end
  return table.concat(parts)
end

-- ---- data and dates ----

local Data, Date = { __name = "vmtest.data" }, { __name = "vmtest.date" }

Data.__index = Data
Data.__eq = function(a, b) return getmetatable(b) == Data and a.bytes == b.bytes end
Data.__len = function(d) return #d.bytes end
Data.__tostring = function(d)
  local hex = d.bytes:sub(1, 16):gsub(".", function(c) return string.format("%02x", c:byte()) end)
  return string.format("<%d bytes%s%s%s>", #d.bytes, hex ~= "" and ": " or "", hex, #d.bytes > 16 and "…" or "")
end

Date.__index = Date
Date.__eq = function(a, b) return getmetatable(b) == Date and a.text == b.text end
Date.__tostring = function(d) return d.text end

function M.data(bytes)
  return setmetatable({ bytes = options.value("vmtest.data", "string", bytes, "the data") }, Data)
end

function M.date(text)
  if type(text) ~= "string" or not text:find("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$") then
    options.invalid("vmtest.date", 'a date is text such as "2026-01-31T12:00:00Z"')
  end
  return setmetatable({ text = text }, Date)
end

-- An array, also where it is empty: {} alone is a dictionary.
function M.array(list)
  return json.list(options.value("vmtest.array", "table", list, "the list"))
end

-- ---- to and from JSON ----

local function to_json(value, depth)
  if type(value) == "string" and not utf8.len(value) then
    error("hold text that is not UTF-8 (bytes are vmtest.data(…))", 0)
  end
  if type(value) ~= "table" then return value end
  if depth > DEPTH then error("are nested too deeply (or in a circle)", 0) end
  local mt = getmetatable(value)
  if mt == Data then return { ["$data"] = encode(value.bytes) } end
  if mt == Date then return { ["$date"] = value.text } end
  local out = {}
  for key, member in pairs(value) do out[key] = to_json(member, depth + 1) end
  return json.is_list(value) and json.list(out) or out
end

-- The JSON text of a value; raises what is wrong with it, as `op`.
function M.encode(op, value)
  local ok, converted = pcall(to_json, value, 0)
  local text, why = nil, converted
  if ok then text, why = json.encode(converted) end
  return text or options.invalid(op, "its values " .. why)
end

-- What the engine gave, with data and dates as objects. Changes it in place.
function M.decode(value)
  if type(value) ~= "table" then return value end
  local key, only = next(value)
  if next(value, key) == nil and type(only) == "string" then
    if key == "$data" then return M.data(decode(only)) end
    if key == "$date" then return setmetatable({ text = only }, Date) end
  end
  for name, member in pairs(value) do value[name] = M.decode(member) end
  return value
end

-- ---- shown and compared ----

local function sorted_keys(value)
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and type(a) ~= "boolean" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function show(value, depth)
  if type(value) == "string" then return (string.format("%q", value):gsub("\\\n", "\\n")) end
  local mt = type(value) == "table" and getmetatable(value)
  if type(value) ~= "table" or mt == Data or mt == Date then return tostring(value) end
  if depth > DEPTH then return "{…}" end
  local parts = {}
  for _, key in ipairs(sorted_keys(value)) do
    local shown = show(value[key], depth + 1)
    parts[#parts + 1] = math.type(key) and shown or tostring(key) .. " = " .. shown
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- A value as text, for messages.
function M.show(value)
  local text = show(value, 0)
  if #text > SHOWN then text = text:sub(1, SHOWN) .. " …" end
  return text
end

local function is_plain(value)
  local mt = type(value) == "table" and getmetatable(value)
  return type(value) == "table" and mt ~= Data and mt ~= Date
end

local function below(path, key)
  if math.type(key) then return path .. "[" .. key .. "]" end
  return path == "" and tostring(key) or path .. "." .. tostring(key)
end

local function compare(before, after, path, found)
  if is_plain(before) and is_plain(after) then
    local keys = {}
    for key in pairs(before) do keys[key] = true end
    for key in pairs(after) do keys[key] = true end
    for _, key in ipairs(sorted_keys(keys)) do
      compare(before[key], after[key], below(path, key), found)
    end
  elseif before ~= after then
    found[#found + 1] = { path = path, before = before, after = after }
  end
end

-- Where two values differ: {{path =, before =, after =}, …}, by path; nil is what is not there.
function M.differences(before, after)
  local found = {}
  compare(before, after, "", found)
  return found
end

M.sorted_keys = sorted_keys

return M
