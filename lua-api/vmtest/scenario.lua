-- What profile tests do again and again: every order of some steps, and an upgrade in between.
local raw = ...
local options = require "vmtest.options"
local outcome = require "vmtest.outcome"
local vm = require "vmtest.vm"

local M = {}

local ORDERS_MAX = 720 -- of six things; more of them take a limit

-- ---- orders ----

local function count_orders(n)
  local count = 1
  for i = 2, n do count = count * i end
  return count
end

-- The order of this number, from 0: {1, 2, 3}, {1, 3, 2}, …
local function order_of(number, n)
  local left, order = {}, {}
  for i = 1, n do left[i] = i end
  for i = n, 1, -1 do
    local block = count_orders(i - 1)
    order[#order + 1] = table.remove(left, number // block + 1)
    number = number % block
  end
  return order
end

function M.permutations(list, opts)
  local op = "vmtest.permutations"
  local o = options.check(op, { limit = "count" }, opts)
  if type(list) ~= "table" or #list == 0 then
    options.invalid(op, "it needs a list of what is to be ordered")
  elseif #list > 20 then
    options.invalid(op, "a list of " .. #list .. " has more orders than can be counted: at most 20")
  end
  local all = count_orders(#list)
  local wanted = math.min(all, o.limit or ORDERS_MAX)
  if all > wanted and not o.limit then
    options.invalid(op, "a list of " .. #list .. " has " .. all .. " orders",
      "say how many are enough: { limit = 50 } takes that many, spread over all of them")
  end
  local orders = {}
  for i = 1, wanted do
    local number = wanted == 1 and 0 or (i - 1) * (all - 1) // (wanted - 1)
    local order = {}
    for place, at in ipairs(order_of(number, #list)) do order[place] = list[at] end
    orders[i] = order
  end
  return orders
end

-- ---- upgrades ----

local function table_of_vm(value)
  if type(value) == "string" then return { image = value } end
  if type(value) ~= "table" then return nil, "is to be an image, or a table of VM options" end
  return value
end

local spec = {
  from = table_of_vm, to = table_of_vm, upgrade = "callable", install = "callable", check = "callable",
  enroll = function(value)
    if type(value) == "table" or value == false then return { value } end
    return nil, "is to be a table of options for vm:enroll, or false"
  end,
}

local function check(opts)
  local op = "vmtest.upgrade_scenario"
  local o = options.check(op, spec, opts)
  for _, key in ipairs { "from", "install", "check" } do
    if not o[key] then options.invalid(op, "it needs '" .. key .. "'") end
  end
  if (o.to and 1 or 0) + (o.upgrade and 1 or 0) ~= 1 then
    options.invalid(op, "it needs either 'upgrade', a function that upgrades the guest, or 'to', the VM "
      .. "of the next version")
  end
  vm.check(op .. ": from", o.from)
  if o.to then vm.check(op .. ": to", o.to) end
  return o
end

-- A phase's outcome is kept: what an upgrade changes is seen only beside what was there before.
local function phase(report, name, fn, ...)
  local ok, err = pcall(fn, ...)
  local result = ok and { outcome = "passed" } or outcome.of("raised", err)
  local stopped = raw.is_error(err) and (err.code == "canceled" or err.op == "test")
  if not ok and (stopped or not outcome.is_failure(result.outcome)) then error(err, 0) end
  report[#report + 1] = { name = name, ok = ok, message = result.message, error = err }
end

local function begin(o, of_vm)
  local machine = vm.new(of_vm)
  local enroll = o.enroll and o.enroll[1]
  if enroll == false then return machine, nil end
  return machine, machine:enroll(enroll)
end

local function tell(report)
  local lines, failed = {}, false
  for i, p in ipairs(report) do
    lines[i] = "  " .. p.name .. ": " .. (p.ok and "holds" or p.message:gsub("\n", "\n    "))
    failed = failed or not p.ok
  end
  return failed, table.concat(lines, "\n")
end

-- Installs on version N, checks, upgrades, checks, installs again, checks again: {vm, device, before,
-- after, reinstalled}. Settings apply when a profile is installed, so the last two may differ.
function M.upgrade(opts)
  local o = check(opts)
  local report = {}
  local machine, device = begin(o, o.from)
  o.install(machine, device)
  phase(report, "installed before the upgrade", o.check, machine, device, "before")
  if o.upgrade then
    o.upgrade(machine, device)
    phase(report, "after the upgrade", o.check, machine, device, "after")
  else
    machine:destroy()
    machine, device = begin(o, o.to)
  end
  o.install(machine, device)
  phase(report, o.upgrade and "installed again" or "installed on the next version", o.check, machine,
    device, "reinstalled")
  local failed, text = tell(report)
  if failed then
    raw.raise("failed", "vmtest.upgrade_scenario", "what was checked does not hold everywhere:\n" .. text,
      nil, { assertion = true, vm = machine.name, phases = report })
  end
  return { vm = machine, device = device, phases = report }
end

return M
