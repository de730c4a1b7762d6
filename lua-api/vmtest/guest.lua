-- What a guest is to an MDM server, and how it is told things: a Mac, or a Linux guest with the
-- stand-in device in it. Where both are asked alike (`profiles`, the managed layer), so they are.
local raw = ...
local options = require "vmtest.options"

local M = {}

local SHOWN = 1500    -- bytes of a command's words in a message
local LIMIT = 8 << 20 -- bytes of its output

local STANDIN_SELF = "/var/lib/vmtest-device/self.plist" -- who it is

M.MANAGED = "/Library/Managed Preferences"

local Guest = {}
Guest.__index = Guest

local of = setmetatable({}, { __mode = "k" }) -- VM -> its guest

-- ---- what it is ----

local function run(vm, words, timeout)
  return raw.vm_exec(vm, nil, words, { timeout = timeout, limit = LIMIT })
end

local function first_line(text) return text:match("^%s*([^\r\n]*)") end

local function detect(vm, timeout)
  local mac = run(vm, { "sw_vers", "-productVersion" }, timeout)
  if mac.status == 0 then
    local version = first_line(mac.stdout)
    return { kind = "macos", version = version, major = math.tointeger(tonumber(version:match("^%d+"))) }
  end
  if run(vm, { "sh", "-c", "command -v vmtest-device" }, timeout).status == 0 then
    return { kind = "stand-in" }
  end
end

-- The guest of a VM that is a device; raises `unsupported` where it is none.
function M.of(op, vm)
  if of[vm] then return of[vm] end
  local timeout = 30 * raw.vm_scale(vm)
  local found = detect(vm, timeout)
  if not found then
    raw.raise("unsupported", op, "the guest is no device that an MDM server can manage: it is no macOS "
      .. "(there is no sw_vers), and has no stand-in device (there is no vmtest-device)",
      "take a macOS image, or one that was built with the stand-in device (docs/mdm.md)",
      { vm = raw.vm_name(vm) })
  end
  found.vm, found.timeout = vm, timeout
  local user = run(vm, { "id", "-u" }, timeout)
  found.root = user.status == 0 and first_line(user.stdout) == "0"
  of[vm] = setmetatable(found, Guest)
  return of[vm]
end

function Guest:is_mac() return self.kind == "macos" end

function Guest:describe()
  return self:is_mac() and "macOS " .. self.version or "the stand-in device"
end

-- ---- telling it things ----

local function said(r)
  local text = r.stderr ~= "" and r.stderr or r.stdout
  if #text > SHOWN then text = "… " .. text:sub(-SHOWN) end
  return (text:gsub("[^\n\t\32-\126\128-\255]", "?"):gsub("%s+$", ""))
end

M.said = said

-- As the guest's administrator: words, or a status other than 0 as an error of code "mdm".
function Guest:admin(op, words, timeout)
  if not self.root then words = table.move(words, 1, #words, 3, { "sudo", "-n" }) end
  local r = run(self.vm, words, timeout or self.timeout)
  if r.status == 0 then return r.stdout end
  local shown = said(r)
  raw.raise("mdm", op, "`" .. table.concat(words, " ") .. "` in the guest "
    .. (r.signal and "was ended by signal " .. r.signal or "gave status " .. tostring(r.status))
    .. (shown ~= "" and ":\n" .. shown or ", without a word"), nil,
    { vm = raw.vm_name(self.vm), stdout = r.stdout, stderr = r.stderr, exit_status = r.status })
end

-- The property list that a command writes.
function Guest:plist(op, words)
  return raw.plist_parse(self:admin(op, words))
end

-- A file that only its owner may read, gone when fn(path) has ended.
function Guest:with_file(op, name, contents, fn)
  local folder = first_line(self:admin(op, { "mktemp", "-d", "/tmp/vmtest.XXXXXXXX" }))
  if not folder:find("^/") then raw.raise("guest", op, "mktemp gave no folder") end
  local path = folder .. "/" .. name
  local ok, err = pcall(function()
    raw.vm_transfer(self.vm, { remote = path, data = contents, mode = 384, -- 0600
      timeout = self.timeout })
    return fn(path)
  end)
  local removed, why = pcall(self.admin, self, op, { "rm", "-rf", folder })
  if not ok then error(err, 0) end
  if not removed then error(why, 0) end
  return err
end

-- ---- the stand-in's own ----

local answers = { ["not-now"] = true, error = true, normal = true }

function Guest:answer(op, how, request)
  if self.kind ~= "stand-in" then
    raw.raise("unsupported", op, "only the stand-in device answers as it is told; this is " .. self:describe())
  end
  if not answers[how] then
    options.invalid(op, 'the answer is to be "not-now", "error" or "normal"')
  end
  local words = { "vmtest-device", "answer", how }
  if request then words[4] = options.value(op, "string", request, "the RequestType") end
  self:admin(op, words)
end

-- Lets the stand-in ask its server for commands, as a push would.
function Guest:poll(op, timeout) self:admin(op, { "vmtest-device", "poll" }, timeout) end

-- ---- a Mac's own ----

-- Shows a profile to who is logged in at the screen: System Settings has it then.
function Guest:open_as_user(op, path)
  local user = first_line(self:admin(op, { "stat", "-f", "%u", "/dev/console" }))
  if user == "0" then
    raw.raise("state", op, "nobody is logged in at the Mac's screen, so that nobody can approve the enrollment",
      "log in there, or let a user be logged in automatically", { vm = raw.vm_name(self.vm) })
  end
  self:admin(op, { "chown", "-R", user, path:match("^(.*)/") })
  self:admin(op, { "launchctl", "asuser", user, "sudo", "-u", "#" .. user, "open", path })
end

-- ---- what both show ----

-- {enrolled =, user_approved =, server = URL or nil, text =}: in the guest's own words.
function Guest:enrollment(op)
  local text = self:admin(op, { "profiles", "status", "-type", "enrollment" })
  local word = text:match("MDM enrollment:%s*([^\r\n]*)") or ""
  return {
    enrolled = word:find("^Yes") ~= nil, user_approved = word:find("User Approved", 1, true) ~= nil,
    server = text:match("MDM server:%s*(%S+)"), text = text,
  }
end

-- {{identifier =, uuid =, name =, verified =, user = or nil, payloads = {{type =, identifier =, uuid =}}}, …}
function Guest:profiles(op)
  local list = {}
  for level, profiles in pairs(self:plist(op, { "profiles", "show", "-output", "stdout-xml" })) do
    for _, p in ipairs(type(profiles) == "table" and profiles or {}) do
      local one = { identifier = p.ProfileIdentifier, uuid = p.ProfileUUID, name = p.ProfileDisplayName,
        verified = p.ProfileVerificationState, user = level ~= "_computerlevel" and level or nil,
        payloads = {} }
      for i, item in ipairs(p.ProfileItems or {}) do
        one.payloads[i] = { type = item.PayloadType, identifier = item.PayloadIdentifier, uuid = item.PayloadUUID }
      end
      list[#list + 1] = one
    end
  end
  table.sort(list, function(a, b) return tostring(a.identifier) < tostring(b.identifier) end)
  return list
end

-- The serial number, as the device tells it to its server.
function Guest:serial(op)
  if self:is_mac() then
    local text = self:admin(op, { "ioreg", "-rd1", "-c", "IOPlatformExpertDevice" })
    return text:match('"IOPlatformSerialNumber" = "([^"]*)"')
  end
  return self:plist(op, { "cat", STANDIN_SELF }).SerialNumber
end

-- Removes the profile by which it is enrolled, as its owner could.
function Guest:leave(op)
  if not self:is_mac() then
    self:admin(op, { "vmtest-device", "unenroll" })
    return
  end
  for _, profile in ipairs(self:profiles(op)) do
    for _, payload in ipairs(profile.payloads) do
      if payload.type == "com.apple.mdm" then
        self:admin(op, { "profiles", "remove", "-identifier", profile.identifier })
      end
    end
  end
end

-- What the stand-in says of each payload.
local function standin_effects(self, op)
  local told, why = raw.json_parse(self:admin(op, { "vmtest-device", "effects", "--json" }))
  if not told then
    raw.raise("guest", op, "`vmtest-device effects --json` gave no JSON: " .. why, nil, { vm = raw.vm_name(self.vm) })
  end
  local identifiers, list = {}, {}
  for _, profile in ipairs(self:profiles(op)) do
    for _, payload in ipairs(profile.payloads) do identifiers[payload.uuid or ""] = payload.identifier end
  end
  for i, e in ipairs(told) do
    list[i] = { type = e.PayloadType, identifier = identifiers[e.PayloadUUID], profile = e.ProfileIdentifier,
      enforced = e.State == "enforced", reason = tostring(e.State) .. ": " .. tostring(e.Reason) }
  end
  return list
end

-- {{type =, identifier =, profile =, enforced =, reason =}, …}: each payload that is installed.
function Guest:effects(op)
  if not self:is_mac() then return standin_effects(self, op) end
  local list = {}
  for _, profile in ipairs(self:profiles(op)) do
    for _, payload in ipairs(profile.payloads) do
      list[#list + 1] = { type = payload.type, identifier = payload.identifier, profile = profile.identifier,
        enforced = profile.verified == "verified",
        reason = "the profile " .. tostring(profile.identifier) .. " is "
          .. tostring(profile.verified or "not verified") }
    end
  end
  return list
end

return M
