-- Which enrollment a VM's guest holds, through snapshots, restores and clones. A guest that was put
-- back holds what it held then; its server does not know, and is told at the next use (device.lua).
local raw = ...

local M = {}

local held = setmetatable({}, { __mode = "k" }) -- VM -> {enrollment =, declared =, stale =}
local saved = {}                                -- folder of a snapshot -> the same, as it was then
local latest = setmetatable({}, { __mode = "k" }) -- server -> UDID -> its last enrollment

local function copy(list)
  local out = {}
  for key, value in pairs(list) do out[key] = value end
  return out
end

-- A new enrollment, which the VM's guest holds from now on: {server =, udid =, declared = {},
-- pending = {}, …}.
function M.begin(vm, enrollment)
  enrollment.declared, enrollment.pending = {}, {} -- identifier -> JSON; CommandUUID -> RequestType
  local of_server = latest[enrollment.server] or {}
  latest[enrollment.server] = of_server
  of_server[enrollment.udid] = enrollment
  held[vm] = { enrollment = enrollment }
end

-- The guest gave its enrollment up: it is over for good, also for a guest that is put back to it.
function M.ended(vm)
  local hold = held[vm]
  if hold then latest[hold.enrollment.server][hold.enrollment.udid] = nil end
  held[vm] = nil
end

-- What the guest holds: {enrollment =, stale = true after a restore, declared = what was declared
-- when its snapshot was taken}, or nil.
function M.of(vm) return held[vm] end

-- Whether the server takes this enrollment no more: the device gave it up, or has a later one.
function M.superseded(enrollment)
  return latest[enrollment.server][enrollment.udid] ~= enrollment
end

-- Another VM that is there and holds an enrollment of the same device, or nil.
function M.twin(vm, enrollment)
  for _, other in ipairs(raw.vms()) do
    local hold = held[other]
    if other ~= vm and hold and hold.enrollment.server == enrollment.server
        and hold.enrollment.udid == enrollment.udid then
      return other
    end
  end
end

-- The server is where the guest is again.
function M.settled(hold) hold.stale, hold.declared = nil, nil end

-- ---- snapshots: all that the face takes and goes back to come by here ----

function M.snapshot(vm, name, dir, timeout, transient)
  local folder = raw.vm_snapshot(vm, name, dir, timeout, transient)
  local hold = held[vm]
  saved[folder] = hold and {
    enrollment = hold.enrollment, declared = copy(hold.declared or hold.enrollment.declared),
  }
  return folder
end

function M.restore(vm, folder, timeout)
  raw.vm_restore(vm, folder, timeout)
  local then_held = saved[folder]
  held[vm] = then_held and {
    enrollment = then_held.enrollment, declared = copy(then_held.declared), stale = true,
  }
end

return M
