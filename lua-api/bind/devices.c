/* The screen, the keyboard, the console, shares and disks of a VM. */
#include <stdlib.h>
#include <string.h>

#include "action.h"
#include "bind.h"
#include "errors.h"
#include "give.h"

/* vm_screenshot(vm, absolute path) */
static int vm_screenshot(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.screenshot");
    const char *path = luaL_checkstring(L, 2);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "vm.screenshot");
    vtl_act_begin(L, "screenshot", path, false);
    return vtl_act_wait(L, vt_vm_screenshot(v->vm, path, vtl_on_op, t, &err), &err);
}

/* vm_send_keys(vm, list of chords, the same as text) */
static int vm_send_keys(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.send_keys");
    struct vt_error err = VT_ERROR_INIT;
    luaL_checktype(L, 2, LUA_TTABLE);
    const char *text = luaL_checkstring(L, 3);
    struct vtl_task *t = vtl_enter(L, "vm.send_keys");
    size_t n = lua_rawlen(L, 2);
    const char **chords = lua_newuserdatauv(L, (n + 1) * sizeof *chords, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        chords[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1); /* the table keeps it */
    }
    chords[n] = NULL;
    vtl_act_begin(L, "send_keys", text, false);
    return vtl_act_wait(L, vt_vm_send_keys(v->vm, chords, vtl_on_op, t, &err), &err);
}

/* vm_type(vm, text): what is typed may be a password, and is told to nobody */
static int vm_type(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.type");
    const char *text = luaL_checkstring(L, 2);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "vm.type");
    vtl_act_begin(L, "type", NULL, false);
    return vtl_act_wait(L, vt_vm_type_text(v->vm, text, vtl_on_op, t, &err), &err);
}

/* vm_console_write(vm, text) */
static int vm_console_write(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.console");
    struct vt_error err = VT_ERROR_INIT;
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n);
    enum vt_code code = vt_vm_console_write(v->vm, text, n, &err);
    vtl_act_tell(v, "console_write", NULL, 0, code ? &err : NULL);
    if (code)
        vtl_raise(L, &err, v->name);
    return 0;
}

/* vm_console_read(vm, offset): what the console has said from there on, and where to go on */
static int vm_console_read(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.console");
    uint64_t offset = (uint64_t)luaL_checkinteger(L, 2);
    char *text = NULL;
    size_t n = 0;
    vt_vm_console_read(v->vm, &offset, &text, &n);
    vtl_give_text(L, text, n);
    lua_pushinteger(L, (lua_Integer)offset);
    return 2;
}

static int waited(lua_State *L, int status, lua_KContext context)
{
    const struct vt_error *err;
    const struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    (void)status;
    (void)context;
    vtl_ended(L, &err);
    if (err && err->code == VT_ETIMEDOUT && !vtl_interrupt(vtl_host(L)->current)) {
        lua_pushboolean(L, false);
        return 1;
    }
    if (err)
        vtl_raise(L, err, v->name);
    lua_pushboolean(L, true);
    return 1;
}

/* vm_console_wait(vm, offset, timeout): whether it has said more than that */
static int vm_console_wait(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.console");
    uint64_t offset = (uint64_t)luaL_checkinteger(L, 2);
    double timeout = luaL_checknumber(L, 3);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "vm.console");
    struct vt_op *op = vt_vm_console_wait(v->vm, offset, timeout, vtl_on_op, t, &err);
    return vtl_wait(L, t, op, waited, &err, v->name);
}

/* vm_share(vm, name, absolute path, read_only) */
static int vm_share(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.share");
    struct vt_share share = {.name = luaL_checkstring(L, 2),
                             .path = luaL_checkstring(L, 3),
                             .read_only = lua_toboolean(L, 4)};
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "vm.share");
    vtl_act_begin(L, "share", share.name, false);
    return vtl_act_wait(L, vt_vm_share(v->vm, &share, vtl_on_op, t, &err), &err);
}

/* vm_unshare(vm, name) */
static int vm_unshare(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.unshare");
    const char *name = luaL_checkstring(L, 2);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "vm.unshare");
    vtl_act_begin(L, "unshare", name, false);
    return vtl_act_wait(L, vt_vm_unshare(v->vm, name, vtl_on_op, t, &err), &err);
}

/* vm_resize_disk(vm, name, bytes) */
static int vm_resize_disk(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.resize_disk");
    const char *name = luaL_checkstring(L, 2);
    uint64_t size = (uint64_t)luaL_checkinteger(L, 3);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "vm.resize_disk");
    vtl_act_begin(L, "resize_disk", name, false);
    return vtl_act_wait(L, vt_vm_resize_disk(v->vm, name, size, vtl_on_op, t, &err), &err);
}

/* vm_attach_disk(vm, name, bytes or 0, absolute path or nil, format or nil, read_only, direct) */
static int vm_attach_disk(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.attach_disk");
    struct vt_disk disk = {.name = luaL_checkstring(L, 2),
                           .size = (uint64_t)luaL_checkinteger(L, 3),
                           .path = luaL_optstring(L, 4, NULL),
                           .format = luaL_optstring(L, 5, NULL),
                           .read_only = lua_toboolean(L, 6),
                           .direct = lua_toboolean(L, 7)};
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "vm.attach_disk");
    vtl_act_begin(L, "attach_disk", disk.name, false);
    return vtl_act_wait(L, vt_vm_attach_disk(v->vm, &disk, vtl_on_op, t, &err), &err);
}

/* vm_detach_disk(vm, name) */
static int vm_detach_disk(lua_State *L)
{
    struct vtl_vm *v = vtl_check_vm(L, 1, "vm.detach_disk");
    const char *name = luaL_checkstring(L, 2);
    struct vt_error err = VT_ERROR_INIT;
    struct vtl_task *t = vtl_enter(L, "vm.detach_disk");
    vtl_act_begin(L, "detach_disk", name, false);
    return vtl_act_wait(L, vt_vm_detach_disk(v->vm, name, vtl_on_op, t, &err), &err);
}

/* vm_note(vm, what, text or nil, seconds, error's message or nil): tells of what the face did */
static int vm_note(lua_State *L)
{
    struct vtl_vm *v = luaL_checkudata(L, 1, VTL_VM);
    struct vt_error err = VT_ERROR_INIT;
    const char *name = luaL_checkstring(L, 2), *text = luaL_optstring(L, 3, NULL);
    double seconds = luaL_checknumber(L, 4);
    const char *failed = luaL_optstring(L, 5, NULL);
    if (failed)
        vt_fail(&err, VT_EGUEST, name, "%s", failed);
    vtl_act_tell(v, name, text, seconds, failed ? &err : NULL);
    return 0;
}

void vtl_bind_devices(lua_State *L)
{
    static const luaL_Reg functions[] = {{"vm_screenshot", vm_screenshot},
                                         {"vm_send_keys", vm_send_keys},
                                         {"vm_type", vm_type},
                                         {"vm_console_write", vm_console_write},
                                         {"vm_console_read", vm_console_read},
                                         {"vm_console_wait", vm_console_wait},
                                         {"vm_share", vm_share},
                                         {"vm_unshare", vm_unshare},
                                         {"vm_resize_disk", vm_resize_disk},
                                         {"vm_attach_disk", vm_attach_disk},
                                         {"vm_detach_disk", vm_detach_disk},
                                         {"vm_note", vm_note},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
