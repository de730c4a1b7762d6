-- VMs: how they are asked for, and the methods of a VM object.
local raw = ...
local config = require "vmtest.config"
local enrollments = require "vmtest.enrollments"
local options = require "vmtest.options"

local M = {}
local VM = {}
local START, STOP, KILL, PAUSE, RESUME, REBOOT, RESET, WAIT_STOPPED = 0, 1, 2, 3, 4, 5, 6, 7

local EXEC_TIMEOUT, TRANSFER_TIMEOUT = 60, 300 -- seconds with hardware virtualization
local TAIL = 2000                              -- bytes of output shown in messages

local used_names = {}

M.check = config.check

local function unique(name)
  name = name:lower():gsub("[^%w._-]", "-"):gsub("^[^%w]+", "")
  name = name:sub(1, 50)
  if name == "" then name = "vm" end
  local candidate, n = name, 1
  while used_names[candidate] do
    n = n + 1
    candidate = name .. "-" .. n
  end
  used_names[candidate] = true
  return candidate
end

local function create(o, name)
  name = unique(name)
  return raw.vm_new(config.encode(o, name), name)
end

-- Calls fn(…). A VM that cannot be had is an error of the infrastructure, not of what is tested.
local function attempt(fn, ...)
  local ok, vm = pcall(fn, ...)
  if ok then return vm end
  if raw.is_error(vm) then vm.infrastructure = vm.code ~= "canceled" and vm.code ~= "state" end
  error(vm, 0)
end

local function make(o, name)
  if o.snapshot and not raw.job.dry_run then
    local dir = config.snapshot_folder(o.snapshot)
    name = unique(name)
    local vm = raw.vm_new_from(dir, name, false)
    enrollments.restore(vm, dir, o.boot_timeout or 0)
    return vm
  end
  local vm = create(o, name)
  if o.start ~= false then raw.vm_act(vm, START, o.boot_timeout or 0) end
  return vm
end

-- Makes (and starts) a VM of checked options.
function M.make(o, name) return attempt(make, o, name) end

local function make_from(o, dir, vm, name)
  if not vm then
    name = unique(name)
    vm = raw.vm_new_from(dir, name, false)
  end
  enrollments.restore(vm, dir, o.boot_timeout or 0)
  return vm
end

-- Puts a VM where the snapshot in the folder `dir` was taken: `vm`, or a new one.
function M.make_from(o, dir, vm, name) return attempt(make_from, o, dir, vm, name) end

function M.new(opts)
  local o = M.check("vmtest.vm", opts)
  return M.make(o, o.name or "vm")
end

-- Another VM that is where this one is now, its memory and disks included.
function VM:clone(opts)
  local op = "vm.clone"
  local o = options.check(op, { name = config.spec.name, timeout = "duration" }, opts)
  local can, why = raw.vm_supports(self, "copy")
  if not can then raw.raise("unsupported", op, why, nil, { vm = raw.vm_name(self) }) end
  local dir = enrollments.snapshot(self, unique("clone"), raw.snapshots_dir(), o.timeout or 0, true)
  local vm = raw.vm_new_from(dir, unique(o.name or raw.vm_name(self)), true)
  enrollments.restore(vm, dir, o.timeout or 0)
  return vm
end

-- ---- commands ----

local function check_env(value)
  if type(value) ~= "table" then return nil, "is to be a table of names and values" end
  local list = {}
  for name, text in pairs(value) do
    if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
      return nil, "has a name that no variable can have: " .. tostring(name)
    end
    if type(text) ~= "string" and type(text) ~= "number" then
      return nil, "has a value that is no text: " .. name
    end
    list[#list + 1] = name .. "=" .. text
  end
  table.sort(list)
  return list
end

local exec_spec = {
  timeout = "duration", stdin = "string", env = check_env, cwd = "string", pty = "boolean",
  limit = "limit", on_output = "callable",
}

local function check_command(op, cmd)
  if type(cmd) == "string" then
    if cmd:find("\0", 1, true) then options.invalid(op, "a command cannot hold a NUL byte") end
    return cmd, nil
  end
  if type(cmd) ~= "table" then
    options.invalid(op, "a command is to be a shell line or a list of words")
  end
  local words = {}
  for i, word in ipairs(cmd) do
    if math.type(word) then word = tostring(word) end
    if type(word) ~= "string" or word:find("\0", 1, true) then
      options.invalid(op, "word " .. i .. " of the command is no text")
    end
    words[i] = word
  end
  for key in pairs(cmd) do
    if math.type(key) ~= "integer" or key < 1 or key > #words then
      options.invalid(op, "a command is a plain list of words; '" .. tostring(key) .. "' does not belong there",
        "options are the second argument")
    end
  end
  if #words == 0 then options.invalid(op, "an empty command") end
  return nil, words
end

local function exec(op, vm, cmd, opts)
  local command, argv = check_command(op, cmd)
  local o = options.check(op, exec_spec, opts)
  if not o.timeout then o.timeout = EXEC_TIMEOUT * raw.vm_scale(vm) end
  if o.timeout <= 0 then options.invalid(op, "option 'timeout' is to be more than 0") end
  return raw.vm_exec(vm, command, argv, o)
end

function VM:exec(cmd, opts) return exec("vm.exec", self, cmd, opts) end

local function show_command(cmd)
  local text = type(cmd) == "table" and table.concat(cmd, " ") or cmd
  if #text > 300 then text = text:sub(1, 300) .. " ..." end
  return text
end

-- The end of what was written, printable: guests write what they like.
local function tail(text)
  if #text > TAIL then text = "... " .. text:sub(-TAIL) end
  return (text:gsub("[^\n\t\32-\126\128-\255]", "?"):gsub("%s+$", ""))
end

local function outcome(r)
  return r.signal and "was ended by signal " .. r.signal or "gave status " .. tostring(r.status)
end

function VM:sh(cmd, opts)
  local r = exec("vm.sh", self, cmd, opts)
  if r.status == 0 then return r end
  local shown = tail(r.stderr ~= "" and r.stderr or r.stdout)
  raw.raise("failed", "vm.sh", "`" .. show_command(cmd) .. "` " .. outcome(r)
    .. (shown ~= "" and ":\n" .. shown or ", without a word"), nil,
    { vm = self.name, status = r.status, signal = r.signal, stdout = r.stdout, stderr = r.stderr })
end

local wait_spec = {
  cmd = function(value)
    if type(value) == "string" or type(value) == "table" then return value end
    return nil, "is to be a shell line or a list of words"
  end,
  timeout = "duration", every = "duration", check = "callable", stdin = "string", env = check_env,
  cwd = "string",
}

local function last_said(r)
  if not r then return "it never ended" end
  if type(r) == "string" then return "the last try failed: " .. r end
  local parts = { "the last try " .. outcome(r) }
  for _, stream in ipairs { "stdout", "stderr" } do
    local shown = tail(r[stream])
    if shown ~= "" then parts[#parts + 1] = "--- " .. stream .. "\n" .. shown end
  end
  return table.concat(parts, "\n")
end

function VM:wait_until(opts)
  local op = "vm.wait_until"
  local o = options.check(op, wait_spec, opts)
  if not o.cmd then options.invalid(op, "it needs a command: cmd = \"...\"") end
  local command, argv = check_command(op, o.cmd)
  local timeout = o.timeout or 30 * raw.vm_scale(self)
  local until_time, every, last = raw.now() + timeout, o.every or 1, nil
  while true do
    local left = until_time - raw.now()
    if left <= 0 then
      raw.raise("timeout", op, "`" .. show_command(o.cmd) .. "` did not succeed within "
        .. raw.format_duration(timeout) .. "; " .. last_said(last), nil,
        { vm = self.name, stdout = type(last) == "table" and last.stdout or nil,
          stderr = type(last) == "table" and last.stderr or nil })
    end
    local ok, r = pcall(raw.vm_exec, self, command, argv,
      { timeout = left, stdin = o.stdin, env = o.env, cwd = o.cwd })
    if ok then
      last = r
      if o.check then
        if o.check(r) then return r end
      elseif r.status == 0 then
        return r
      end
    elseif raw.is_error(r) and (r.code == "guest" or r.code == "timeout") and r.op ~= "test" then
      if r.stdout and (r.stdout ~= "" or not last) then last = { stdout = r.stdout, stderr = r.stderr } end
      if r.code == "guest" then last = r.message end
    else
      error(r, 0)
    end
    raw.sleep(math.max(0, math.min(every, until_time - raw.now())))
  end
end

-- ---- files ----

local function transfer(op, vm, o, opts_spec, opts, paths)
  for what, path in pairs(paths) do
    if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
      options.invalid(op, "the " .. what .. " path is to be a text that is not empty")
    end
  end
  for key, value in pairs(options.check(op, opts_spec, opts)) do o[key] = value end
  if not o.timeout then o.timeout = TRANSFER_TIMEOUT * raw.vm_scale(vm) end
  if o.timeout <= 0 then options.invalid(op, "option 'timeout' is to be more than 0") end
  return raw.vm_transfer(vm, o)
end

local function check_mode(value)
  local mode = type(value) == "string" and value:find("^[0-7]+$") and tonumber(value, 8)
    or math.tointeger(value)
  if not mode or mode < 0 or mode > 4095 then
    return nil, 'is to be permission bits, as text in octal ("755") or as a number'
  end
  return mode
end

local put_spec = { timeout = "duration", mode = check_mode, verify = "boolean" }
local get_spec = { timeout = "duration", verify = "boolean" }
local read_spec = { timeout = "duration", limit = "limit" }

function VM:put(from, to, opts)
  return transfer("vm.put", self, { ["local"] = from, remote = to }, put_spec, opts,
    { host = from, guest = to })
end

function VM:get(from, to, opts)
  return transfer("vm.get", self, { get = true, ["local"] = to, remote = from }, get_spec, opts,
    { host = to, guest = from })
end

function VM:read(from, opts)
  local r = transfer("vm.read", self, { get = true, remote = from }, read_spec, opts, { guest = from })
  return r.data or ""
end

function VM:write(to, text, opts)
  if type(text) ~= "string" then options.invalid("vm.write", "the contents are to be a string") end
  return transfer("vm.write", self, { remote = to, data = text }, put_spec, opts, { guest = to })
end

-- ---- state ----

local timeout_spec = { timeout = "duration" }

local function act(op, action, spec_of_it)
  return function(self, opts)
    local o = options.check(op, spec_of_it, opts)
    raw.vm_act(self, action, o.timeout or 0)
    return self
  end
end

VM.start = act("vm.start", START, timeout_spec)
VM.stop = act("vm.stop", STOP, timeout_spec)
VM.kill = act("vm.kill", KILL, {})
VM.pause = act("vm.pause", PAUSE, {})
VM.resume = act("vm.resume", RESUME, {})

function VM:reboot(opts)
  local o = options.check("vm.reboot", { timeout = "duration", hard = "boolean" }, opts)
  raw.vm_act(self, o.hard and RESET or REBOOT, o.timeout or 0)
  return self
end

function VM:wait_stopped(opts)
  local o = options.check("vm.wait_stopped", timeout_spec, opts)
  raw.vm_act(self, WAIT_STOPPED, o.timeout or 60 * raw.vm_scale(self))
  return self
end

function VM:state() return raw.vm_state(self) end
function VM:info() return raw.vm_info(self) end
function VM:scale() return raw.vm_scale(self) end
function VM:destroy() raw.vm_end(self, false) end
function VM:is_alive() return raw.vm_alive(self) end

-- ---- what it can do ----

M.capabilities = raw.capabilities()

local capabilities = {}
for _, name in ipairs(M.capabilities) do capabilities[name] = true end

function VM:supports(what)
  if not capabilities[what] then
    local near = type(what) == "string" and options.nearest(what, capabilities)
    options.invalid("vm.supports", "no such capability: " .. tostring(what)
      .. (near and "; did you mean '" .. near .. "'?" or ""))
  end
  return raw.vm_supports(self, what)
end

for _, part in ipairs { "vmtest.devices", "vmtest.snapshots", "vmtest.enroll", "vmtest.preferences" } do
  for name, method in pairs(require(part)) do VM[name] = method end
end

raw.vm_methods(function(vm, key)
  if key == "name" then return raw.vm_name(vm) end
  local method = VM[key]
  if method == nil then
    local near = type(key) == "string" and options.nearest(key, VM)
    raw.raise("invalid", "vm", "a VM has no '" .. tostring(key) .. "'"
      .. (near and "; did you mean '" .. near .. "'?" or ""))
  end
  return method
end, function(vm) return "VM " .. raw.vm_name(vm) end)

M.methods = VM
return M
