-- The screen, the keyboard, the console, shares and disks of a VM, as its methods.
local raw = ...
local config = require "vmtest.config"
local console = require "vmtest.console"
local options = require "vmtest.options"

local VM = {}

local shots = 0

-- ---- screen and keys ----

function VM:screenshot(path)
  local op = "vm.screenshot"
  if path == nil then
    shots = shots + 1
    path = string.format("%s/%s/screenshot-%d.png", raw.job.results, raw.vm_name(self), shots)
  else
    path = options.value(op, config.path, path, "the file")
  end
  raw.vm_screenshot(self, path)
  return path
end

function VM:send_keys(...)
  local op, chords = "vm.send_keys", { ... }
  if #chords == 0 then options.invalid(op, 'it needs keys: "ctrl-alt-f1", "ret", …') end
  for i = 1, select("#", ...) do
    if type(chords[i]) ~= "string" or chords[i] == "" then
      options.invalid(op, "key " .. i .. ' is to be text such as "ctrl-alt-f1" or "ret"')
    end
  end
  raw.vm_send_keys(self, chords, table.concat(chords, " "))
  return self
end

function VM:type(text)
  raw.vm_type(self, options.value("vm.type", "string", text, "what is typed"))
  return self
end

-- ---- console ----

function VM:console() return console.of(self) end

function VM:console_tail(n)
  if n ~= nil then n = options.value("vm.console_tail", "count", n, "the number of bytes") end
  return raw.vm_console_tail(self, n or 4096)
end

-- ---- shares and disks ----

local function check_name(op, name, what)
  if type(name) ~= "string" or name == "" then options.invalid(op, "it needs the name of a " .. what) end
  return name
end

function VM:share(opts)
  local share = config.share("vm.share", opts)
  raw.vm_share(self, share.name, share.path, share.read_only or false)
  return self
end

local function find_share(vm, name)
  for _, share in ipairs(raw.vm_info(vm).shares or {}) do
    if share.name == name then return share end
  end
end

local UNMOUNT = [[
cat /proc/mounts | while read -r what where kind rest; do
  case $what,$kind in
  "$1,9p" | "$1,virtiofs") umount "$(printf %b "$where")" || exit 1 ;;
  esac
done]]

function VM:unshare(name)
  local op = "vm.unshare"
  local share = find_share(self, check_name(op, name, "share"))
  if share and share.slot and self:state() == "running" then
    local r = self:exec { "sh", "-c", UNMOUNT, "sh", name }
    if r.status ~= 0 then
      raw.raise("busy", op, "the share '" .. name .. "' is in use in the guest: " .. r.stderr, nil,
        { vm = raw.vm_name(self) })
    end
  end
  raw.vm_unshare(self, name)
  return self
end

local HAS_FILE_SYSTEM = [[grep -qw "$1" /proc/filesystems || modprobe "$1"]]
local PLUG_TIMEOUT, PLUG_EVERY = 10, 0.1 -- seconds (scaled; as they are) for a guest to find a new device

local function need_file_system(vm, share)
  local kind = share.kind
  if vm:exec({ "sh", "-c", HAS_FILE_SYSTEM, "sh", kind }).status == 0 then return end
  raw.raise("unsupported", "vm.mount_share", "the guest's kernel has no " .. kind .. ", by which the share '"
    .. share.name .. "' comes", kind == "9p" and "virtiofs is taken where vmtest runs as root, virtiofsd is "
    .. "there, and the VM was booted, not restored; else use an image with a generic kernel" or nil,
    { vm = raw.vm_name(vm) })
end

local function mount(vm, share, words)
  local until_time = raw.now() + (share.slot and PLUG_TIMEOUT * raw.vm_scale(vm) or 0)
  local r = vm:exec(words)
  if r.status ~= 0 then need_file_system(vm, share) end
  while r.status ~= 0 and raw.now() < until_time do
    raw.sleep(PLUG_EVERY)
    r = vm:exec(words)
  end
  if r.status ~= 0 then
    raw.raise("failed", "vm.mount_share", "the share '" .. share.name .. "' cannot be mounted: " .. r.stderr,
      nil, { vm = raw.vm_name(vm), status = r.status, stdout = r.stdout, stderr = r.stderr })
  end
end

function VM:mount_share(name, path)
  local op = "vm.mount_share"
  check_name(op, name, "share")
  if type(path) ~= "string" or path:sub(1, 1) ~= "/" or path:find("\0", 1, true) then
    options.invalid(op, "the place in the guest is to be an absolute path")
  end
  local share = find_share(self, name)
  if not share then
    raw.raise("not_found", op, "the VM has no share '" .. name .. "'", "give it one: vm:share { … }, "
      .. "or shares = { … } in its options", { vm = raw.vm_name(self) })
  end
  if share.mounted_at then
    raw.raise("unsupported", op, "the guest mounts the share '" .. name .. "' by itself: " .. share.mounted_at,
      nil, { vm = raw.vm_name(self) })
  end
  if not share.mount then
    raw.raise("unsupported", op, "the guest has no command that mounts the share '" .. name .. "'")
  end
  local words = table.move(share.mount, 1, #share.mount, 1, {})
  words[#words + 1] = path
  self:sh({ "mkdir", "-p", path })
  mount(self, share, words)
  return self
end

function VM:resize_disk(name, size)
  local op = "vm.resize_disk"
  check_name(op, name, "disk")
  raw.vm_resize_disk(self, name, options.value(op, "limit", size, "the size"))
  return self
end

function VM:attach_disk(opts)
  local disk = config.attached_disk("vm.attach_disk", opts)
  raw.vm_attach_disk(self, disk.name, disk.size or 0, disk.path, disk.format, disk.read_only or false,
    disk.direct or false)
  return self
end

function VM:detach_disk(name)
  raw.vm_detach_disk(self, check_name("vm.detach_disk", name, "disk"))
  return self
end

return VM
