/* Configuration profiles. */
#include "vmtest/profile.h"

#include "bind.h"
#include "errors.h"
#include "give.h"

#define MAX_PROFILES 1000

/* profile_read(path): what is in it, with all its content as it stands */
static int profile_read(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_profile *p;
    if (vt_profile_read(luaL_checkstring(L, 1), &p, &err))
        vtl_raise(L, &err, NULL);
    json_t *shown = vt_profile_show(p);
    json_object_set_new(shown, "content", vt_profile_content(p));
    vt_profile_free(p);
    return vtl_give_json(L, shown);
}

static int give_findings(lua_State *L, struct vt_findings *findings, const struct vt_error *err)
{
    json_t *list = vt_findings_json(findings);
    vt_findings_free(findings);
    if (!err->code)
        return vtl_give_json(L, list);
    json_decref(list);
    vtl_raise(L, err, NULL);
}

/* profile_lint(path, versions or nil, schema or nil): its findings */
static int profile_lint(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_findings findings = VT_FINDINGS_INIT;
    struct vt_profile *p = NULL;
    struct vt_facts *facts = NULL;
    const char *path = luaL_checkstring(L, 1), *versions = luaL_optstring(L, 2, NULL);
    const char *schema = luaL_optstring(L, 3, NULL);
    if (!vt_facts_open(schema, &facts, &err) && !vt_profile_read(path, &p, &err))
        vt_profile_lint(p, facts, versions, &findings, &err);
    vt_profile_free(p);
    vt_facts_free(facts);
    return give_findings(L, &findings, &err);
}

/* profile_diff(path, path): what differs */
static int profile_diff(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_profile *a = NULL, *b = NULL;
    json_t *changes = NULL;
    const char *first = luaL_checkstring(L, 1), *second = luaL_checkstring(L, 2);
    if (!vt_profile_read(first, &a, &err) && !vt_profile_read(second, &b, &err))
        changes = vt_profile_diff(a, b);
    vt_profile_free(a);
    vt_profile_free(b);
    if (err.code)
        vtl_raise(L, &err, NULL);
    return vtl_give_json(L, changes);
}

/* profile_conflicts(list of paths, schema or nil): their findings */
static int profile_conflicts(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_findings findings = VT_FINDINGS_INIT;
    struct vt_facts *facts = NULL;
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *schema = luaL_optstring(L, 2, NULL);
    size_t n = lua_rawlen(L, 1), read = 0;
    luaL_argcheck(L, n <= MAX_PROFILES, 1, "too many profiles");
    const char **paths = lua_newuserdatauv(L, (n + 1) * sizeof *paths, 0);
    struct vt_profile **profiles = lua_newuserdatauv(L, (n + 1) * sizeof(void *), 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        paths[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1); /* the table keeps it */
    }
    vt_facts_open(schema, &facts, &err);
    while (!err.code && read < n && !vt_profile_read(paths[read], &profiles[read], &err))
        read++;
    if (!err.code)
        vt_profile_conflicts(profiles, n, facts, &findings);
    while (read > 0)
        vt_profile_free(profiles[--read]);
    vt_facts_free(facts);
    return give_findings(L, &findings, &err);
}

void vtl_bind_profile(lua_State *L)
{
    static const luaL_Reg functions[] = {{"profile_read", profile_read},
                                         {"profile_lint", profile_lint},
                                         {"profile_diff", profile_diff},
                                         {"profile_conflicts", profile_conflicts},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
