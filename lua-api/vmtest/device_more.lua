-- More that is done with a device: its state, restarts, applications, declarations, its end.
local raw = ...
local config = require "vmtest.config"
local device = require "vmtest.device"
local enrollments = require "vmtest.enrollments"
local mdm = require "vmtest.mdm"
local options = require "vmtest.options"
local plist = require "vmtest.plist"

local Device, parts = device.methods, device.parts
local ask, fail, told = parts.ask, parts.fail, parts.told

local REACH = 15 -- seconds in which a device that is reachable has been heard of

-- ---- its state ----

local function reason_of(err) return raw.is_error(err) and err.message or tostring(err) end

-- Whether it answers now: true, or false and why not.
local function reachable(self, op)
  local ok, why = pcall(parts.seen, self, op, REACH * raw.vm_scale(self.vm))
  if ok then return true, "it asked its server for commands just now" end
  if raw.is_error(why) and parts.is_interrupt(why) then error(why, 0) end
  return false, type(why) == "table" and why.reason or reason_of(why)
end

-- The highest rung of not_enrolled, enrolled, user_approved, reachable that it stands on, the reason,
-- and each of them by itself.
function Device:state()
  local op = "device.state"
  raw.vm_state(self.vm)
  local facts = { enrolled = false, user_approved = false, reachable = false }
  local hold = enrollments.of(self.vm)
  if not hold or hold.enrollment ~= self.enrollment then
    return "not_enrolled", "the guest does not hold this enrollment (any more)", facts
  end
  if enrollments.superseded(self.enrollment) then
    return "not_enrolled", "the guest was put back to an enrollment that it gave up, or that a later one has replaced",
      facts
  end
  local known = mdm.device(self.server, self.udid)
  if not known or known.state ~= "enrolled" then
    return "not_enrolled", known and known.reason or "its server does not know it", facts
  end
  local own = self.guest:enrollment(op)
  if not own.enrolled then return "not_enrolled", "the guest itself says that it is not enrolled", facts end
  facts.enrolled, facts.user_approved = true, own.user_approved
  local answers, why = reachable(self, op)
  facts.reachable = answers
  if not own.user_approved then
    return "enrolled", "a person has not approved the enrollment"
      .. (answers and ", though the device answers" or "; " .. why), facts
  end
  if not answers then return "user_approved", "it cannot be reached: " .. why, facts end
  return "reachable", why, facts
end

-- ---- restart ----

-- A text that another start of the guest does not have.
local function boot_mark(self)
  local words = self.guest:is_mac() and { "sysctl", "-n", "kern.boottime" }
    or { "cat", "/proc/sys/kernel/random/boot_id" }
  local ok, r = pcall(raw.vm_exec, self.vm, nil, words, { timeout = 10 * raw.vm_scale(self.vm) })
  if ok and r.status == 0 then return r.stdout end
  if not ok and (not raw.is_error(r) or parts.is_interrupt(r)) then error(r, 0) end
end

function Device:restart(opts)
  local op = "device.restart"
  local o = options.check(op, { timeout = "duration" }, opts)
  local timeout = o.timeout or 300 * raw.vm_scale(self.vm)
  parts.ready(self, op)
  local before = boot_mark(self)
  if not before then fail(self, "guest", op, "the guest does not say when it was started") end
  local until_time = raw.now() + timeout
  ask(self, op, "restart", nil, { RequestType = "RestartDevice" }, o)
  while raw.now() < until_time do
    local now = boot_mark(self)
    if now and now ~= before then return self end
    raw.sleep(1)
  end
  fail(self, "timeout", op, "the device acknowledged RestartDevice, but did not start anew within "
    .. raw.format_duration(timeout))
end

-- ---- applications ----

local package_spec = {
  path = config.path, bundle_id = "string", version = "string", title = "string", timeout = "duration",
}

local function listed(self, op, o, timeout)
  local until_time, seen = raw.now() + timeout, nil
  while true do
    local answer = ask(self, op, "applications", nil, { RequestType = "InstalledApplicationList" }, { timeout = timeout })
    for _, app in ipairs(answer.reply.InstalledApplicationList or {}) do
      if app.Identifier == o.bundle_id then
        seen = app.ShortVersion or app.Version
        if seen == o.version or app.Version == o.version then return app end
      end
    end
    if raw.now() >= until_time then
      fail(self, "timeout", op, "the device acknowledged InstallEnterpriseApplication, but "
        .. o.bundle_id .. " " .. o.version .. " is not among its applications after "
        .. raw.format_duration(timeout) .. (seen and "; " .. tostring(seen) .. " is" or ""))
    end
    raw.sleep(1)
  end
end

-- Serves a package, has it installed, and waits until the device lists it in that version.
function Device:install_application(opts)
  local op = "device.install_application"
  local o = options.check(op, package_spec, opts)
  for _, key in ipairs { "path", "bundle_id", "version" } do
    if not o[key] then options.invalid(op, "it needs a '" .. key .. "'") end
  end
  parts.ready(self, op)
  local can, why, hint = raw.mdm_supports(self.server, "packages")
  if not can then fail(self, "unsupported", op, why, hint) end
  local timeout = o.timeout or 300 * raw.vm_scale(self.vm)
  local served = raw.mdm_serve_package(self.server, { path = o.path, bundle_id = o.bundle_id,
    version = o.version, title = o.title, address = self.enrollment.address })
  ask(self, op, "install_application", o.bundle_id .. " " .. o.version, {
    RequestType = "InstallEnterpriseApplication", ManifestURL = served.manifest_url,
  }, { timeout = timeout })
  return listed(self, op, o, timeout)
end

-- ---- declarations ----

local declaration_spec = { timeout = "duration", check = "boolean" }

-- Why a declaration is not valid, in the device's words.
local function reasons(status)
  local lines = {}
  for _, reason in ipairs(status and status.reasons or {}) do
    lines[#lines + 1] = tostring(reason.code or "?") .. (reason.description and ": " .. tostring(reason.description) or "")
  end
  return #lines > 0 and ":\n" .. table.concat(lines, "\n") or ""
end

function Device:declare(declaration, opts)
  local op = "device.declare"
  local o = options.check(op, declaration_spec, opts)
  options.value(op, "table", declaration, "the declaration")
  local identifier = declaration.Identifier
  if type(identifier) ~= "string" or type(declaration.Type) ~= "string" then
    options.invalid(op, "a declaration has a Type, an Identifier and a Payload")
  end
  parts.ready(self, op)
  local encoded = plist.encode(op, declaration)
  return told(self, "declare", declaration.Type .. " " .. identifier, function()
    local queued = raw.mdm_declare(self.server, self.udid, encoded, parts.SERVER_TIMEOUT)
    self.enrollment.declared[identifier] = encoded
    local result = parts.await(self, op, "DeclarativeManagement", queued, parts.timeout_of(self, o), function(seconds)
      return raw.mdm_wait_declared(self.server, self.udid, identifier, seconds)
    end)
    plist.decode(result.status)
    if o.check ~= false and result.valid ~= "valid" then
      fail(self, "mdm", op, "the device says that the declaration " .. identifier .. " is "
        .. tostring(result.valid) .. reasons(result.status), nil,
        { status = result.valid, reasons = result.status and result.status.reasons or {} })
    end
    return result
  end)
end

function Device:undeclare(identifier, opts)
  local op = "device.undeclare"
  local o = options.check(op, { timeout = "duration" }, opts)
  parts.check_identifier(op, identifier)
  parts.ready(self, op)
  told(self, "undeclare", identifier, function()
    local queued = raw.mdm_undeclare(self.server, self.udid, identifier, parts.SERVER_TIMEOUT)
    self.enrollment.declared[identifier] = nil
    parts.await_answer(self, op, "DeclarativeManagement", queued, parts.timeout_of(self, o))
  end)
  return self
end

-- ---- the stand-in's own, and the end ----

function Device:answer(how, request)
  local op = "device.answer"
  told(self, "answer", tostring(how) .. (request and " " .. tostring(request) or ""), function()
    self.guest:answer(op, how, request)
  end)
  return self
end

-- A Mac is told by its server to remove the enrollment profile, which the stand-in leaves to its owner.
local function remove_enrollment(self, op, timeout)
  local function gone(seconds)
    return raw.mdm_wait_device(self.server, { udid = self.udid, state = "not_enrolled", timeout = seconds })
  end
  if not self.guest:is_mac() then
    self.guest:leave(op)
    return gone(timeout)
  end
  local queued = raw.mdm_enqueue(self.server, self.udid,
    plist.encode(op, { RequestType = "RemoveProfile", Identifier = self.enrollment.profile }),
    { timeout = parts.SERVER_TIMEOUT })
  return parts.await(self, op, "RemoveProfile", queued, timeout, gone)
end

-- Removes the enrollment profile: the device checks out.
function Device:unenroll(opts)
  local op = "device.unenroll"
  local o = options.check(op, { timeout = "duration" }, opts)
  parts.ready(self, op)
  if self.guest:is_mac() and not self.enrollment.profile then
    fail(self, "unsupported", op, "the enrollment was not made here, so its profile's identifier is not known",
      'remove that profile by its name: device:remove_profile("…")')
  end
  told(self, "unenroll", self.enrollment.profile, function()
    remove_enrollment(self, op, parts.timeout_of(self, o))
  end)
  enrollments.ended(self.vm)
end

return Device
