-- MDM servers: the run's own, started or reached when it is first needed, and those that a suite
-- asks for.
local raw = ...
local config = require "vmtest.config"
local json = require "vmtest.json"
local marks = require "vmtest.marks"
local options = require "vmtest.options"

local M = {}
local Server = {}

local OF_THE_JOB = 0   -- the scope of the run's server: it outlives every VM
local TIMEOUT = 30     -- seconds
local OPENING_MAX = 60 -- after which whoever opened it was left in the midst

-- ---- opening ----

local function text(value)
  if type(value) == "string" and value ~= "" and not value:find("\0", 1, true) then return value end
  return nil, "is to be text that is not empty"
end

local function check_extra(value)
  if type(value) ~= "table" then return nil, "is to be a table" end
  return json.encode(value)
end

local spec = {
  kind = config.choice(table.unpack(raw.mdm_kinds())), url = text, credentials = config.path,
  ca_file = config.path, listen = text, control = "boolean", state_dir = config.path, names = options.strings,
  webhook_listen = text, webhook_url = text, extra = check_extra, timeout = "duration",
}

local no_server_in_a_dry_run = "needs mdm: a dry run has no MDM server, for its VMs are simulated"

function M.new(opts)
  local op = "vmtest.mdm"
  local o = options.check(op, spec, opts)
  o.kind = o.kind or "lab"
  if o.kind ~= "lab" and not o.url then
    options.invalid(op, 'a server of the kind "' .. o.kind .. '" is not started here: it needs its url')
  end
  if raw.job.dry_run then marks.raise("skip", no_server_in_a_dry_run) end
  return raw.mdm_open(o)
end

-- ---- the run's own ----

local own = { state = "closed" } -- then "opening", "open" or "failed"

-- The options that `--mdm KIND[=URL]` stands for, or nil and why there is none.
local function options_of_run()
  if raw.job.dry_run then return nil, no_server_in_a_dry_run end
  local word = raw.job.mdm or "lab"
  if word == "none" then return nil, "needs mdm: this run has no MDM server (--mdm none)" end
  local kind, url = word:match("^([^=]*)=(.*)$")
  return { kind = kind or word, url = url, credentials = raw.job.mdm_credentials, ca_file = raw.job.mdm_ca }
end

-- What is said with --mdm and cannot be had is no reason to skip: it is an error of the
-- infrastructure, each time it is asked for.
local function open_own(o)
  own.state, own.since = "opening", raw.now()
  local ok, server = pcall(raw.mdm_open, o, OF_THE_JOB)
  if ok then
    own.state, own.server = "open", server
    return
  end
  own.state = "closed"
  if raw.is_error(server) and server.op ~= "test" and server.code ~= "canceled" then
    server.infrastructure = true
    own.state, own.error = "failed", server
  end
  error(server, 0)
end

-- The run's server; skips the test where the run is to have none.
function M.default()
  local o, why = options_of_run()
  if not o then marks.raise("skip", why) end
  while own.state == "opening" and raw.now() < own.since + OPENING_MAX do raw.sleep(0.02) end
  if own.state == "closed" or own.state == "opening" then open_own(o) end
  if own.state == "failed" then error(own.error, 0) end
  return own.server
end

-- ---- what a class needs ----

local capabilities = {}
for _, name in ipairs(raw.mdm_capabilities()) do capabilities[name] = true end

local function check_capability(op, what)
  if capabilities[what] then return what end
  local near = type(what) == "string" and options.nearest(what, capabilities)
  options.invalid(op, "no such capability of an MDM server: " .. tostring(what)
    .. (near and "; did you mean '" .. near .. "'?" or ""))
end

-- `needs` of a class: "mdm", or "mdm.push" and the like.
function M.check_needs(value)
  local list, why = options.strings(value)
  if not list then return nil, why end
  for _, need in ipairs(list) do
    local what = need:match("^mdm%.(.*)$")
    if what then
      check_capability("vmtest.class: needs", what)
    elseif need ~= "mdm" then
      return nil, 'holds "' .. need .. '"; known are "mdm" and "mdm." with a capability, as in "mdm.push"'
    end
  end
  return list
end

-- Skips, with the reason, what the run's server cannot give.
function M.meet(needs)
  local server = M.default()
  for _, need in ipairs(needs) do
    local what = need:match("^mdm%.(.*)$")
    if what then
      local can, why = raw.mdm_supports(server, what)
      if not can then marks.raise("skip", "needs " .. need .. ": " .. why) end
    end
  end
end

-- ---- a server's methods ----

function Server:url() return raw.mdm_facts(self).url end
function Server:kind() return raw.mdm_facts(self).kind end
function Server:ca() return raw.mdm_facts(self).ca end
function Server:is_open() return raw.mdm_is_open(self) end
function Server:close() raw.mdm_close(self) end

function Server:supports(what)
  return raw.mdm_supports(self, check_capability("mdm.supports", what))
end

-- From 1 to 8191.
local function check_rights(value)
  local n = math.tointeger(value)
  if not n or n < 1 or n > 8191 then return nil, "is to be a whole number from 1 to 8191" end
  return n
end

M.enrollment_spec = {
  method = config.choice("pkcs12", "scep", "both"), address = text, topic = text,
  access_rights = check_rights, rsa = "boolean", valid = "duration", keep_on_remove = "boolean",
  display_name = text, timeout = "duration",
}

function Server:enrollment_profile(opts)
  return raw.mdm_enroll(self, options.check("mdm.enrollment_profile", M.enrollment_spec, opts))
end

function Server:devices(opts)
  local o = options.check("mdm.devices", { timeout = "duration" }, opts)
  return raw.mdm_devices(self, o.timeout or TIMEOUT)
end

-- What the server knows of a device, or nil.
function M.device(server, udid)
  for _, device in ipairs(raw.mdm_devices(server, TIMEOUT)) do
    if device.udid == udid then return device end
  end
end

-- An open server that an option may name.
function M.reference(value)
  if type(value) == "userdata" and pcall(raw.mdm_is_open, value) then return value end
  return nil, "is to be a server, as vmtest.mdm gives it"
end

M.methods = Server

raw.mdm_methods(function(_, key)
  local method = Server[key]
  if method == nil then
    local near = type(key) == "string" and options.nearest(key, Server)
    options.invalid("mdm", "an MDM server has no '" .. tostring(key) .. "'"
      .. (near and "; did you mean '" .. near .. "'?" or ""))
  end
  return method
end, function(server)
  if not raw.mdm_is_open(server) then return "MDM server (closed)" end
  local facts = raw.mdm_facts(server)
  return "MDM server " .. facts.kind .. " at " .. facts.url
end)

return M
