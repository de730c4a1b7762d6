-- The VMs of a class: when they are put back, by its `reset`.
local raw = ...
local fixture = require "vmtest.fixture"
local Layer = require "vmtest.layers"
local outcome = require "vmtest.outcome"

local SUITE, CLASS = 1, 2 -- scopes of VMs

local job = raw.job

local Hold = {}
Hold.__index = Hold

local shared = {} -- VMs of "file" and "never": "mode, layer and names" -> {vms}

-- ---- before the run ----

local function shared_key(mode, layer)
  local parts = { mode, tostring(layer) }
  for _, need in ipairs(layer.needs) do parts[#parts + 1] = need.opts.name or "" end
  return table.concat(parts, "\n")
end

local function is_shared(mode) return mode == "file" or mode == "never" end

local function source_of(class, of)
  if of.fixture then return fixture.layer(of.fixture) end
  return Layer.bottom(of.vms, class)
end

-- Whether tests of the class have VMs of it.
function Hold.has_vms(test)
  local of = test.class_marks
  return of and (of.fixture or #of.vms > 0) and true or false
end

-- For a class of which `tests` tests will run, each `times` times: what its tests get their VMs from.
-- setup(vms) runs its setupClass, nil where it has none.
function Hold.new(test, tests, times, setup)
  local of = test.class_marks
  local self = setmetatable({ class = test.class, instance = test.instance, mode = of.reset, setup = setup }, Hold)
  local ok, source = pcall(source_of, test.class, of)
  if not ok then
    self.failure = outcome.of("raised", source, nil)
    return self
  end
  self.needs = source.needs
  self.layer = source
  if setup then
    self.layer = Layer.new { parent = source, build = function(vms) return self:set_up(vms) end,
      label = test.class, title = test.class .. " after its setupClass" }
  end
  local clean = self.mode == "test" and tests * times or 1
  if is_shared(self.mode) then
    self.key = shared_key(self.mode, source)
    clean = shared[self.key] and 0 or 1
    shared[self.key] = shared[self.key] or {}
  end
  if clean > 0 then self.layer:expect(clean) end
  return self
end

-- ---- handing over ----

function Hold:hand(vms)
  local one, several = fixture.hand(self.needs, vms)
  self.vms = vms
  if one then self.instance.vm = one else self.instance.vms = several end
end

function Hold:take()
  self.vms = nil
  rawset(self.instance, "vm", nil)
  rawset(self.instance, "vms", nil)
end

function Hold:set_up(vms)
  self:hand(vms)
  return self.setup()
end

local function leave_running(failed) return job.keep_always or (job.keep_failed and failed) end

local function all(vms, holds)
  for _, v in ipairs(vms) do
    if not holds(v) then return false end
  end
  return true
end

function Hold:all_fit()
  if self.mode == "never" then return all(self.vms, raw.vm_alive) end
  for i, v in ipairs(self.vms) do
    if not raw.vm_alive(v) then return false end
    if self.needs[i].opts.start ~= false and raw.vm_state(v) ~= "running" then return false end
  end
  return true
end

-- Puts the VMs into the class's state: nil, or the result of a failure.
function Hold:clean()
  local to = { scope = is_shared(self.mode) and SUITE or CLASS, name = self.class, vms = self.vms }
  if self.setup and not self.layer.dirs then -- setupClass runs again: what it made by hand goes
    raw.end_scope(CLASS, leave_running(self.failed))
  end
  local vms, failed = self.layer:give(to)
  if failed then return failed end
  self:hand(vms)
  if self.key then shared[self.key].vms = vms end
end

-- Where the class begins, with its setupClass.
function Hold:begin()
  if self.failure then return self.failure end
  local there = self.key and shared[self.key].vms
  self.fresh = true
  if there then
    self.vms = there
    if self:all_fit() then
      self:hand(there)
      return self.setup and self.setup()
    end
  end
  return self:clean()
end

-- What a test is to find: nil, or the result of a failure.
function Hold:before_test()
  if self.fresh then
    self.fresh = false
    return nil
  end
  if self.mode == "test" then return self:clean() end
  if self:all_fit() or self.mode == "never" then return nil end
  raw.log("info", "a VM of " .. self.class .. " no longer ran; it is put back")
  return self:clean()
end

function Hold:after_test(failed)
  self.failed = self.failed or failed
  if self.mode ~= "test" or not failed or not job.keep_failed then return end
  for _, v in ipairs(self.vms or {}) do raw.vm_end(v, true) end
end

-- Where the class has ended: those that are its own end with their scope.
function Hold:leave_at_end(failed) return leave_running(self.mode ~= "test" and failed) end

return Hold
