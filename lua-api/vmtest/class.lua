-- vmtest.class and vmtest.test: an ordinary LuaUnit class, or function, and what is said about it.
local options = require "vmtest.options"
local marks = require "vmtest.marks"
local vm = require "vmtest.vm"

local M = {}

local function vm_table(value)
  if type(value) ~= "table" then return nil, "is to be a table of options" end
  return value
end

local function vm_tables(value)
  if type(value) ~= "table" or next(value) == nil then
    return nil, "is to be a table of names and VM options"
  end
  for name, opts in pairs(value) do
    if type(name) ~= "string" or type(opts) ~= "table" then
      return nil, "is to be a table of names and VM options"
    end
  end
  return value
end

local function reset(value)
  if value == "test" or value == "class" then return value end
  return nil, 'is to be "class" or "test"'
end

local class_spec = {
  image = "string", vm = vm_table, vms = vm_tables, timeout = "duration", reset = reset,
  tags = options.strings, skip = "string", xfail = marks.xfail,
}

local function merged(image, opts)
  local all = { image = image }
  for key, value in pairs(opts or {}) do all[key] = value end
  return all
end

-- What VMs the class needs: {{key = "web" or nil, opts = checked}, …}, by key.
local function needs(op, o)
  local list = {}
  if o.vms then
    if o.vm then options.invalid(op, "either 'vm' (one VM) or 'vms' (several), not both") end
    for key, opts in pairs(o.vms) do
      list[#list + 1] = { key = key, opts = vm.check(op .. ": vms." .. key, merged(o.image, opts)) }
    end
    table.sort(list, function(a, b) return a.key < b.key end)
  elseif o.image or o.vm then
    list[1] = { opts = vm.check(op, merged(o.image, o.vm)) }
  end
  return list
end

function M.new(opts)
  local op = "vmtest.class"
  local o = options.check(op, class_spec, opts)
  o.vms = needs(op, o)
  if o.timeout == 0 then options.invalid(op, "option 'timeout' is to be more than 0") end
  local class = {}
  marks.of[class] = o
  return class
end

function M.test(opts, fn)
  local op = "vmtest.test"
  local o = options.check(op, marks.test_spec, opts)
  options.value(op, "callable", fn, "its second argument")
  if o.timeout == 0 then options.invalid(op, "option 'timeout' is to be more than 0") end
  marks.of[fn] = o
  return fn
end

return M
