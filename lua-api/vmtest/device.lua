-- A device: a VM's guest as its MDM server sees it. What is asked of it is queued at the server, the
-- device is woken, and its own answer is waited for.
local raw = ...
local config = require "vmtest.config"
local enrollments = require "vmtest.enrollments"
local marks = require "vmtest.marks"
local mdm = require "vmtest.mdm"
local options = require "vmtest.options"
local plist = require "vmtest.plist"

local M = {}
local Device = {}

local TIMEOUT = 60      -- seconds for an answer, with hardware virtualization
local SERVER_TIMEOUT = 30
local EVERY = 1         -- seconds between two polls
local SLICE = 5         -- seconds that a polled device's answer is waited for before the next poll
local PUSHLESS_MAC = 27 -- the first macOS whose guests get no push

local timeout_spec = { timeout = "duration", check = "boolean", force = "boolean" }

local function timeout_of(self, o) return o.timeout or TIMEOUT * raw.vm_scale(self.vm) end

-- ---- events ----

-- fn(), told in transcript and events as "device.NAME TEXT".
local function told(self, name, text, fn)
  local started = raw.now()
  local result = table.pack(pcall(fn))
  local failed
  if not result[1] then
    failed = raw.is_error(result[2]) and result[2].message or tostring(result[2])
  end
  raw.vm_note(self.vm, "device." .. name, text, raw.now() - started, failed)
  if not result[1] then error(result[2], 0) end
  return table.unpack(result, 2, result.n)
end

-- ---- is it the device that the server knows? ----

local function fail(self, code, op, message, hint, fields)
  fields = fields or {}
  fields.vm = raw.vm_name(self.vm)
  raw.raise(code, op, message, hint, fields)
end

local function hold_of(self, op)
  local hold = enrollments.of(self.vm)
  if hold and hold.enrollment == self.enrollment then return hold end
  fail(self, "state", op, "the guest no longer holds this enrollment: "
    .. (hold and "it has enrolled anew since" or "it was unenrolled, or put back to before it enrolled"),
    "take the device that vm:enroll() gives now")
end

local function check_identity(self, op)
  local twin = enrollments.twin(self.vm, self.enrollment)
  if twin then
    fail(self, "state", op, "the VMs " .. raw.vm_name(self.vm) .. " and " .. raw.vm_name(twin)
      .. " are clones that hold the same enrollment, and both are there: the server sees one device in "
      .. "them", "end one of them (vm:destroy), or clone first and enroll each of them")
  end
  if enrollments.superseded(self.enrollment) then
    fail(self, "state", op, "the guest was put back to an enrollment that it gave up, or that a later one has replaced: the "
      .. "server refuses its identity", "vm:enroll() enrolls it anew")
  end
end

-- ---- waking it ----

-- No push reaches this guest: that is no failure of what is tested.
local function unreachable(self, problem)
  local guest = self.guest
  local words = guest.major and guest.major >= PUSHLESS_MAC
    and "guests of macOS " .. PUSHLESS_MAC .. " and later enroll, but get no push unless they were "
      .. "provisioned by the hypervisor at their first boot, and may get none even then"
    or "a Mac asks for its commands only when the Apple Push Notification service wakes it"
  marks.raise("skip", "environment: " .. guest:describe() .. " is enrolled, but cannot be reached: "
    .. (problem or "no push") .. "; " .. words)
end

local function wake(self, op, queued, seconds)
  if queued.pushed then return end
  if self.guest:is_mac() then unreachable(self, queued.problem) end
  self.guest:poll(op, seconds)
end

-- ---- answers ----

local function give_up(self, op, request, queued, timeout, last)
  if queued.uuid then
    pcall(raw.mdm_withdraw, self.server, self.udid, queued.uuid, SERVER_TIMEOUT)
    self.enrollment.pending[queued.uuid] = nil
  end
  local guest = self.guest
  if guest.major and guest.major >= PUSHLESS_MAC then unreachable(self, "it did not answer a push") end
  fail(self, "timeout", op, "the device did not answer " .. request .. " within "
    .. raw.format_duration(timeout) .. (last.text and ": " .. last.text or ""), last.not_now > 0
    and "it was asked again each time; the command is withdrawn now" or nil,
    { request_type = request, not_now = last.not_now })
end

local function is_interrupt(err) return err.op == "test" or err.code == "canceled" end

-- What stood against a wake-up where the device may have been woken nevertheless, or may be later:
-- its guest starts anew, or is slow. All else is raised.
local function lost(problem)
  if raw.is_error(problem) and not is_interrupt(problem)
      and (problem.code == "timeout" or problem.code == "guest") then
    return problem.message
  end
  error(problem, 0)
end

-- The test's own deadline came first: its error tells what was waited for, and how far that came.
local function tell_interrupt(err, request, since, last)
  if not raw.is_error(err) or err.op ~= "test" or err.code ~= "timeout" then error(err, 0) end
  raw.raise(err.code, err.op, err.message .. "; for " .. raw.format_duration(raw.now() - since)
    .. " it waited for the device's answer to " .. request .. ": "
    .. (last.text or "the device is still at it since it was woken"), err.hint)
end

-- Wakes the device until wait(seconds) gives its answer, or the time is up.
local function await_at(self, op, request, queued, timeout, wait, last)
  local until_time = raw.now() + timeout
  while true do
    local left = until_time - raw.now()
    if left <= 0 then give_up(self, op, request, queued, timeout, last) end
    local woken, problem = pcall(wake, self, op, queued, left)
    if not woken then last.text = last.text or lost(problem) end
    left = math.max(0.1, until_time - raw.now())
    local ok, answer = pcall(wait, queued.pushed and left or math.min(left, SLICE))
    if ok and answer.status ~= "NotNow" then return answer end
    if ok then
      last.not_now = answer.not_now
      last.text = "it said NotNow " .. (answer.not_now == 1 and "once" or answer.not_now .. " times")
    elseif raw.is_error(answer) and answer.code == "timeout" and not is_interrupt(answer) then
      last.text = last.text or answer.message
    else
      error(answer, 0)
    end
    raw.sleep(math.max(0, math.min(EVERY, until_time - raw.now())))
  end
end

local function await(self, op, request, queued, timeout, wait)
  local since, last = raw.now(), { not_now = 0 }
  local ok, answer = pcall(await_at, self, op, request, queued, timeout, wait, last)
  if not ok then tell_interrupt(answer, request, since, last) end
  return answer
end

local function await_answer(self, op, request, queued, timeout)
  local pending = self.enrollment.pending
  pending[queued.uuid] = request
  local answer = await(self, op, request, queued, timeout, function(seconds)
    return raw.mdm_wait_answer(self.server, self.udid, queued.uuid, seconds, not queued.pushed)
  end)
  pending[queued.uuid] = nil
  return answer
end

-- The chain of the device's own errors, a line each.
local function check_answer(self, op, request, answer)
  if answer.status == "Acknowledged" then return end
  local chain = answer.errors ~= "" and ":\n" .. answer.errors or ", and told no reason"
  fail(self, "mdm", op, request .. " was answered with " .. answer.status .. chain, nil,
    { status = answer.status, error_chain = answer.error_chain or {}, request_type = request })
end

-- ---- after a restore ----

local function withdraw_pending(self)
  for uuid in pairs(self.enrollment.pending) do
    local ok, err = pcall(raw.mdm_withdraw, self.server, self.udid, uuid, SERVER_TIMEOUT)
    local gone = not ok and raw.is_error(err)
      and (err.code == "not_found" or err.code == "state" or err.code == "unsupported")
    if not ok and not gone then error(err, 0) end
    self.enrollment.pending[uuid] = nil
  end
end

-- Each gives a queued command, which is not waited for: the check-in after them takes it.
local function set_declarations(self, wanted)
  local now = self.enrollment.declared
  for identifier in pairs(now) do
    if not wanted[identifier] then
      raw.mdm_undeclare(self.server, self.udid, identifier, SERVER_TIMEOUT)
    end
  end
  for identifier, text in pairs(wanted) do
    if now[identifier] ~= text then raw.mdm_declare(self.server, self.udid, text, SERVER_TIMEOUT) end
  end
  self.enrollment.declared = wanted
end

-- A message of it that came from now on.
local function seen(self, op, seconds)
  local guest = self.guest
  if guest:is_mac() then
    local ok, err = pcall(raw.mdm_push, self.server, self.udid, seconds)
    if not ok then
      if not raw.is_error(err) or is_interrupt(err) then error(err, 0) end
      unreachable(self, err.message)
    end
    return raw.mdm_wait_device(self.server, { udid = self.udid, state = "enrolled", seen = true, timeout = seconds })
  end
  local result = { raw.parallel(function()
    return raw.mdm_wait_device(self.server, { udid = self.udid, state = "enrolled", seen = true, timeout = seconds })
  end, function()
    guest:poll(op, seconds)
    return true
  end) }
  return result[1]
end

-- The guest was put back, the server was not: what it would hand out of a time that is gone is taken
-- from it, its declarations are those that the guest knows, and the device checks in.
local function settle(self, op, hold)
  told(self, "check_in", "after a restore", function()
    withdraw_pending(self)
    set_declarations(self, hold.declared)
    seen(self, op, TIMEOUT * raw.vm_scale(self.vm))
    enrollments.settled(hold)
  end)
end

-- Before anything is asked of it.
local function ready(self, op)
  raw.vm_state(self.vm) -- it has not ended
  local hold = hold_of(self, op)
  check_identity(self, op)
  if hold.stale then settle(self, op, hold) end
end

-- ---- commands ----

local function ask(self, op, name, text, command, o)
  ready(self, op)
  local request = command.RequestType
  local encoded = plist.encode(op, command)
  return told(self, name, request .. (text and " " .. text or ""), function()
    local queued = raw.mdm_enqueue(self.server, self.udid, encoded,
      { force = o.force, no_push = not self.guest:is_mac(), timeout = SERVER_TIMEOUT })
    local answer = await_answer(self, op, request, queued, timeout_of(self, o))
    if o.check ~= false then check_answer(self, op, request, answer) end
    plist.decode(answer.reply)
    return answer
  end)
end

function Device:command(request, fields, opts)
  local op = "device.command"
  local o = options.check(op, timeout_spec, opts)
  if type(request) ~= "string" or not request:find("^%a%w*$") then
    options.invalid(op, 'it needs a RequestType, such as "ProfileList"')
  end
  local command = { RequestType = request }
  for key, value in pairs(fields == nil and {} or options.value(op, "table", fields, "the fields")) do
    if type(key) ~= "string" then options.invalid(op, "a command's fields have names") end
    command[key] = value
  end
  command.RequestType = request
  local answer = ask(self, op, "command", nil, command, o)
  return answer.reply, answer
end

-- The contents of a profile, and what they came from: those given, or those of a file.
local function profile_of(op, what)
  options.value(op, "string", what, "the profile")
  if what:find("\0", 1, true) or what:find("\n", 1, true) or what:find("^%s*<") or what:find("^\48[\128-\132]")
      or what:find("^bplist00") then
    return what, "the profile"
  end
  local path = options.value(op, config.path, what, "the profile")
  local file, why = io.open(path, "rb")
  if not file then raw.raise("not_found", op, "the profile cannot be read: " .. why) end
  local contents = file:read("a")
  file:close()
  return contents, what
end

local install_spec = { timeout = "duration", check = "boolean", force = "boolean", sign = config.path }

function Device:install_profile(what, opts)
  local op = "device.install_profile"
  local o = options.check(op, install_spec, opts)
  local contents, from = profile_of(op, what)
  local facts = M.profile_facts(op, contents, from)
  if o.sign then contents = raw.profile_sign(contents, o.sign) end
  ask(self, op, "install_profile", facts.identifier, {
    RequestType = "InstallProfile", Payload = plist.data(contents),
  }, o)
  return facts.identifier
end

local function check_identifier(op, identifier)
  if type(identifier) == "string" and identifier ~= "" then return identifier end
  options.invalid(op, "it needs an identifier")
end

function Device:remove_profile(identifier, opts)
  local op = "device.remove_profile"
  local o = options.check(op, timeout_spec, opts)
  check_identifier(op, identifier)
  ask(self, op, "remove_profile", identifier, { RequestType = "RemoveProfile", Identifier = identifier }, o)
  return self
end

function Device:profiles(opts)
  local op = "device.profiles"
  local o = options.check(op, { timeout = "duration", managed_only = "boolean" }, opts)
  local answer = ask(self, op, "profiles", nil, { RequestType = "ProfileList", ManagedOnly = o.managed_only }, o)
  return answer.reply.ProfileList or {}
end

local QUERIES = {
  "UDID", "DeviceName", "OSVersion", "BuildVersion", "ModelName", "Model", "ProductName", "SerialNumber",
  "HostName",
}

function Device:info(queries, opts)
  local op = "device.info"
  local o = options.check(op, timeout_spec, opts)
  local list = queries == nil and QUERIES or options.value(op, options.strings, queries, "the queries")
  if #list == 0 then options.invalid(op, "it needs at least one query") end
  local answer = ask(self, op, "info", table.concat(list, ","), {
    RequestType = "DeviceInformation", Queries = plist.array(table.move(list, 1, #list, 1, {})),
  }, o)
  return answer.reply.QueryResponses or {}
end

-- A command without fields, whose answer has what is asked for under `key`.
local function query(name, request, key)
  local op = "device." .. name
  return function(self, opts)
    local o = options.check(op, timeout_spec, opts)
    return ask(self, op, name, nil, { RequestType = request }, o).reply[key] or {}
  end
end

Device.security_info = query("security_info", "SecurityInfo", "SecurityInfo")
Device.certificates = query("certificates", "CertificateList", "CertificateList")
Device.applications = query("applications", "InstalledApplicationList", "InstalledApplicationList")

M.methods = Device
M.parts = {
  ask = ask, await = await, await_answer = await_answer, fail = fail, ready = ready, seen = seen, told = told,
  timeout_of = timeout_of, check_identifier = check_identifier, is_interrupt = is_interrupt,
  SERVER_TIMEOUT = SERVER_TIMEOUT, timeout_spec = timeout_spec,
}

-- {identifier =, name =} of a profile's contents, which came from `from`; raises where it is none.
function M.profile_facts(op, contents, from)
  local ok, root = pcall(raw.plist_parse, contents, from)
  if not ok then
    if raw.is_error(root) then root.op = op end
    error(root, 0)
  end
  if type(root) ~= "table" or type(root.PayloadIdentifier) ~= "string" then
    options.invalid(op, from .. " has no PayloadIdentifier: it is no configuration profile")
  end
  return { identifier = root.PayloadIdentifier, name = root.PayloadDisplayName }
end

-- ---- the object ----

local meta = {
  __name = "vmtest.device",
  __index = function(_, key)
    local method = Device[key]
    if method == nil then
      local near = type(key) == "string" and options.nearest(key, Device)
      options.invalid("device", "a device has no '" .. tostring(key) .. "'"
        .. (near and "; did you mean '" .. near .. "'?" or ""))
    end
    return method
  end,
  __tostring = function(self) return "device " .. self.udid .. " (" .. tostring(raw.vm_name(self.vm)) .. ")" end,
}

-- Of a VM, its guest, and the enrollment that it holds.
function M.new(vm, guest, enrollment)
  return setmetatable({
    vm = vm, guest = guest, enrollment = enrollment, server = enrollment.server, udid = enrollment.udid,
  }, meta)
end

return M
