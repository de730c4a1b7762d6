-- The options of a VM: checked here by name and type, and written as the JSON that the engine reads
-- (vt_vm_config_from_json). What they mean together the engine checks.
local raw = ...
local json = require "vmtest.json"
local options = require "vmtest.options"

local M = {}

local LIST_MAX = 32

-- A path as the suite means it: relative to the suite's folder.
local function path_of(value)
  if type(value) ~= "string" or value == "" or value:find("\0", 1, true) then
    return nil, "is to be a path"
  end
  if value:sub(1, 1) == "/" then return value end
  local folder = raw.job.suite:match("^(.*)/[^/]*$") or "."
  return folder .. "/" .. (value:gsub("^%./", ""))
end
M.path = path_of

local function text(value)
  if type(value) == "string" and value ~= "" and not value:find("\0", 1, true) then return value end
  return nil, "is to be text that is not empty"
end

-- One of the names.
function M.choice(...)
  local names, list = {}, { ... }
  for _, name in ipairs(list) do names[name] = true end
  return function(value)
    if names[value] then return value end
    local near = type(value) == "string" and options.nearest(value, names)
    return nil, 'is to be one of "' .. table.concat(list, '", "') .. '"'
      .. (near and "; did you mean '" .. near .. "'?" or "")
  end
end

-- A list whose members `member(value, where)` checks.
local function list_of(what, member)
  return function(value)
    if type(value) ~= "table" or (next(value) ~= nil and value[1] == nil) then
      return nil, "is to be a list of " .. what
    end
    local list, count = {}, 0
    for _ in pairs(value) do count = count + 1 end
    if count ~= #value then return nil, "is to be a list of " .. what end
    if count > LIST_MAX then return nil, "has more than " .. LIST_MAX .. " members" end
    for i, item in ipairs(value) do
      local checked, why = member(item, i)
      if not checked then return nil, why end
      list[i] = checked
    end
    return json.list(list)
  end
end

local function objects(name, what, spec, needed)
  return list_of(what, function(item, i)
    if type(item) ~= "table" then return nil, "is to be a list of " .. what end
    local checked = options.check(name .. "[" .. i .. "]", spec, item)
    for _, key in ipairs(needed) do
      if checked[key] == nil then return nil, "needs a '" .. key .. "' for its member " .. i end
    end
    return checked
  end)
end

local check_forwards = list_of("{guest = port, host = port}", function(forward)
  if math.type(forward) == "integer" then forward = { guest = forward } end
  if type(forward) ~= "table" then return nil, "is to be a list of {guest = port, host = port}" end
  local f = options.check("forwards", { guest = "count", host = "count" }, forward)
  if not f.guest or f.guest > 65535 or (f.host or 0) > 65535 then
    return nil, "needs a guest port, and ports are from 1 to 65535"
  end
  return f
end)

local disk_spec = {
  name = text, bus = M.choice("virtio", "nvme", "usb"), size = "limit", path = path_of, url = text,
  format = M.choice("raw", "qcow2"), read_only = "boolean", direct = "boolean",
}
local check_disks = objects("disks", "disks: {name = …, size = …}", disk_spec, { "name" })

local attached_spec = {
  name = text, size = "limit", path = path_of, format = M.choice("raw", "qcow2"), read_only = "boolean",
  direct = "boolean",
}

-- One disk, as vm:attach_disk takes it.
function M.attached_disk(op, value)
  local disk = options.check(op, attached_spec, value)
  if not disk.name then options.invalid(op, "a disk needs a 'name'") end
  if not disk.size == not disk.path then options.invalid(op, "a disk needs either a 'size' or a 'path'") end
  return disk
end

local share_spec = { name = text, path = path_of, read_only = "boolean" }
local check_shares = objects("shares", "shares: {name = …, path = …}", share_spec, { "name", "path" })

-- One share, as vm:share takes it.
function M.share(op, value)
  local share = options.check(op, share_spec, value)
  for _, key in ipairs { "name", "path" } do
    if not share[key] then options.invalid(op, "a share needs a '" .. key .. "'") end
  end
  return share
end

local nic_spec = { kind = M.choice("nat", "isolated", "bridged"), network = text, mac = text }
local nic_list = list_of('"nat" or {kind = …, network = …, mac = …}', function(nic, i)
  if type(nic) == "string" then nic = { kind = nic } end
  if type(nic) ~= "table" then return nil, 'is to be a list of "nat" or {kind = …}' end
  local checked = options.check("nics[" .. i .. "]", nic_spec, nic)
  checked.kind = checked.kind or "nat"
  return checked
end)

local function check_nics(value)
  return nic_list(value == false and {} or value)
end

local function check_sim(value)
  if type(value) ~= "table" then return nil, "is to be a table" end
  local encoded, why = json.encode(value)
  return encoded and json.text(encoded), why
end

local ssh_spec = {
  host = text, port = "count", user = text, key = path_of, password_file = path_of, agent = "boolean",
  host_key = text, known_hosts = path_of, accept_new = "boolean", reboot = text,
}

local function check_ssh(value)
  if type(value) ~= "table" then return nil, "is to be a table" end
  local ssh = options.check("ssh", ssh_spec, value)
  if not ssh.host then return nil, "needs a 'host'" end
  if (ssh.port or 22) > 65535 then return nil, "has a port that is none" end
  return ssh
end

local tart_spec = {
  vm = text, user = text, key = path_of, password_file = path_of, host_key = text,
  resolver = M.choice("dhcp", "arp", "agent"), suspendable = "boolean", same_serial = "boolean",
}

local function check_tart(value)
  if type(value) ~= "table" then return nil, "is to be a table" end
  return options.check("tart", tart_spec, value)
end

local vz_screen_spec = { width = "count", height = "count", ppi = "count" }
local vz_vmnet_spec = { mode = M.choice("shared", "host"), subnet = text }

-- A table of this spec, or text that the engine reads.
local function table_or_text(name, spec)
  return function(value)
    if type(value) == "table" then return options.check(name, spec, value) end
    return text(value)
  end
end

local vz_spec = {
  rosetta = function(value)
    if type(value) == "boolean" then return value end
    return text(value)
  end,
  nested = "boolean", clipboard = "boolean", automount = "boolean", recovery = "boolean",
  screen = table_or_text("vz.screen", vz_screen_spec), vmnet = table_or_text("vz.vmnet", vz_vmnet_spec),
  disk_caching = M.choice("automatic", "cached", "uncached"), disk_sync = M.choice("full", "fsync", "none"),
}

local function check_vz(value)
  if type(value) ~= "table" then return nil, "is to be a table" end
  return options.check("vz", vz_spec, value)
end

local function check_name(value)
  if type(value) == "string" and #value <= 60 and value:find("^[%w][%w._-]*$") then return value end
  return nil, "is to be 1 to 60 letters, digits, '.', '_' or '-', the first a letter or a digit"
end

local spec = {
  image = "string", name = check_name, memory = "size", cpus = "count", driver = "string",
  accel = M.choice("auto", "kvm", "hvf", "tcg"), channel = M.choice("agent", "ssh", "qga"),
  forwards = check_forwards, disks = check_disks, nics = check_nics, shares = check_shares,
  screen = "boolean", vnc = "boolean", sim = check_sim, ssh = check_ssh, tart = check_tart,
  vz = check_vz,
  snapshot = text, start = "boolean", boot_timeout = "duration",
}
M.spec = spec

-- What goes with a snapshot, which says all the rest.
local beside_snapshot = { snapshot = true, name = true, boot_timeout = true }

local function check_snapshot(op, o)
  for key in pairs(o) do
    if not beside_snapshot[key] then
      options.invalid(op, "option '" .. key .. "' cannot be changed: the VM is what its snapshot was "
        .. "taken of")
    end
  end
  return o
end

-- The folder of a snapshot of this name: one of those that were kept, or any folder.
function M.snapshot_folder(name)
  if name:find("/", 1, true) then return path_of(name) end
  return raw.snapshot_store() .. "/" .. name
end

-- Whether no VM is real.
function M.simulated() return raw.job.dry_run end

local own_tables = { "ssh", "tart", "vz" } -- each for the driver of its name

-- Checked options: what the suite said, and the run's defaults where it did not.
function M.check(op, opts)
  local o = options.check(op, spec, opts)
  if o.snapshot and not raw.job.dry_run then return check_snapshot(op, o) end
  o.driver = o.driver or raw.job.driver
  if o.driver ~= "ssh" and o.driver ~= "sim" then o.channel = o.channel or raw.job.channel end
  for _, name in ipairs(own_tables) do
    if o[name] and o.driver ~= name then
      options.invalid(op, "option '" .. name .. "' is for driver = \"" .. name .. "\" alone")
    end
  end
  if o.driver == "ssh" then
    if not o.ssh then
      options.invalid(op, "the ssh driver needs to know its host", "say ssh = { host = \"…\" }")
    end
  elseif o.driver == "tart" then
    if not o.image and not (o.tart and o.tart.vm) then
      options.invalid(op, "the tart driver needs to know what to clone",
        "say image = \"NAME\", as `tart list` shows it, or tart = { vm = \"NAME\", … }")
    end
  elseif not o.image and o.driver ~= "sim" and not raw.job.dry_run then
    options.invalid(op, "a VM needs an image", "say image = \"NAME\", or driver = \"sim\"")
  end
  return o
end

-- Those that are not the engine's, or differ between VMs that are otherwise the same.
local own = { name = true, start = true, boot_timeout = true, snapshot = true }

local imageless = { sim = true, ssh = true, tart = true } -- drivers that take none of the store's images

local function engine_part(o)
  local config = {}
  for key, value in pairs(o) do
    if not own[key] then config[key] = value end
  end
  if raw.job.dry_run then
    config.driver, config.sim = "sim", json.text('{"dry_run":true}')
    for _, name in ipairs(own_tables) do config[name] = nil end
    -- nothing stands for these in a simulated guest
    for _, key in ipairs { "channel", "forwards", "disks", "nics", "shares", "screen", "vnc" } do
      config[key] = nil
    end
  end
  if config.driver == "tart" then -- an image is a VM of tart's there
    local tart = { vm = config.image }
    for key, value in pairs(o.tart or {}) do tart[key] = value end
    config.tart = tart
  end
  if imageless[config.driver] then config.image = nil end
  return config
end

-- The JSON text of a VM of these options.
function M.encode(o, name)
  local config = engine_part(o)
  config.name = name
  local encoded, why = json.encode(config)
  return encoded or options.invalid("vmtest.vm", "its options " .. why)
end

-- A text that is the same for VMs that are made of the same.
function M.key(o) return json.encode(engine_part(o)) .. (o.snapshot or "") end

return M
