-- vmtest.fixture: VMs that a function has prepared once, for all the classes that name it.
local raw = ...
local config = require "vmtest.config"
local Layer = require "vmtest.layers"
local options = require "vmtest.options"
local outcome = require "vmtest.outcome"

local M = {}

local FIXTURE = 4 -- the scope of VMs that its function makes by hand

local Fixture = { __name = "vmtest.fixture" }
Fixture.__index = Fixture
Fixture.__tostring = function(f) return "fixture " .. f.name end

local by_name = {}

-- ---- what VMs somebody asks for ----

function M.vm_table(value)
  if type(value) ~= "table" then return nil, "is to be a table of options" end
  return value
end

function M.vm_tables(value)
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

function M.reference(value)
  if type(value) == "string" or getmetatable(value) == Fixture then return value end
  return nil, "is to be a fixture, or its name"
end

local function merged(image, opts)
  local all = { image = image }
  for key, value in pairs(opts) do all[key] = value end
  return all
end

-- {{key = "web" or nil, opts = checked}, …} by key: of `vms`, or of the one VM `opts`.
function M.needs(op, image, vms, opts)
  if not vms then return { { opts = config.check(op, merged(image, opts)) } } end
  local list = {}
  for key, of_it in pairs(vms) do
    list[#list + 1] = { key = key, opts = config.check(op .. ": vms." .. key, merged(image, of_it)) }
  end
  table.sort(list, function(a, b) return a.key < b.key end)
  return list
end

-- What suites get of {vm, …}: the VM, or a table of them.
function M.hand(needs, vms)
  if #needs == 1 and not needs[1].key then return vms[1], nil end
  local named = {}
  for i, need in ipairs(needs) do named[need.key] = vms[i] end
  return nil, named
end

-- ---- making them ----

local spec = { from = M.reference, vms = M.vm_tables, snapshot = "boolean", timeout = "duration" }
local not_its_own = { image = true, start = true, snapshot = true }
for key, kind in pairs(config.spec) do
  if not not_its_own[key] then spec[key] = kind end
end

-- The options of its VM, as they were given: they are checked together with the image.
local function vm_options(opts)
  local of_it, any = {}, false
  for key, value in pairs(opts) do
    if config.spec[key] and not not_its_own[key] then of_it[key], any = value, true end
  end
  return of_it, any
end

function M.new(name, opts, fn)
  local op = "vmtest.fixture"
  if type(name) ~= "string" or name == "" or #name > 100 then
    options.invalid(op, "a fixture's name is to be a text of 1 to 100 bytes")
  end
  local o = options.check(op, spec, opts)
  options.value(op, "callable", fn, "its third argument")
  if o.timeout == 0 then options.invalid(op, "option 'timeout' is to be more than 0") end
  for key, of_one in pairs(o.vms or {}) do options.check(op .. ": vms." .. key, config.spec, of_one) end
  if by_name[name] then options.invalid(op, "there is a fixture '" .. name .. "' already") end
  local of_it, any = vm_options(opts or {})
  if o.vms and any then
    options.invalid(op, "either options of one VM or 'vms' (several), not both")
  end
  by_name[name] = setmetatable({
    name = name, from = o.from, vms = o.vms, vm = of_it, has_vm_options = any,
    keep = o.snapshot ~= false, timeout = o.timeout or raw.job.test_timeout, fn = fn,
  }, Fixture)
  return by_name[name]
end

-- ---- their layers ----

local function find(reference)
  if type(reference) == "table" then return reference end
  return by_name[reference]
end

-- What its function came to: nil, or the result of a failure, which is that of every later use; its
-- VMs are of no use then.
local function run(self, vms, to)
  local one, several = M.hand(self.layer.needs, vms)
  raw.deadline(self.timeout, "fixture")
  local before = raw.scope(FIXTURE)
  local how, err, trace = raw.guard(self.timeout, false, self.fn, one or several)
  raw.scope(before)
  raw.end_scope(FIXTURE, false)
  if how == nil then return nil end
  local result = outcome.of(how, err, trace)
  if result.outcome == "passed" then return nil end
  if how == "exit" then result.exited = true end
  result.why = "fixture '" .. self.name .. "'"
  if result.outcome ~= "not_run" then
    result.brief = result.why .. " failed, as shown for " .. to.name .. ": "
      .. (result.message or result.reason or ""):match("^[^\n]*"):sub(1, 200)
    self.failed = result
  end
  for _, v in ipairs(vms) do raw.vm_end(v, raw.job.keep_failed or raw.job.keep_always) end
  return result
end

local function parent_of(self)
  local base = self.from and find(self.from)
  if not base then
    return Layer.bottom(M.needs("fixture '" .. self.name .. "'", self.from, self.vms, self.vm), self.name)
  end
  if self.vms or self.has_vm_options then
    options.invalid("vmtest.fixture", "fixture '" .. self.name .. "' is made from the fixture '"
      .. base.name .. "', whose VMs it has: it cannot have options of VMs besides")
  end
  return M.layer(base)
end

-- The layer of a fixture, made when it is first asked for: then all fixtures are known.
function M.layer(reference)
  local self = find(reference)
  if not self then
    local near = options.nearest(reference, by_name)
    options.invalid("vmtest.class", "there is no fixture '" .. reference .. "'"
      .. (near and "; did you mean '" .. near .. "'?" or ""))
  end
  if self.layer then return self.layer end
  if self.resolving then
    options.invalid("vmtest.fixture", "fixture '" .. self.name .. "' is made from itself")
  end
  self.resolving = true
  local ok, parent = pcall(parent_of, self)
  self.resolving = false
  if not ok then error(parent, 0) end
  self.layer = Layer.new {
    parent = parent, keep = self.keep, label = self.name, title = "the fixture '" .. self.name .. "'",
    build = function(vms, to) return run(self, vms, to) end,
    broken = function() return self.failed end,
  }
  return self.layer
end

return M
