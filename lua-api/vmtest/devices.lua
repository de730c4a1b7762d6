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

function VM:unshare(name)
  raw.vm_unshare(self, check_name("vm.unshare", name, "share"))
  return self
end

function VM:mount_share(name, path)
  local op = "vm.mount_share"
  check_name(op, name, "share")
  if type(path) ~= "string" or path:sub(1, 1) ~= "/" or path:find("\0", 1, true) then
    options.invalid(op, "the place in the guest is to be an absolute path")
  end
  for _, share in ipairs(raw.vm_info(self).shares or {}) do
    if share.name == name then
      if not share.mount then
        raw.raise("unsupported", op, "the guest has no command that mounts the share '" .. name .. "'")
      end
      local words = table.move(share.mount, 1, #share.mount, 1, {})
      words[#words + 1] = path
      self:sh({ "mkdir", "-p", path })
      self:sh(words)
      return self
    end
  end
  raw.raise("not_found", op, "the VM has no share '" .. name .. "'", "give it one: vm:share { … }, "
    .. "or shares = { … } in its options", { vm = raw.vm_name(self) })
end

function VM:resize_disk(name, size)
  local op = "vm.resize_disk"
  check_name(op, name, "disk")
  raw.vm_resize_disk(self, name, options.value(op, "limit", size, "the size"))
  return self
end

return VM
