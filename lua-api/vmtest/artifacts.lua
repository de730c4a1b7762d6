-- What a failing test leaves to look at: of each VM that is there, what its screen shows and the end
-- of its console, in the results folder.
local raw = ...

local M = {}

local LIMIT = 5      -- seconds for all of it: a guest that hangs may not delay the run
local CONSOLE = 16384 -- bytes of the console

local used = {}

-- Part of a file's name that is the test's, and no other's.
local function label(test)
  local name = test:gsub("[^%w._-]", "-"):sub(1, 100)
  local candidate, n = name, 1
  while used[candidate] do
    n = n + 1
    candidate = name .. "-" .. n
  end
  used[candidate] = true
  return candidate
end

local function write(path, text)
  local file = io.open(raw.job.results .. "/" .. path, "wb")
  if not file then return false end
  local ok = file:write(text)
  return file:close() and ok
end

-- Nothing that goes wrong here is the test's business: the VM's transcript tells of it.
local function capture_one(vm, name, list)
  local base = raw.vm_name(vm) .. "/failure-" .. name
  local ok, text = pcall(raw.vm_console_tail, vm, CONSOLE)
  if ok and text ~= "" and write(base .. ".txt", text) then list[#list + 1] = base .. ".txt" end
  local state = raw.vm_state(vm)
  if (state == "running" or state == "paused") and raw.vm_supports(vm, "screenshot") then
    if pcall(raw.vm_screenshot, vm, raw.job.results .. "/" .. base .. ".png") then
      list[#list + 1] = base .. ".png"
    end
  end
end

-- Paths relative to the job's results, or nil where there is nothing to look at.
function M.capture(test)
  local vms = raw.vms()
  if #vms == 0 then return nil end
  local name, list, calls = label(test), {}, {}
  for i, vm in ipairs(vms) do
    calls[i] = function() capture_one(vm, name, list) end
  end
  raw.guard(LIMIT, true, raw.parallel, table.unpack(calls))
  table.sort(list)
  return #list > 0 and list or nil
end

return M
