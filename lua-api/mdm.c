/* How an MDM server is opened and closed, and what it tells by itself. */
#include "mdm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "task.h"

void vtl_mdm_close(struct vtl_mdm *m)
{
    struct vtl_host *h = m->host;
    if (!m->mdm)
        return;
    struct vt_mdm *mdm = m->mdm;
    m->mdm = NULL;
    vt_mdm_close(mdm);
    for (struct vtl_mdm **at = &h->mdms; *at; at = &(*at)->next) {
        if (*at == m) {
            *at = m->next;
            break;
        }
    }
    luaL_unref(h->L, LUA_REGISTRYINDEX, m->ref);
    m->ref = LUA_NOREF;
}

void vtl_mdms_end_scope(struct vtl_host *h, int from)
{
    for (struct vtl_mdm *m = h->mdms, *next; m; m = next) {
        next = m->next;
        if (m->scope >= from)
            vtl_mdm_close(m);
    }
}

void vtl_mdms_end(struct vtl_host *h)
{
    while (h->mdms)
        vtl_mdm_close(h->mdms);
}

struct vtl_mdm *vtl_check_mdm(lua_State *L, int arg, const char *op)
{
    struct vtl_mdm *m = luaL_checkudata(L, arg, VTL_MDM);
    if (!m->mdm)
        vtl_raise_code(L, VT_ESTATE, op,
                       "the MDM server is closed: it belonged to a test, a class or a block that "
                       "is over");
    return m;
}

/* Into the run's events; what was refused is kept, too, as the reason of what fails next. */
static void on_event(const json_t *event, void *user)
{
    struct vtl_mdm *m = user;
    const char *type = json_string_value(json_object_get(event, "type"));
    const char *reason = json_string_value(json_object_get(event, "reason"));
    if (type && !strcmp(type, "refused") && reason) {
        snprintf(m->refused, sizeof m->refused, "%s", reason);
        m->refused_at = vtl_now();
    }
    char *text = json_dumps(event, JSON_COMPACT);
    struct vtl_line *l = vtl_event(m->host, "mdm");
    vtl_line_str(l, "server", vt_mdm_url(m->mdm));
    if (text) {
        vtl_line_key(l, "event");
        vtl_line_raw(l, text);
    }
    free(text);
    vtl_event_end(m->host);
}

struct vtl_mdm *vtl_mdm_push(lua_State *L, int scope)
{
    struct vtl_mdm *m = lua_newuserdatauv(L, sizeof *m, 0);
    *m = (struct vtl_mdm){.host = vtl_host(L), .ref = LUA_NOREF, .scope = scope};
    luaL_setmetatable(L, VTL_MDM);
    lua_pushvalue(L, -1);
    m->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return m;
}

void vtl_mdm_on_open(struct vt_op *op, void *mdm)
{
    struct vtl_mdm *m = mdm;
    if (!vt_op_error(op)) {
        m->mdm = vt_op_result(op);
        m->next = m->host->mdms;
        m->host->mdms = m;
        vt_mdm_on_event(m->mdm, on_event, m);
    }
    vtl_on_op(op, m->opener);
}

static int mdm_gc(lua_State *L)
{
    vtl_mdm_close(luaL_checkudata(L, 1, VTL_MDM));
    return 0;
}

void vtl_mdm_metatable(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__gc", mdm_gc}, {"__close", mdm_gc}, {NULL, NULL}};
    luaL_newmetatable(L, VTL_MDM);
    luaL_setfuncs(L, meta, 0);
}
