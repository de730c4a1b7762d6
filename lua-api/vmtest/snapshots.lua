-- Snapshots of a VM, as its methods.
local raw = ...
local config = require "vmtest.config"
local enrollments = require "vmtest.enrollments"
local options = require "vmtest.options"

local VM = {}

local function check_name(op, name)
  if type(name) == "string" and #name <= 64 and name:find("^[%w][%w._-]*$") then return name end
  options.invalid(op, "a snapshot's name is to be 1 to 64 letters, digits, '.', '_' or '-', the first "
    .. "a letter or a digit")
end

local function find(list, name)
  for _, snapshot in ipairs(list) do
    if snapshot.name == name then return snapshot.dir end
  end
end

-- The folder of a snapshot: one of the VM's own, or else one that was kept.
local function folder_of(op, vm, name)
  if type(name) ~= "string" or name == "" then
    options.invalid(op, "it needs a snapshot: its name, or its folder")
  end
  if name:find("/", 1, true) then return config.snapshot_folder(name) end
  check_name(op, name)
  return find(raw.vm_snapshots(vm), name) or config.snapshot_folder(name)
end

function VM:snapshot(name, opts)
  local op = "vm.snapshot"
  local o = options.check(op, { keep = "boolean", timeout = "duration" }, opts)
  check_name(op, name)
  return enrollments.snapshot(self, name, o.keep and raw.snapshot_store() or nil, o.timeout or 0, false)
end

function VM:restore(name, opts)
  local op = "vm.restore"
  local o = options.check(op, { timeout = "duration" }, opts)
  enrollments.restore(self, folder_of(op, self, name), o.timeout or 0)
  return self
end

function VM:snapshots(opts)
  local o = options.check("vm.snapshots", { kept = "boolean" }, opts)
  return raw.vm_snapshots(self, o.kept and raw.snapshot_store() or nil)
end

function VM:remove_snapshot(name)
  local op = "vm.remove_snapshot"
  raw.vm_remove_snapshot(self, folder_of(op, self, name), name)
  return self
end

return VM
