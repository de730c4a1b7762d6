-- Where clean VMs come from. A layer is a state of one VM, or of a group, that can be had again and
-- again: VMs that have just booted; those with what a fixture did to them, or what a setupClass did.
-- It is made once, saved by a snapshot where it will be wanted again, and restored from then on.
-- Where there can be no snapshots, what made it is done again.
--
-- Everything here runs in the runner, outside any test, and each step in a guard of its own.
local raw = ...
local config = require "vmtest.config"
local enrollments = require "vmtest.enrollments"
local outcome = require "vmtest.outcome"
local vm = require "vmtest.vm"

local Layer = {}
Layer.__index = Layer

local BOOT_MAX = 1800 -- seconds; the engine knows the real deadlines, and keeps them

local snapshots = 0 -- made in this job, for their names
local bottoms = {}  -- layers of VMs that have just booted, by what they are made of

-- ---- making layers ----

-- {parent =, needs = of the bottom one, label = for names, title = for messages,
--  keep = false: no snapshot,
--  build = function(vms, to): nil, or the result of a failure,
--  broken = function(): the failure that every later use is to have, or nil}
function Layer.new(o)
  o.needs = o.needs or o.parent.needs
  o.demand, o.given = 0, 0
  o.label = o.label:lower():gsub("[^%w._-]", "-"):gsub("^[^%w]+", ""):sub(1, 40)
  if o.label == "" then o.label = "state" end
  return setmetatable(o, Layer)
end

local function can_meet(need) -- others on a network that its copies would be on too
  for _, nic in ipairs(need.opts.nics or {}) do
    if nic.kind ~= "nat" then return true end
  end
end

-- The layer of VMs that have just booted. Classes whose VMs are made of the same share it.
function Layer.bottom(needs, owner)
  local parts = {}
  for i, need in ipairs(needs) do
    parts[i] = (need.key or "") .. config.key(need.opts) .. tostring(need.opts.start)
      .. (can_meet(need) and owner or "")
  end
  local key = table.concat(parts, "\n")
  bottoms[key] = bottoms[key] or Layer.new {
    needs = needs, label = "booted", title = "a VM that has just booted",
  }
  return bottoms[key]
end

-- Says that VMs of the layer will be asked for n times more.
function Layer:expect(n)
  local first = self.demand == 0
  self.demand = self.demand + n
  if self.parent then self.parent:expect(self.keep == false and n or first and 1 or 0) end
end

-- ---- VMs side by side ----

local function step(what, seconds, scope, fn, ...)
  raw.deadline(seconds + raw.job.wait, what)
  local before = raw.scope(scope)
  local how, value, trace = raw.guard(0, false, fn, ...)
  raw.scope(before)
  if how then return nil, outcome.of(how, value, trace) end
  return value
end

-- fn(i) for each of n VMs: the list of results.
local function each(n, fn)
  if n == 1 then return { fn(1) } end
  local calls = {}
  for i = 1, n do calls[i] = function() return fn(i) end end
  return { raw.parallel(table.unpack(calls)) }
end

local function longest(needs)
  local seconds = 0
  for _, need in ipairs(needs) do seconds = math.max(seconds, need.opts.boot_timeout or BOOT_MAX) end
  return seconds
end

local function name_of(need, to)
  return need.opts.name or (need.key and to.name .. "-" .. need.key or to.name)
end

local function end_all(vms)
  for _, v in ipairs(vms or {}) do raw.vm_end(v, raw.job.keep_always) end
end

function Layer:boot(to)
  end_all(to.vms)
  return step("boot", longest(self.needs), to.scope, each, #self.needs, function(i)
    return vm.make(self.needs[i].opts, name_of(self.needs[i], to))
  end)
end

-- Puts the VMs there are back, and makes those anew that are gone.
function Layer:restore(to)
  return step("restore", longest(self.needs), to.scope, each, #self.needs, function(i)
    local need, old = self.needs[i], to.vms and to.vms[i]
    if old and not raw.vm_alive(old) then old = nil end
    return vm.make_from(need.opts, self.dirs[i], old, name_of(need, to))
  end)
end

-- ---- snapshots ----

function Layer:wanted_again()
  return self.keep ~= false and not self.unsaved and self.demand > self.given
end

local function why_unsupported(vms)
  for _, v in ipairs(vms) do
    local can, why = raw.vm_supports(v, "snapshot")
    if not can then return why end
  end
end

local function save_all(label, vms)
  local base = raw.snapshots_dir()
  return each(#vms, function(i)
    snapshots = snapshots + 1
    return enrollments.snapshot(vms[i], label .. "-" .. snapshots, base, 0, true)
  end)
end

-- From now on the layer is made anew each time.
function Layer:give_up(why)
  self.unsaved, self.dirs = true, nil
  raw.log("warning", "no snapshot of " .. self.title .. ": " .. why
    .. ". It is made anew each time that it is wanted clean")
end

-- A snapshot that fails is no failure of the tests: their VMs are made anew then.
function Layer:save(vms, to)
  if self.parent and self.parent.unsaved then
    self.unsaved = true
    return
  end
  local why = why_unsupported(vms)
  if why then return self:give_up(why) end
  local dirs, failed = step("snapshot", longest(self.needs), to.scope, save_all, self.label, vms)
  if dirs then
    self.dirs = dirs
  elseif failed.outcome ~= "not_run" then
    self:give_up(failed.message or failed.reason or "it failed")
  end
end

-- ---- VMs of a layer ----

local function make(self, to)
  if not self.parent then return self:boot(to) end
  local vms, failed = self.parent:give(to)
  if failed then return nil, failed end
  failed = self.build(vms, to)
  if failed then return nil, failed end
  return vms
end

-- VMs in the layer's state: the list, or nil and the result of a failure. `to`: {scope =, name = the
-- class's, vms = those that are to be put into that state, or nil}.
function Layer:give(to)
  local broken = self.broken and self.broken()
  if broken then return nil, broken end
  self.given = self.given + 1
  if self.dirs then
    local vms, failed = self:restore(to)
    if vms or failed.outcome == "not_run" then return vms, failed end
    self:give_up(failed.message or "it could not be restored")
  end
  local vms, failed = make(self, to)
  if not vms then return nil, failed end
  if self:wanted_again() then self:save(vms, to) end
  return vms
end

return Layer
