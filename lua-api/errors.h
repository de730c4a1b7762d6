/* Errors as Lua sees them: one table {code, op, message, vm, hint, where} with a metatable. */
#ifndef VTL_ERRORS_H
#define VTL_ERRORS_H

#include "host.h"

#define VTL_ERROR "vmtest.error"

/* Pushes the error object. `vm` may be NULL. */
void vtl_push_error(lua_State *L, const struct vt_error *err, const char *vm);

/* The same for a failed guest operation, under the name that suites know it by: `op`. */
void vtl_push_guest_error(lua_State *L, const struct vt_error *err, const char *vm, const char *op);
_Noreturn void vtl_raise(lua_State *L, const struct vt_error *err, const char *vm);
_Noreturn void vtl_raise_code(lua_State *L, enum vt_code code, const char *op, const char *fmt, ...)
    VT_PRINTF(4, 5);

/* Pushes "suite.lua:12" for the innermost code that is not of the face, or "" where there is
 * none. */
void vtl_push_where(lua_State *L);

/* A new trace of the stack without the host's own frames, free()d by the caller. */
char *vtl_trace(lua_State *of);

void vtl_bind_errors(lua_State *L);

#endif
