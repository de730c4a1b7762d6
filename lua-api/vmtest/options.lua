-- Checks tables of options: unknown keys are errors with the nearest known name, values have the
-- type they should have. Errors are raised at the line of the suite that gave them.
local raw = ...

local M = {}

-- Edits between two words; two neighbours exchanged are one edit.
local function distance(a, b)
  local before, above = {}, {}
  for j = 0, #b do above[j] = j end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, above = above, row
  end
  return above[#b]
end

-- The name among the keys of `names` that `word` is most likely a misspelling of, or nil.
function M.nearest(word, names)
  local best, least
  for name in pairs(names) do
    local d = distance(word:lower(), name:lower())
    if not least or d < least or (d == least and name < best) then
      best, least = name, d
    end
  end
  return least and least <= math.max(1, #word // 3) and best or nil
end

function M.invalid(op, message, hint)
  return raw.raise("invalid", op, message, hint)
end

local function names_of(spec)
  local names = {}
  for name in pairs(spec) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

local function article(kind)
  return (kind:find("^[aeiou]") and "an " or "a ") .. kind
end

local convert = {}

function convert.duration(value)
  if type(value) ~= "number" and type(value) ~= "string" then
    return nil, 'is to be a duration (seconds, or text such as "90s"), not ' .. article(type(value))
  end
  local seconds, why = raw.duration(value)
  return seconds, why and "is no duration: " .. why
end

function convert.size(value)
  if type(value) ~= "number" and type(value) ~= "string" then
    return nil, 'is to be a size (bytes, or text such as "4G"), not ' .. article(type(value))
  end
  local bytes, why = raw.size(value)
  return bytes, why and "is no size: " .. why
end

-- Bytes, at least one.
function convert.limit(value)
  local bytes, why = convert.size(value)
  if bytes == 0 then return nil, "is to be at least 1 byte" end
  return bytes, why
end

function convert.count(value)
  local n = math.tointeger(value)
  if not n or n < 1 then return nil, "is to be a whole number from 1" end
  return n
end

function convert.callable(value)
  if type(value) ~= "function" then return nil, "is to be a function, not " .. article(type(value)) end
  return value
end

local function check_value(kind, value)
  if type(kind) == "function" then return kind(value) end
  if convert[kind] then return convert[kind](value) end
  if type(value) ~= kind then
    return nil, "is to be " .. article(kind) .. ", not " .. article(type(value))
  end
  return value
end

-- A new table with the checked options; `spec` maps each key to a type, to one of the names above,
-- or to a function that gives the value, or nil and what is wrong.
function M.check(op, spec, opts)
  if opts == nil then return {} end
  if type(opts) ~= "table" then
    M.invalid(op, "options are to be a table, not " .. article(type(opts)))
  end
  local out = {}
  for key, value in pairs(opts) do
    local kind = spec[key]
    if not kind then
      local near = type(key) == "string" and M.nearest(key, spec)
      M.invalid(op, "unknown option '" .. tostring(key) .. "'"
        .. (near and "; did you mean '" .. near .. "'?" or ""), next(spec) and "known are: " .. names_of(spec) or "it takes none")
    end
    local checked, why = check_value(kind, value)
    if checked == nil then M.invalid(op, "option '" .. key .. "' " .. why) end
    out[key] = checked
  end
  return out
end

-- One value that is no option: M.value("vmtest.sleep", "duration", d, "its argument").
function M.value(op, kind, value, what)
  local checked, why = check_value(kind, value)
  if checked == nil then M.invalid(op, what .. " " .. why) end
  return checked
end

-- A list of strings, or one string.
function M.strings(value)
  if type(value) == "string" then return { value } end
  if type(value) ~= "table" then return nil, "is to be a list of texts" end
  for key, text in pairs(value) do
    if math.type(key) ~= "integer" or type(text) ~= "string" then
      return nil, "is to be a list of texts"
    end
  end
  return value
end

return M
