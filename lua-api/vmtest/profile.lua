-- Configuration profiles: vmtest.profile. Reference: docs/lua-api.md.
local raw = ...
local config = require "vmtest.config"
local options = require "vmtest.options"

local M = {}

local function path_of(op, value) return options.value(op, config.path, value, "the profile") end

-- "15.1", "15.1,27.0" or a list of such, as one text.
local function versions(value)
  local list, why = options.strings(value)
  if not list then return nil, why end
  return table.concat(list, ",")
end

function M.read(path) return raw.profile_read(path_of("vmtest.profile.read", path)) end

function M.lint(path, opts)
  local op = "vmtest.profile.lint"
  local o = options.check(op, { os = versions, schema = config.path }, opts)
  return raw.profile_lint(path_of(op, path), o.os, o.schema)
end

function M.diff(a, b)
  local op = "vmtest.profile.diff"
  return raw.profile_diff(path_of(op, a), path_of(op, b))
end

function M.conflicts(paths, opts)
  local op = "vmtest.profile.conflicts"
  local o = options.check(op, { schema = config.path }, opts)
  local list = {}
  for i, path in ipairs(options.value(op, options.strings, paths, "the list of profiles")) do
    list[i] = path_of(op, path)
  end
  return raw.profile_conflicts(list, o.schema)
end

return setmetatable(M, {
  __index = function(_, key)
    local near = type(key) == "string" and options.nearest(key, M)
    raw.raise("invalid", "vmtest.profile", "there is no vmtest.profile." .. tostring(key)
      .. (near and "; did you mean '" .. near .. "'?" or ""))
  end,
})
