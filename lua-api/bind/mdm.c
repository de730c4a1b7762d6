/* MDM servers: opened, asked what they can do, enrollment profiles, devices, packages. */
#include <string.h>

#include "bind.h"
#include "errors.h"
#include "give.h"
#include "mdm_call.h"

/* ---- opening ---- */

static int opened(lua_State *L, int status, lua_KContext context)
{
    struct vtl_mdm *m = lua_touserdata(L, -1);
    const struct vt_error *err;
    (void)status;
    (void)context;
    vtl_ended(L, &err);
    if (!err)
        return 1;
    luaL_unref(L, LUA_REGISTRYINDEX, m->ref);
    m->ref = LUA_NOREF;
    vtl_raise(L, err, NULL);
}

static void read_open_opts(lua_State *L, struct vt_mdm_opts *o)
{
    o->kind = vtl_opt_text(L, 1, "kind");
    o->url = vtl_opt_text(L, 1, "url");
    o->credentials = vtl_opt_text(L, 1, "credentials");
    o->ca_file = vtl_opt_text(L, 1, "ca_file");
    o->listen = vtl_opt_text(L, 1, "listen");
    o->control = vtl_opt_bool(L, 1, "control");
    o->state_dir = vtl_opt_text(L, 1, "state_dir");
    o->webhook_listen = vtl_opt_text(L, 1, "webhook_listen");
    o->webhook_url = vtl_opt_text(L, 1, "webhook_url");
    o->timeout = vtl_opt_number(L, 1, "timeout");
    lua_getfield(L, 1, "names");
    if (lua_istable(L, -1))
        o->names = vtl_string_list(L, lua_gettop(L));
}

/* mdm_open({kind, url, …, extra = JSON text}, scope or nil: the one of now): the server */
static int mdm_open(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    int scope = (int)luaL_optinteger(L, 2, vtl_host(L)->scope);
    if (vtl_host(L)->list_only)
        vtl_raise_code(L, VT_ESTATE, "vmtest.mdm",
                       "a list of tests was asked for, so no MDM server is started: they belong "
                       "into tests, setUp, setupClass or setupSuite, not at the top of a suite");
    struct vtl_task *t = vtl_enter(L, "vmtest.mdm");
    struct vt_error err = VT_ERROR_INIT;
    struct vt_mdm_opts o = {0};
    lua_settop(L, 2);
    read_open_opts(L, &o);
    const char *extra = vtl_opt_text(L, 1, "extra");
    struct vtl_mdm *m = vtl_mdm_push(L, scope);
    m->opener = t;
    json_t *object = extra ? json_loads(extra, 0, NULL) : NULL;
    o.extra = object;
    struct vt_op *op = vt_mdm_open(t->host->loop, &o, vtl_mdm_on_open, m, &err);
    json_decref(object);
    if (!op) {
        luaL_unref(L, LUA_REGISTRYINDEX, m->ref);
        m->ref = LUA_NOREF;
    }
    return vtl_wait(L, t, op, opened, &err, NULL);
}

/* mdm_close(server) */
static int mdm_close(lua_State *L)
{
    vtl_mdm_close(luaL_checkudata(L, 1, VTL_MDM));
    return 0;
}

/* ---- what it is ---- */

/* mdm_facts(server): {kind, url, ca} */
static int mdm_facts(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "mdm");
    lua_createtable(L, 0, 3);
    vtl_set_text(L, "kind", vt_mdm_kind(m->mdm));
    vtl_set_text(L, "url", vt_mdm_url(m->mdm));
    vtl_set_text(L, "ca", vt_mdm_ca_pem(m->mdm));
    return 1;
}

/* mdm_is_open(server) */
static int mdm_is_open(lua_State *L)
{
    const struct vtl_mdm *m = luaL_checkudata(L, 1, VTL_MDM);
    lua_pushboolean(L, m->mdm != NULL);
    return 1;
}

/* mdm_refused(server): the last request it refused, and seconds since; or nil */
static int mdm_refused(lua_State *L)
{
    const struct vtl_mdm *m = luaL_checkudata(L, 1, VTL_MDM);
    if (!*m->refused)
        return 0;
    lua_pushstring(L, m->refused);
    lua_pushnumber(L, vtl_now() - m->refused_at);
    return 2;
}

/* mdm_supports(server or nil, capability): true, or false, the reason and the way round */
static int mdm_supports(lua_State *L)
{
    const struct vtl_mdm *m = lua_isnil(L, 1) ? NULL : vtl_check_mdm(L, 1, "mdm.supports");
    enum vt_mdm_capability cap = vt_mdm_capability_parse(luaL_checkstring(L, 2));
    struct vt_error why = VT_ERROR_INIT;
    luaL_argcheck(L, cap != VT_MDM_CAPABILITY_COUNT_, 2, "no such capability");
    bool can = vt_mdm_supports(m ? m->mdm : NULL, cap, &why);
    lua_pushboolean(L, can);
    if (can)
        return 1;
    lua_pushstring(L, why.message);
    lua_pushstring(L, why.hint);
    return 3;
}

/* mdm_capabilities(): their names */
static int mdm_capabilities(lua_State *L)
{
    lua_createtable(L, VT_MDM_CAPABILITY_COUNT_, 0);
    for (int cap = 0; cap < VT_MDM_CAPABILITY_COUNT_; cap++) {
        lua_pushstring(L, vt_mdm_capability_name((enum vt_mdm_capability)cap));
        lua_rawseti(L, -2, cap + 1);
    }
    return 1;
}

/* mdm_kinds(): their names */
static int mdm_kinds(lua_State *L)
{
    const char *const *kinds = vt_mdm_kinds();
    lua_newtable(L);
    for (lua_Integer i = 0; kinds[i]; i++) {
        lua_pushstring(L, kinds[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- enrollment profiles ---- */

static void push_enrollment(lua_State *L, const void *result)
{
    const struct vt_mdm_enrollment *e = result;
    lua_createtable(L, 0, 3);
    lua_pushlstring(L, e->profile, e->profile_size);
    lua_setfield(L, -2, "profile");
    vtl_set_text(L, "ca", e->ca_pem);
    vtl_set_text(L, "id", e->id);
}

static int enrolled(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return vtl_mdm_result(L, push_enrollment);
}

/* mdm_enroll(server, {method, address, topic, …}): {profile, ca, id} */
static int mdm_enroll(lua_State *L)
{
    static const char *const methods[] = {
        [VT_MDM_PKCS12] = "pkcs12", [VT_MDM_SCEP] = "scep", [VT_MDM_BOTH] = "both", NULL};
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "mdm.enrollment_profile");
    luaL_checktype(L, 2, LUA_TTABLE);
    struct vt_error err = VT_ERROR_INIT;
    lua_getfield(L, 2, "method");
    struct vt_mdm_enrollment_opts o = {
        .method = (enum vt_mdm_method)luaL_checkoption(L, -1, "pkcs12", methods),
        .address = vtl_opt_text(L, 2, "address"),
        .topic = vtl_opt_text(L, 2, "topic"),
        .access_rights = (unsigned)vtl_opt_number(L, 2, "access_rights"),
        .rsa = vtl_opt_bool(L, 2, "rsa"),
        .valid = vtl_opt_number(L, 2, "valid"),
        .keep_on_remove = vtl_opt_bool(L, 2, "keep_on_remove"),
        .display_name = vtl_opt_text(L, 2, "display_name"),
        .timeout = vtl_opt_number(L, 2, "timeout")};
    struct vtl_task *t = vtl_enter(L, "mdm.enrollment_profile");
    return vtl_wait(L, t, vt_mdm_enroll(m->mdm, &o, vtl_on_op, t, &err), enrolled, &err, NULL);
}

/* ---- devices ---- */

static void push_device(lua_State *L, const void *result)
{
    static const char *const known[] = {
        [VT_MDM_UNKNOWN] = NULL, [VT_MDM_NO] = "no", [VT_MDM_YES] = "yes"};
    const struct vt_mdm_device *d = result;
    lua_createtable(L, 0, 16);
    vtl_set_text(L, "udid", d->udid);
    vtl_set_text(L, "state", vt_mdm_state_name(d->state));
    vtl_set_text(L, "reason", d->reason);
    vtl_set_text(L, "serial", d->serial);
    vtl_set_text(L, "name", d->name);
    vtl_set_text(L, "model", d->model);
    vtl_set_text(L, "os_version", d->os_version);
    vtl_set_text(L, "build_version", d->build_version);
    vtl_set_text(L, "product", d->product);
    vtl_set_text(L, "enrollment", d->enrollment);
    vtl_set_text(L, "user_approved", known[d->user_approved]);
    vtl_set_number(L, "enrolled_at", d->enrolled);
    vtl_set_number(L, "last_seen", d->last_seen);
    lua_pushinteger(L, d->queued);
    lua_setfield(L, -2, "queued");
    vtl_set_bool(L, "bootstrap_token", d->bootstrap_token);
    vtl_set_bool(L, "awaiting_configuration", d->awaiting);
    vtl_set_bool(L, "declarative", d->declarative);
}

static void push_devices(lua_State *L, const void *result)
{
    const struct vt_mdm_devices *list = result;
    lua_createtable(L, (int)list->n, 0);
    for (size_t i = 0; i < list->n; i++) {
        push_device(L, &list->v[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static int listed(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return vtl_mdm_result(L, push_devices);
}

/* mdm_devices(server, timeout): list of what the server knows */
static int mdm_devices(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "mdm.devices");
    double timeout = luaL_checknumber(L, 2);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "mdm.devices");
    return vtl_wait(L, t, vt_mdm_devices(m->mdm, timeout, vtl_on_op, t, &err), listed, &err, NULL);
}

static int device_came(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return vtl_mdm_result(L, push_device);
}

/* mdm_wait_device(server, {udid | serial | enrollment, state, seen, timeout}): the device */
static int mdm_wait_device(lua_State *L)
{
    static const char *const states[] = {"not_enrolled", "enrolling", "enrolled", NULL};
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "mdm.wait_device");
    luaL_checktype(L, 2, LUA_TTABLE);
    struct vt_error err = VT_ERROR_INIT;
    lua_getfield(L, 2, "state");
    struct vt_mdm_wait_opts o = {.udid = vtl_opt_text(L, 2, "udid"),
                                 .serial = vtl_opt_text(L, 2, "serial"),
                                 .enrollment = vtl_opt_text(L, 2, "enrollment"),
                                 .state =
                                     (enum vt_mdm_state)luaL_checkoption(L, -1, "enrolled", states),
                                 .seen = vtl_opt_bool(L, 2, "seen"),
                                 .timeout = vtl_opt_number(L, 2, "timeout")};
    struct vtl_task *t = vtl_enter(L, "mdm.wait_device");
    struct vt_op *op = vt_mdm_wait_device(m->mdm, &o, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, device_came, &err, NULL);
}

/* ---- packages ---- */

static void push_package(lua_State *L, const void *result)
{
    const struct vt_mdm_package *p = result;
    lua_createtable(L, 0, 4);
    vtl_set_text(L, "manifest_url", p->manifest_url);
    vtl_set_text(L, "sha256", p->sha256);
    lua_pushinteger(L, (lua_Integer)p->size);
    lua_setfield(L, -2, "size");
    vtl_give_json(L, json_deep_copy(p->manifest));
    lua_setfield(L, -2, "manifest");
}

static int served(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return vtl_mdm_result(L, push_package);
}

/* mdm_serve_package(server, {path, bundle_id, version, title, address, timeout}):
 * {manifest_url, manifest, sha256, size} */
static int mdm_serve_package(lua_State *L)
{
    const struct vtl_mdm *m = vtl_check_mdm(L, 1, "mdm.serve_package");
    luaL_checktype(L, 2, LUA_TTABLE);
    struct vt_error err = VT_ERROR_INIT;
    struct vt_mdm_package_opts o = {.path = vtl_opt_text(L, 2, "path"),
                                    .bundle_id = vtl_opt_text(L, 2, "bundle_id"),
                                    .version = vtl_opt_text(L, 2, "version"),
                                    .title = vtl_opt_text(L, 2, "title"),
                                    .address = vtl_opt_text(L, 2, "address"),
                                    .timeout = vtl_opt_number(L, 2, "timeout")};
    struct vtl_task *t = vtl_enter(L, "mdm.serve_package");
    struct vt_op *op = vt_mdm_serve_package(m->mdm, &o, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, served, &err, NULL);
}

/* mdm_methods(table, tostring): what indexing a server finds */
static int mdm_methods(lua_State *L)
{
    lua_settop(L, 2);
    luaL_getmetatable(L, VTL_MDM);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "__tostring");
    return 0;
}

void vtl_bind_mdm(lua_State *L)
{
    static const luaL_Reg functions[] = {{"mdm_open", mdm_open},
                                         {"mdm_close", mdm_close},
                                         {"mdm_facts", mdm_facts},
                                         {"mdm_is_open", mdm_is_open},
                                         {"mdm_refused", mdm_refused},
                                         {"mdm_supports", mdm_supports},
                                         {"mdm_capabilities", mdm_capabilities},
                                         {"mdm_kinds", mdm_kinds},
                                         {"mdm_enroll", mdm_enroll},
                                         {"mdm_devices", mdm_devices},
                                         {"mdm_wait_device", mdm_wait_device},
                                         {"mdm_serve_package", mdm_serve_package},
                                         {"mdm_methods", mdm_methods},
                                         {NULL, NULL}};
    vtl_mdm_metatable(L);
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
