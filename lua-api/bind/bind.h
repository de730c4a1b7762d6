/* The raw functions that the face (the folder vmtest) is made of. Each vtl_bind_* adds its
 * functions to the table on top of the stack; each vtl_open_* changes a standard library in place.
 * All may raise. The face checks options; these check again what would be unsafe otherwise. */
#ifndef VTL_BIND_H
#define VTL_BIND_H

#include <lua.h>

void vtl_bind_events(lua_State *L);    /* plan, test_start, test_end, suite_error, log, … */
void vtl_bind_loop(lua_State *L);      /* sleep, now, fn_info */
void vtl_bind_units(lua_State *L);     /* duration, size, format_duration */
void vtl_bind_vm(lua_State *L);        /* vm_new, vm_start, …, scope, end_scope */
void vtl_bind_snapshots(lua_State *L); /* vm_snapshot, vm_restore, … */
void vtl_bind_devices(lua_State *L); /* vm_screenshot, vm_send_keys, vm_console_read, vm_share, … */
void vtl_bind_exec(lua_State *L);    /* vm_exec */
void vtl_bind_transfer(lua_State *L);    /* vm_transfer */
void vtl_bind_plist(lua_State *L);       /* plist_parse, json_parse */
void vtl_bind_mdm(lua_State *L);         /* mdm_open, mdm_enroll, mdm_devices, … */
void vtl_bind_mdm_devices(lua_State *L); /* mdm_enqueue, mdm_wait_answer, mdm_declare, … */
void vtl_bind_profile(lua_State *L);     /* profile_read, profile_lint, … */

void vtl_open_coroutines(lua_State *L);
void vtl_open_os(lua_State *L);

#endif
