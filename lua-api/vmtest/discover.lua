-- From names and classes to the list of tests, by LuaUnit's rules.
local raw = ...
local luaunit = require "vmtest.luaunit"
local marks = require "vmtest.marks"

local M = {}

local function is_test_name(name)
  local lu = luaunit.module
  if lu and lu.LuaUnit.isTestName then return lu.LuaUnit.isTestName(name) end
  return name:sub(1, 4):lower() == "test"
end

local function is_method_name(name)
  local lu = luaunit.module
  if lu and lu.LuaUnit.isMethodTestName then return lu.LuaUnit.isMethodTestName(name) end
  return name:sub(1, 4):lower() == "test"
end

-- Names of all global tests, sorted.
function M.collect()
  if luaunit.module then return luaunit.module.LuaUnit.collectTests() end
  local names = {}
  for name in pairs(_G) do
    if type(name) == "string" and is_test_name(name) then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function fail(text) error(text, 0) end

local function split(name)
  local class, method = name:match("^([^.]*)%.(.*)$")
  return class, method or name
end

-- {{name, instance}, …} from names in the global space.
function M.resolve(names)
  local list = {}
  for i, name in ipairs(names) do
    local class, method = split(name)
    local instance = _G[class or name]
    if instance == nil then fail("No such name in global space: " .. (class or name)) end
    if class and type(instance) ~= "table" then
      fail("Instance of " .. class .. " must be a table, not " .. type(instance))
    end
    if class and instance[method] == nil then
      fail("Could not find method in class " .. class .. " for method " .. method)
    end
    if type(instance) ~= "table" and type(instance) ~= "function" then
      fail("Name must match a function or a table: " .. name)
    end
    list[i] = { name, instance }
  end
  return list
end

local function add_test(tests, class, method, instance, fn)
  local name = class and class .. "." .. method or method
  if type(fn) ~= "function" then fail(name .. " must be a function, not " .. type(fn)) end
  local file, line = raw.fn_info(fn)
  tests[#tests + 1] = {
    name = name, method = method, class = class, instance = instance, fn = fn, file = file, line = line,
    marks = marks.of[fn], class_marks = instance and marks.of[instance],
  }
end

local function expand_class(tests, name, instance)
  local methods = {}
  for key, value in pairs(instance) do
    if type(key) == "string" and type(value) == "function" and is_method_name(key) then
      methods[#methods + 1] = key
    end
  end
  table.sort(methods)
  for _, method in ipairs(methods) do add_test(tests, name, method, instance, instance[method]) end
end

-- Tests of {{name, instance}, …}: functions, "Class.method", or whole classes.
function M.expand(list)
  local tests = {}
  for _, item in ipairs(list) do
    local name, instance = item[1], item[2]
    if type(instance) == "function" then
      add_test(tests, nil, name, nil, instance)
    elseif type(instance) ~= "table" then
      fail("Instance must be a table or a function, not a " .. type(instance))
    else
      local class, method = split(name)
      if not class then
        expand_class(tests, name, instance)
      elseif instance[method] == nil then
        fail("Could not find method in class " .. class .. " for method " .. method)
      else
        add_test(tests, class, method, instance, instance[method])
      end
    end
  end
  return tests
end

local function union(a, b)
  if not a or not b then return a or b end
  local out, seen = {}, {}
  for _, list in ipairs { a, b } do
    for _, tag in ipairs(list) do
      if not seen[tag] then
        seen[tag] = true
        out[#out + 1] = tag
      end
    end
  end
  return out
end

-- Sets id, tags, timeout, skip and xfail of each test from its marks and its class's.
function M.finish(tests, first_id, default_timeout)
  for i, test in ipairs(tests) do
    local own, class = test.marks, test.class_marks
    test.id = first_id + i - 1
    test.timeout = default_timeout
    if own or class then
      own, class = own or {}, class or {}
      test.timeout = own.timeout or class.timeout or default_timeout
      test.tags = union(class.tags, own.tags)
      test.skip = own.skip or class.skip
      test.xfail = own.xfail or class.xfail
    end
  end
end

return M
