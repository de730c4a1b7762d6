-- What profiles have done, read in the guest: the managed layer, the profiles that are installed,
-- and what is enforced.
local raw = ...
local guests = require "vmtest.guest"
local options = require "vmtest.options"
local plist = require "vmtest.plist"

local VM = {}

local SHOWN = 10 -- differences, or names, in a message

-- What does not hold is a failed test, not a broken one.
local function failed(vm, op, message, fields)
  fields = fields or {}
  fields.vm, fields.assertion = raw.vm_name(vm), true
  raw.raise("failed", op, message, nil, fields)
end

local function check_name(op, value, what)
  if type(value) == "string" and value ~= "" and value ~= "." and value ~= ".." and not value:find("[/%z]") then
    return value
  end
  options.invalid(op, "it needs " .. what .. ": a name without '/'")
end

local user_spec = { user = function(value)
  if type(value) == "string" and value:find("^[%w._-]+$") and value ~= "." and value ~= ".." then return value end
  return nil, "is to be the name of a user"
end }

-- ---- reading ----

-- A guest's property list, or nil where there is no such file.
local function read(guest, op, path)
  local bytes = guest:admin(op, { "sh", "-c", 'if [ -e "$1" ]; then exec cat -- "$1"; fi', "sh", path })
  if bytes == "" then return nil end
  local ok, value = pcall(raw.plist_parse, bytes)
  if ok then return plist.decode(value) end
  if raw.is_error(value) then value.message = path .. " in the guest: " .. value.message end
  error(value, 0)
end

local function lines(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do list[#list + 1] = line end
  return list
end

-- The files below a folder (or the file itself).
local function files_below(guest, op, path)
  return lines(guest:admin(op, { "sh", "-c",
    'if [ -e "$1" ]; then exec find "$1" -type f -name "*.plist"; fi', "sh", path }))
end

local function managed_path(domain, user)
  return guests.MANAGED .. "/" .. (user and user .. "/" or "") .. domain .. ".plist"
end

local function few(names)
  local shown = table.concat(names, ", ", 1, math.min(#names, SHOWN))
  return #names > SHOWN and shown .. ", …" or shown
end

-- ---- the managed layer ----

-- Which domains are managed, for messages.
local function managed_domains(guest, op)
  local names = {}
  for _, path in ipairs(files_below(guest, op, guests.MANAGED)) do
    names[#names + 1] = path:sub(#guests.MANAGED + 2):gsub("%.plist$", "")
  end
  table.sort(names)
  return #names == 0 and "nothing is managed" or "managed are: " .. few(names)
end

local function domain_name(domain, user) return domain .. (user and " of the user " .. user or "") end

local function show_differences(wanted, there)
  local found, shown = plist.differences(wanted, there), {}
  for i = 1, math.min(#found, SHOWN) do
    local d = found[i]
    shown[i] = "  " .. (d.path == "" and "it" or d.path) .. ": wanted "
      .. (d.before == nil and "nothing" or plist.show(d.before)) .. ", there is "
      .. (d.after == nil and "nothing" or plist.show(d.after))
  end
  if #found > SHOWN then shown[#shown + 1] = "  and " .. #found - SHOWN .. " more" end
  return table.concat(shown, "\n"), #found
end

function VM:assert_managed(domain, key, value, opts)
  local op = "vm.assert_managed"
  local o = options.check(op, user_spec, opts)
  check_name(op, domain, "a domain")
  if key ~= nil then options.value(op, "string", key, "the key") end
  if key == nil and value ~= nil then options.invalid(op, "a value needs a key") end
  local guest = guests.of(op, self)
  local there = read(guest, op, managed_path(domain, o.user))
  local name = domain_name(domain, o.user)
  if not there then
    failed(self, op, name .. " is not managed; " .. managed_domains(guest, op))
  elseif key == nil then
    return there
  end
  local found = there[key]
  if found == nil then
    failed(self, op, name .. " is managed, but not its key " .. key .. "; there are: "
      .. few(plist.sorted_keys(there)), { found = there })
  elseif value ~= nil then
    local text, count = show_differences(value, found)
    if count > 0 then
      failed(self, op, name .. " " .. key .. " is managed with another value: wanted " .. plist.show(value)
        .. ", there is " .. plist.show(found) .. (type(value) == "table" and "\n" .. text or ""),
        { wanted = value, found = found })
    end
  end
  return found
end

function VM:assert_not_managed(domain, key, opts)
  local op = "vm.assert_not_managed"
  local o = options.check(op, user_spec, opts)
  check_name(op, domain, "a domain")
  if key ~= nil then options.value(op, "string", key, "the key") end
  local there = read(guests.of(op, self), op, managed_path(domain, o.user))
  if not there then return self end
  local name = domain_name(domain, o.user)
  if key == nil then
    failed(self, op, name .. " is managed: " .. plist.show(there), { found = there })
  elseif there[key] ~= nil then
    failed(self, op, name .. " " .. key .. " is managed: " .. plist.show(there[key]), { found = there[key] })
  end
  return self
end

-- ---- profiles ----

function VM:assert_profile_installed(identifier)
  local op = "vm.assert_profile_installed"
  options.value(op, "string", identifier, "the identifier")
  local names = {}
  for _, profile in ipairs(guests.of(op, self):profiles(op)) do
    if profile.identifier == identifier then return profile end
    names[#names + 1] = tostring(profile.identifier)
  end
  failed(self, op, "the profile " .. identifier .. " is not installed; "
    .. (#names == 0 and "there is none" or "there are: " .. few(names)))
end

function VM:assert_profile_not_installed(identifier)
  local op = "vm.assert_profile_not_installed"
  options.value(op, "string", identifier, "the identifier")
  for _, profile in ipairs(guests.of(op, self):profiles(op)) do
    if profile.identifier == identifier then failed(self, op, "the profile " .. identifier .. " is installed") end
  end
  return self
end

function VM:assert_effective(what)
  local op = "vm.assert_effective"
  options.value(op, "string", what, "the payload's type, or an identifier")
  local names, matched = {}, nil
  for _, effect in ipairs(guests.of(op, self):effects(op)) do
    if effect.type == what or effect.identifier == what or effect.profile == what then
      matched = matched or effect
      if not effect.enforced then
        failed(self, op, what .. " is not in effect: " .. effect.reason, { effect = effect })
      end
    end
    names[effect.type or effect.identifier] = true
  end
  if not matched then
    local list = plist.sorted_keys(names)
    failed(self, op, what .. " is not in effect: no profile that is installed has it; "
      .. (#list == 0 and "there are no payloads" or "there are: " .. few(list)))
  end
  return matched
end

-- ---- before and after ----

local Snapshot, Diff = { __name = "vmtest.preferences" }, { __name = "vmtest.preferences_diff" }
Snapshot.__index = Snapshot

local function check_paths(value)
  local list, why = options.strings(value)
  for _, path in ipairs(list or {}) do
    if path:sub(1, 1) ~= "/" or path:find("\0", 1, true) then return nil, "is to hold absolute paths" end
  end
  return list, why
end

-- All that is managed, and the property lists in `paths` besides.
function VM:preferences_snapshot(opts)
  local op = "vm.preferences_snapshot"
  local o = options.check(op, { paths = check_paths }, opts)
  local guest = guests.of(op, self)
  local files = {}
  for _, folder in ipairs(table.move(o.paths or {}, 1, #(o.paths or {}), 2, { guests.MANAGED })) do
    for _, path in ipairs(files_below(guest, op, folder)) do files[path] = read(guest, op, path) or {} end
  end
  return setmetatable({ files = files, paths = o.paths }, Snapshot)
end

Diff.__tostring = function(diff)
  if #diff == 0 then return "nothing differs" end
  local shown = {}
  for i, d in ipairs(diff) do
    shown[i] = d.file .. (d.key ~= "" and " " .. d.key or "") .. ": "
      .. (d.before == nil and "new, " .. plist.show(d.after)
        or d.after == nil and "gone, it was " .. plist.show(d.before)
        or plist.show(d.before) .. " became " .. plist.show(d.after))
  end
  return table.concat(shown, "\n")
end

-- What is different in a later one: a list of {file =, key =, before =, after =}.
function Snapshot:diff(later)
  local op = "preferences.diff"
  if getmetatable(later) ~= Snapshot then options.invalid(op, "it needs another vm:preferences_snapshot()") end
  local diff = setmetatable({}, Diff)
  local all = {}
  for path in pairs(self.files) do all[path] = true end
  for path in pairs(later.files) do all[path] = true end
  for _, path in ipairs(plist.sorted_keys(all)) do
    for _, d in ipairs(plist.differences(self.files[path], later.files[path])) do
      diff[#diff + 1] = { file = path, key = d.path, before = d.before, after = d.after }
    end
  end
  return diff
end

-- Nothing is left of what came after the snapshot, and nothing is gone.
function VM:assert_preferences_as(before)
  local op = "vm.assert_preferences_as"
  raw.vm_state(self) -- it has not ended
  if getmetatable(before) ~= Snapshot then options.invalid(op, "it needs a vm:preferences_snapshot()") end
  local diff = before:diff(self:preferences_snapshot { paths = before.paths })
  if #diff > 0 then failed(self, op, "the preferences are not as they were:\n" .. tostring(diff), { diff = diff }) end
  return self
end

return VM
