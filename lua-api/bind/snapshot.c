/* Snapshots: taken, gone back to, listed, removed. */
#include <stdlib.h>
#include <string.h>

#include "action.h"
#include "bind.h"
#include "errors.h"
#include "give.h"

/* snapshots_dir(): the folder for snapshots that go with the job */
static int snapshots_dir(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    const char *dir = vtl_snapshots_dir(vtl_host(L), &err);
    if (!dir)
        vtl_raise(L, &err, NULL);
    lua_pushstring(L, dir);
    return 1;
}

/* snapshot_store(): the folder of those that are kept */
static int snapshot_store(lua_State *L)
{
    struct vt_error err = VT_ERROR_INIT;
    char *dir = vt_snapshot_store(&err);
    if (!dir)
        vtl_raise(L, &err, NULL);
    return vtl_give_text(L, dir, strlen(dir));
}

/* vm_snapshot(vm, name, dir or nil: the VM's own, timeout, transient): its folder */
static int vm_snapshot(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.snapshot");
    struct vt_error err = VT_ERROR_INIT;
    struct vt_snapshot_opts opts = {.name = luaL_checkstring(L, 2),
                                    .dir = luaL_optstring(L, 3, NULL),
                                    .timeout = luaL_optnumber(L, 4, 0),
                                    .transient = lua_toboolean(L, 5)};
    struct vtl_task *t = vtl_enter(L, "vm.snapshot");
    vtl_act_begin(L, "snapshot", opts.name, true);
    return vtl_act_wait(L, vt_vm_snapshot(v->vm, &opts, vtl_on_op, t, &err), &err);
}

/* vm_restore(vm, name or folder, timeout) */
static int vm_restore(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.restore");
    struct vt_error err = VT_ERROR_INIT;
    const char *path = luaL_checkstring(L, 2), *slash = strrchr(path, '/');
    double timeout = luaL_optnumber(L, 3, 0);
    struct vtl_task *t = vtl_enter(L, "vm.restore");
    vtl_act_begin(L, "restore", slash ? slash + 1 : path, false);
    struct vt_op *op = vt_vm_restore(v->vm, path, timeout, vtl_on_op, t, &err);
    return vtl_act_wait(L, op, &err);
}

static json_t *describe(const struct vt_snapshot *s)
{
    return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:b, s:I}", "name", s->name, "dir", s->dir,
                     "parent", s->parent, "created", s->created, "vm", s->vm, "memory",
                     (int)s->memory, "bytes", (json_int_t)s->bytes);
}

/* vm_snapshots(vm, dir or nil): those in dir, or the VM's own */
static int vm_snapshots(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.snapshots");
    const char *dir = luaL_optstring(L, 2, NULL);
    struct vt_error err = VT_ERROR_INIT;
    struct vt_snapshot *found = NULL;
    size_t n = 0;
    if (vt_vm_snapshots(v->vm, dir, &found, &n, &err))
        vtl_raise(L, &err, v->name);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, describe(&found[i]));
    vt_snapshots_free(found, n);
    return vtl_give_json(L, list);
}

/* vm_remove_snapshot(vm, folder, name) */
static int vm_remove_snapshot(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.remove_snapshot");
    const char *dir = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
    struct vt_error err = VT_ERROR_INIT;
    double started = vtl_now();
    enum vt_code code = vt_snapshot_remove(dir, &err);
    vtl_act_tell(v, "remove_snapshot", name, vtl_now() - started, code ? &err : NULL);
    if (code)
        vtl_raise(L, &err, v->name);
    return 0;
}

void vtl_bind_snapshots(lua_State *L)
{
    static const luaL_Reg functions[] = {{"snapshots_dir", snapshots_dir},
                                         {"snapshot_store", snapshot_store},
                                         {"vm_snapshot", vm_snapshot},
                                         {"vm_restore", vm_restore},
                                         {"vm_snapshots", vm_snapshots},
                                         {"vm_remove_snapshot", vm_remove_snapshot},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
