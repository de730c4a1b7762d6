/* Property lists and JSON, read on the host. */
#include <string.h>

#include "bind.h"
#include "errors.h"
#include "give.h"
#include "vmtest/plist.h"

/* plist_parse(bytes, name for messages or nil): its value; data and dates are {"$data": …} and
 * {"$date": …} */
static int plist_parse(lua_State *L)
{
    size_t n;
    const char *data = luaL_checklstring(L, 1, &n);
    const char *what = luaL_optstring(L, 2, "property list");
    struct vt_error err = VT_ERROR_INIT;
    json_t *value = NULL;
    if (vt_plist_read(data, n, what, &value, &err))
        vtl_raise(L, &err, NULL);
    return vtl_give_json(L, value);
}

/* json_parse(text): its value, or nil and what is wrong; null is nil */
static int json_parse(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    json_error_t why;
    json_t *value = json_loadb(text, n, JSON_DECODE_ANY, &why);
    if (value)
        return vtl_give_json(L, value);
    lua_pushnil(L);
    lua_pushfstring(L, "line %d: %s", why.line, why.text);
    return 2;
}

/* profile_sign(bytes, path of the identity): the signed profile */
static int profile_sign(lua_State *L)
{
    size_t n, size = 0;
    const char *data = luaL_checklstring(L, 1, &n), *identity = luaL_checkstring(L, 2);
    struct vt_error err = VT_ERROR_INIT;
    void *der = NULL;
    if (vt_profile_sign(data, n, identity, &der, &size, &err))
        vtl_raise(L, &err, NULL);
    return vtl_give_text(L, der, size);
}

void vtl_bind_plist(lua_State *L)
{
    static const luaL_Reg functions[] = {{"plist_parse", plist_parse},
                                         {"json_parse", json_parse},
                                         {"profile_sign", profile_sign},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
