-- vm:enroll: brings a guest under a server's management. The stand-in device does it by itself; on a
-- Mac a person approves it, and a snapshot keeps that.
local raw = ...
local device = require "vmtest.device"
local enrollments = require "vmtest.enrollments"
local guests = require "vmtest.guest"
local mdm = require "vmtest.mdm"
local options = require "vmtest.options"
require "vmtest.device_more"

local VM = {}

local TIMEOUT, PERSON = 60, 600 -- seconds: for the stand-in (scaled), and for somebody at a Mac

-- ---- how a guest reaches its server ----

local LOOPBACK = { ["127.0.0.1"] = true, localhost = true, ["[::1]"] = true }
local QEMU_HOST = "10.0.2.2" -- the host's loopback, seen from QEMU's own network

local function host_of(url) return url:match("^https?://(%[[^%]]*%])") or url:match("^https?://([^:/]+)") end

local function address_of(vm, server)
  if not LOOPBACK[host_of(raw.mdm_facts(server).url)] then return nil end
  for _, nic in ipairs(raw.vm_info(vm).nics or {}) do
    if nic.kind == "nat" then return QEMU_HOST end
  end
end

-- ---- what is there already ----

-- An enrollment of an earlier run, which a snapshot has kept: the guest names this server, and the
-- server knows the device.
local function adopt(vm, guest, server, own, op)
  local ours = raw.mdm_facts(server).url
  local there = own.server and own.server:match(":(%d+)") == ours:match(":(%d+)")
    and (host_of(own.server) == host_of(ours) or host_of(own.server) == address_of(vm, server))
  local serial = there and guest:serial(op)
  for _, known in ipairs(serial and server:devices() or {}) do
    if known.serial == serial and known.state == "enrolled" then
      enrollments.begin(vm, { server = server, udid = known.udid, address = address_of(vm, server) })
      enrollments.of(vm).declared, enrollments.of(vm).stale = {}, true
      return true
    end
  end
end

local function refuse(vm, own, op)
  raw.raise("state", op, "the guest is enrolled already, at " .. (own.server or "a server it does not name")
    .. ", and a device has one MDM server",
    "start from a snapshot that is not enrolled, or say { again = true }: the enrollment is removed first",
    { vm = raw.vm_name(vm) })
end

-- The device that is there, or nil where the guest is to be enrolled.
local function existing(vm, guest, server, op)
  local hold = enrollments.of(vm)
  if hold and hold.enrollment.server == server then
    if not enrollments.superseded(hold.enrollment) then return hold.enrollment end
    guest:leave(op) -- the server refuses what it was put back to
    return nil
  end
  local own = guest:enrollment(op)
  if not own.enrolled then return nil end
  if not adopt(vm, guest, server, own, op) then refuse(vm, own, op) end
  return enrollments.of(vm).enrollment
end

-- ---- enrolling ----

-- What went wrong, with what the server has refused meanwhile.
local function explain(err, vm, server, started)
  if not raw.is_error(err) or err.op == "test" or err.code == "canceled" then return err end
  local refused, ago = raw.mdm_refused(server)
  if refused and ago <= raw.wall() - started then
    err.message = err.message .. "\nthe server refused a request meanwhile: " .. refused
  end
  err.vm = err.vm or raw.vm_name(vm)
  return err
end

local function by_itself(guest, op, profile, approved, timeout)
  guest:with_file(op, "enroll.mobileconfig", profile, function(path)
    local words = { "vmtest-device", "enroll" }
    if not approved then words[3] = "--not-approved" end
    words[#words + 1] = path
    guest:admin(op, words, timeout)
  end)
end

local function ask_person(guest, name, timeout)
  raw.log("warning", "VM " .. raw.vm_name(guest.vm) .. ": enrolling a Mac needs a person. On its screen: open "
    .. "System Settings > General > Device Management, choose the downloaded profile \"" .. name
    .. "\", click Install and give the administrator's password. vmtest waits for "
    .. raw.format_duration(timeout) .. ". In a vmtest.fixture with a snapshot this is asked for once")
end

-- By a person: fn() waits for it.
local function by_person(guest, op, profile, name, timeout, fn)
  return guest:with_file(op, "enroll.mobileconfig", profile, function(path)
    guest:open_as_user(op, path)
    ask_person(guest, name, timeout)
    local ok, known = pcall(fn)
    if ok then return known end
    if raw.is_error(known) and known.code == "timeout" and known.op ~= "test" then
      known.message = "nobody has installed the enrollment profile within " .. raw.format_duration(timeout)
        .. ": " .. known.message
    end
    error(known, 0)
  end)
end

local function enroll(vm, guest, server, o, op)
  local timeout = o.timeout or (guest:is_mac() and PERSON or TIMEOUT * raw.vm_scale(vm))
  local asked = {}
  for key in pairs(mdm.enrollment_spec) do asked[key] = o[key] end
  asked.timeout = nil
  asked.address = asked.address or address_of(vm, server)
  local made = raw.mdm_enroll(server, asked)
  local facts = device.profile_facts(op, made.profile, "the enrollment profile")
  local until_time, known = raw.now() + timeout, nil
  local function wait()
    return raw.mdm_wait_device(server, {
      enrollment = made.id, serial = not made.id and guest:serial(op) or nil, state = "enrolled",
      timeout = math.max(1, until_time - raw.now()),
    })
  end
  if guest:is_mac() then
    known = by_person(guest, op, made.profile, facts.name or facts.identifier, timeout, wait)
  else
    by_itself(guest, op, made.profile, o.approved ~= false, timeout)
    known = wait()
  end
  enrollments.begin(vm, {
    server = server, udid = known.udid, profile = facts.identifier, address = asked.address,
  })
  return enrollments.of(vm).enrollment
end

-- ---- the method ----

local spec = { server = mdm.reference, again = "boolean", approved = "boolean" }
for key, kind in pairs(mdm.enrollment_spec) do spec[key] = kind end

function VM:enroll(opts)
  local op = "vm.enroll"
  local o = options.check(op, spec, opts)
  if o.timeout == 0 then options.invalid(op, "option 'timeout' is to be more than 0") end
  raw.vm_state(self) -- it has not ended
  local server = o.server or mdm.default()
  raw.mdm_facts(server) -- it is open
  local guest = guests.of(op, self)
  if o.approved ~= nil and guest:is_mac() then
    options.invalid(op, "option 'approved' is for the stand-in device: a Mac's enrollment is approved by a person")
  end
  local enrollment = not o.again and existing(self, guest, server, op)
  if enrollment then return device.new(self, guest, enrollment) end
  if o.again then
    guest:leave(op)
    enrollments.ended(self)
  end
  local started, wall = raw.now(), raw.wall()
  local ok, made = pcall(enroll, self, guest, server, o, op)
  local failed = not ok and explain(made, self, server, wall)
  raw.vm_note(self, "enroll", tostring(server) .. " " .. (o.method or "pkcs12"), raw.now() - started,
    failed and (raw.is_error(failed) and failed.message or tostring(failed)) or nil)
  if failed then error(failed, 0) end
  return device.new(self, guest, made)
end

-- The device that the VM's guest is enrolled as, or nil.
function VM:device()
  raw.vm_state(self)
  local hold = enrollments.of(self)
  return hold and device.new(self, guests.of("vm.device", self), hold.enrollment)
end

return VM
