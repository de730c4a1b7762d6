/* What the functions over MDM servers share: options read from a table, results given to Lua. */
#ifndef VTL_MDM_CALL_H
#define VTL_MDM_CALL_H

#include "mdm.h"
#include "task.h"

/* A member of the options at `table`; the table keeps a text. */
const char *vtl_opt_text(lua_State *L, int table, const char *key); /* NULL: not there */
double vtl_opt_number(lua_State *L, int table, const char *key);    /* 0: not there */
bool vtl_opt_bool(lua_State *L, int table, const char *key);

/* Set a member of the table on top of the stack. A text that is NULL is left out. */
void vtl_set_text(lua_State *L, const char *key, const char *text);
void vtl_set_number(lua_State *L, const char *key, double value);
void vtl_set_bool(lua_State *L, const char *key, bool value);

/* The end of a wait: raises what failed, else push(L, result) and gives 1. */
int vtl_mdm_result(lua_State *L, void (*push)(lua_State *L, const void *result));

#endif
