-- vmtest.class and vmtest.test: an ordinary LuaUnit class, or function, and what is said about it.
local config = require "vmtest.config"
local fixture = require "vmtest.fixture"
local marks = require "vmtest.marks"
local mdm = require "vmtest.mdm"
local options = require "vmtest.options"

local M = {}

local class_spec = {
  image = "string", vm = fixture.vm_table, vms = fixture.vm_tables, fixture = fixture.reference,
  timeout = "duration", reset = config.choice("test", "class", "file", "never"),
  tags = options.strings, skip = "string", xfail = marks.xfail, needs = mdm.check_needs,
}

-- What VMs the class needs: {{key = "web" or nil, opts = checked}, …}, by key.
local function needs(op, o)
  if o.vms and o.vm then
    options.invalid(op, "either 'vm' (one VM) or 'vms' (several), not both")
  elseif o.fixture and (o.image or o.vm or o.vms) then
    options.invalid(op, "a fixture has its VMs: no 'image', 'vm' or 'vms' beside it")
  elseif o.vms then
    return fixture.needs(op, o.image, o.vms)
  elseif o.image or o.vm then
    return fixture.needs(op, o.image, nil, o.vm or {})
  end
  return {}
end

-- A machine that cannot be put back is taken as it is.
local function default_reset(op, o)
  for _, need in ipairs(o.vms) do
    if need.opts.driver == "ssh" and not config.simulated() then
      if o.reset and o.reset ~= "never" then
        options.invalid(op, 'reset = "' .. o.reset .. '" is not possible with the ssh driver: an '
          .. "existing machine cannot be put back", 'say reset = "never", or leave it out')
      end
      return "never"
    end
  end
  return o.reset or "test"
end

function M.new(opts)
  local op = "vmtest.class"
  local o = options.check(op, class_spec, opts)
  o.vms = needs(op, o)
  o.reset = default_reset(op, o)
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
