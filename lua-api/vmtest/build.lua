-- Makes an image by a VM: for `vmtest image build` with a Lua recipe and `vmtest image refresh`,
-- which write a suite that calls build.make(build.plan{...}) (engine/cli/lua_build.c).
local raw = ...
local json = require "vmtest.json"
local options = require "vmtest.options"
local vm = require "vmtest.vm"

local M = {}

local PATIENCE = 1800 -- seconds for one long command in the guest

-- What updates a guest, by the ID or ID_LIKE of its /etc/os-release.
local updates = {
  -- without the Error-Mode, lists that could not be fetched are a warning: nothing would be upgraded
  debian = "export DEBIAN_FRONTEND=noninteractive; apt-get -q -o APT::Update::Error-Mode=any update"
    .. " && apt-get -q -y -o Dpkg::Options::=--force-confold dist-upgrade && apt-get clean",
  fedora = "dnf -y upgrade && dnf clean all",
  rhel = "dnf -y upgrade && dnf clean all",
  suse = "zypper --non-interactive update",
  arch = "pacman --noconfirm -Syu",
  alpine = "apk update && apk upgrade",
}

-- Commands that list a guest's packages as "NAME VERSION" lines; the first that works is taken.
local package_lists = {
  "dpkg-query -W -f '${Package} ${Version}\\n'",
  "rpm -qa --qf '%{NAME} %{VERSION}-%{RELEASE}\\n'",
}

local recipe_spec = {
  from = "string", memory = "size", cpus = "count", build = "callable", description = "string",
}

local function invalid(message, hint) options.invalid("image.build", message, hint) end

local function load_recipe(path, set)
  package.path = path:match("^(.*)/") .. "/?.lua;" .. package.path
  local chunk, why = loadfile(path, "t")
  if not chunk then invalid("the recipe cannot be loaded: " .. why) end
  local recipe = chunk()
  if type(recipe) == "function" then recipe = recipe(set) end
  if type(recipe) ~= "table" then
    invalid(path .. " returns no recipe", "return { from = \"IMAGE\", build = function(vm, set) ... end }")
  end
  local o = options.check("recipe", recipe_spec, recipe)
  if not o.from or not o.build then
    invalid(path .. ": a recipe needs \"from\", an image, and \"build\", a function")
  end
  return o
end

local function update_of(guest)
  local text = guest:sh("cat /etc/os-release").stdout
  local words = (text:match('\nID_LIKE="?([^"\n]*)') or "") .. " " .. (("\n" .. text):match('\nID="?([^"\n]*)') or "")
  for word in words:gmatch("%S+") do
    if updates[word] then return updates[word] end
  end
  invalid("it is not known how to update this guest (" .. words .. ")",
    "say it by \"update\" in image.json, or by --command")
end

-- What the image is made of: plan{ name, work, set, recipe | refresh, update }.
function M.plan(p)
  if p.recipe then
    p.spec = load_recipe(p.recipe, p.set)
  else
    p.spec = { from = p.refresh, build = function(guest)
      guest:sh(p.update or update_of(guest), { timeout = PATIENCE })
    end }
  end
  return p
end

local function move(from, to)
  if os.rename(from, to) then return end
  local input, output = assert(io.open(from, "rb")), assert(io.open(to, "wb"))
  for chunk in function() return input:read(1 << 20) end do assert(output:write(chunk)) end
  input:close()
  assert(output:close())
end

local function write_json(path, value)
  local file = assert(io.open(path, "w"))
  assert(file:write(assert(json.encode(value))))
  assert(file:close())
end

-- Versions by package name; nil where the guest has no list that is known here.
local function packages_of(guest)
  for _, list in ipairs(package_lists) do
    local r = guest:exec(list, { limit = "8M" })
    if r.status == 0 then
      local packages = {}
      for name, version in r.stdout:gmatch("(%S+) (%S+)\n") do packages[name] = version end
      return packages
    end
  end
end

-- NAME = "OLD -> NEW" for each that is another one now; "none" is a package that is not there.
local function changes(before, after)
  local found = {}
  for name, version in pairs(after) do
    if before[name] ~= version then found[name] = (before[name] or "none") .. " -> " .. version end
  end
  for name, version in pairs(before) do
    if not after[name] then found[name] = version .. " -> none" end
  end
  return found
end

local function contents(guest, before)
  local found = { kernel = guest:sh("uname -r").stdout:gsub("%s+$", "") .. "" }
  local release = guest:exec("cat /etc/os-release")
  found.system = release.status == 0 and release.stdout:match('PRETTY_NAME="?([^"\n]*)') or nil
  found.packages = packages_of(guest)
  if before and found.packages then found.changes = changes(before, found.packages) end
  return found
end

local function check_disk(guest)
  local overlay = guest:info().overlay
  if overlay then return overlay end
  raw.raise("unsupported", "image.build", "the image " .. tostring(guest:info().image)
    .. " has no disk: what is changed in it is gone at its next start",
    "a Lua recipe starts from an image with a disk; a shell recipe can make any")
end

function M.make(p)
  local guest = vm.new { image = p.spec.from, name = p.name, memory = p.spec.memory, cpus = p.spec.cpus }
  local overlay = check_disk(guest)
  local before = packages_of(guest)
  p.spec.build(guest, p.set)
  guest:sh("sync", { timeout = PATIENCE })
  guest:reboot()
  local found = contents(guest, before)
  if guest:info().overlay ~= overlay then
    raw.raise("unsupported", "image.build", "the VM was saved or restored while it was built on: its disk"
      .. " is in several files", "build without vm:snapshot and vm:restore")
  end
  guest:stop { timeout = 60 * guest:scale() }
  move(overlay, p.work .. "/overlay.qcow2")
  write_json(p.work .. "/contents.json", found)
  write_json(p.work .. "/made.json", {
    image_dir = guest:info().image_dir,
    image = { memory = p.spec.memory, cpus = p.spec.cpus, description = p.spec.description },
  })
end

return M
