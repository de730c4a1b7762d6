/* The Lua host: what the engine's commands see of lua-api. */
#ifndef VMTEST_LUA_H
#define VMTEST_LUA_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtest/event.h"
#include "vmtest/job.h"

/* Runs one suite to its end in this process: loads it, runs its tests, writes events. Takes over
 * SIGTERM (stop soon: tear down, end VMs), SIGALRM and standard input, output and error. Returns an
 * enum vt_worker_exit; every VM it made is ended then, except those that --keep keeps.
 * `events` must have a descriptor of its own, closed on exec: what the suite starts inherits
 * standard output and error. The end of standard input means that the parent is gone. */
int vtl_run_job(const struct vt_job *job, struct vt_event_writer *events);

/* Writes "Lua 5.4.4" to lua, and "3.4 (/usr/share/lua/5.4/luaunit.lua)" to unit. False where
 * LuaUnit cannot be loaded: then unit says why. */
bool vtl_versions(char *lua, size_t lua_size, char *unit, size_t unit_size);

#endif
