/* Taking a snapshot: hold the guest, have its state saved, copy its files, let it go on. */
#include "driver/vz/save.h"

#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "driver/vz/disks.h"
#include "driver/vz/host.h"
#include "driver/vz/hot_disk.h"
#include "driver/vz/machine.h"

#define OP "vm.snapshot"

struct vt_vz_save {
    struct vt_vz *vz;
    struct vt_op *op;
    char *dir;
    json_t *facts;
    bool resume; /* the guest ran */
    bool held;
    struct vt_op *files;
};

static void end(struct vt_vz_save *self)
{
    struct vt_vz *vz = self->vz;
    if (self->files)
        vt_op_forget(self->files);
    if (vz->client)
        vt_monitor_forget(vz->client, self);
    vz->save = NULL;
    vt_free(self->dir);
    json_decref(self->facts);
    vt_free(self);
}

/* The guest goes on as it was; also after a failure half way. */
static void let_go(const struct vt_vz_save *self)
{
    if (self->held && self->resume && self->vz->client)
        vt_monitor_request(self->vz->client, "resume", NULL, NULL, NULL);
}

static void fail(struct vt_vz_save *self, const struct vt_error *why)
{
    struct vt_op *op = self->op;
    struct vt_error own = *why;
    let_go(self);
    end(self);
    vt_error_append(&own, " (the snapshot was given up)");
    vt_op_fail(op, &own);
}

void vt_vz_save_forget(struct vt_vz *vz, const struct vt_op *op)
{
    struct vt_vz_save *self = vz->save;
    if (!self || (op && self->op != op))
        return;
    let_go(self);
    end(self);
}

/* --- last: what restore needs to know --- */

static void add_facts(const struct vt_vz_save *self)
{
    const struct vt_vz *vz = self->vz;
    char host[65], machine[65];
    json_t *own = json_pack("{s:o, s:O}", "files", vt_vz_disks_facts(vz, self->dir), "identity",
                            vz->identity);
    if (vz->helper) {
        struct vt_buf hypervisor = VT_BUF_INIT;
        vt_vz_hypervisor(vz, &hypervisor);
        vt_vz_host_id(host);
        vt_vz_machine_digest(vz, machine);
        json_object_set_new(self->facts, "hypervisor", json_string(vt_buf_str(&hypervisor)));
        json_object_update_new(own, json_pack("{s:s, s:s, s:s, s:b}", "host", host, "machine",
                                              machine, "os_version", vt_vz_host_version(vz), "fake",
                                              (int)vz->fake));
        vt_buf_free(&hypervisor);
    }
    json_object_set_new(self->facts, VT_VZ_FACTS, own);
}

static void succeed(struct vt_vz_save *self)
{
    struct vt_op *op = self->op;
    add_facts(self);
    end(self);
    vt_op_succeed(op, NULL);
}

static void on_resumed(const json_t *reply, const struct vt_error *why, void *user)
{
    struct vt_vz_save *self = user;
    (void)reply;
    self->held = false;
    if (why)
        fail(self, why);
    else
        succeed(self);
}

/* --- first: hold, save, copy --- */

static void on_files(struct vt_op *inner, void *user)
{
    struct vt_vz_save *self = user;
    self->files = NULL;
    if (vt_op_error(inner))
        fail(self, vt_op_error(inner));
    else if (self->held && self->resume)
        vt_monitor_request(self->vz->client, "resume", NULL, on_resumed, self);
    else
        succeed(self);
}

static void copy_files(struct vt_vz_save *self)
{
    self->files = vt_vz_disks_save(self->vz, self->dir, on_files, self);
}

static void on_saved(const json_t *reply, const struct vt_error *why, void *user)
{
    struct vt_vz_save *self = user;
    (void)reply;
    if (why)
        fail(self, why);
    else
        copy_files(self);
}

static void save_state(struct vt_vz_save *self)
{
    char *path = vt_path_join(self->dir, VT_VZ_STATE_FILE);
    self->held = true;
    vt_monitor_request(self->vz->client, "save", json_pack("{s:s}", "path", path), on_saved, self);
    vt_free(path);
}

static void on_paused(const json_t *reply, const struct vt_error *why, void *user)
{
    struct vt_vz_save *self = user;
    (void)reply;
    if (why)
        fail(self, why);
    else
        save_state(self);
}

void vt_vz_snapshot(void *instance, const char *dir, json_t *facts, struct vt_op *op)
{
    struct vt_vz *vz = instance;
    struct vt_vz_save *self = vt_calloc(1, sizeof *self);
    struct vt_error why = VT_ERROR_INIT;
    self->vz = vz;
    self->op = op;
    self->dir = vt_strdup(dir);
    self->facts = json_incref(facts);
    self->resume = vt_vm_state(vz->vm) == VT_VM_RUNNING;
    vz->save = self;
    if (!vz->helper)
        copy_files(self);
    else if (vt_snapshot_check_room(dir, vt_vz_memory(vz), &why))
        fail(self, &why);
    else if (self->resume)
        vt_monitor_request(vz->client, "pause", NULL, on_paused, self);
    else
        save_state(self);
}

/* --- can it be done --- */

enum vt_code vt_vz_snapshot_check(void *instance, struct vt_error *err)
{
    const struct vt_vz *vz = instance;
    enum vt_code code = vt_snapshot_check_disks(vz->config, err);
    if (!code && vt_vz_hot_disks_block_snapshot(vz, err))
        code = VT_EUNSUPPORTED;
    if (code || !vz->helper || !vz->not_saved.code)
        return code;
    vt_fail(err, VT_EUNSUPPORTED, OP, "the framework cannot save VM %s as it is: %s",
            vz->config->name, vz->not_saved.message);
    vt_hint(err, "%s",
            vz->not_saved.hint[0] ? vz->not_saved.hint
                                  : "saving needs macOS 14; a stopped VM has snapshots anyway");
    return VT_EUNSUPPORTED;
}

static enum vt_code check_files(const struct vt_vz *vz, const char *dir, const json_t *own,
                                bool memory, struct vt_error *err)
{
    json_t *then = json_object_get(own, "files");
    json_t *now = vt_vz_disks_facts(vz, dir);
    enum vt_code code = VT_OK;
    const char *name;
    json_t *size;
    if (!json_is_object(then))
        code = vt_fail(err, VT_EPROTO, "vm.restore", "the snapshot %s names no files", dir);
    json_object_foreach(then, name, size)
    {
        const json_t *here = json_object_get(now, name);
        if (!code && (here || strcmp(name, VT_VZ_VARIABLES_FILE) != 0) && !json_equal(here, size))
            code = vt_fail(err, VT_ENOTFOUND, "vm.restore",
                           here ? "the snapshot's file %s/%s is not whole"
                                : "the snapshot's file %s/%s is missing",
                           dir, name);
    }
    json_object_foreach(now, name, size)
    {
        if (!code && !json_object_get(then, name))
            code = vt_fail(err, VT_ESTATE, "vm.restore", "the snapshot %s knows no %s", dir, name);
    }
    json_decref(now);
    return code || !memory ? code : vt_snapshot_check_file(dir, VT_VZ_STATE_FILE, -1, err);
}

static enum vt_code check_host(const struct vt_vz *vz, const char *dir, const json_t *own,
                               struct vt_error *err)
{
    const char *then = vt_json_str(own, "os_version", "?");
    char host[65];
    vt_vz_host_id(host);
    if (strcmp(vt_json_str(own, "host", ""), host) != 0) {
        vt_fail(err, VT_ESTATE, "vm.restore",
                "the snapshot %s holds the memory of a VM on another Mac, and such a state is "
                "encrypted to its host",
                dir);
    } else if (vz->host && vt_json_bool(own, "fake", false) != vz->fake) {
        vt_fail(err, VT_ESTATE, "vm.restore",
                "the snapshot %s was taken by %s framework; VM %s runs on %s one", dir,
                vz->fake ? "Apple's" : "a fake", vz->config->name, vz->fake ? "a fake" : "Apple's");
    } else if (vz->host && vt_vz_compare_versions(vt_vz_host_version(vz), then) < 0) {
        vt_fail(err, VT_ESTATE, "vm.restore",
                "the snapshot %s was taken on macOS %s; this host has macOS %s, which cannot read "
                "what a later one saved",
                dir, then, vt_vz_host_version(vz));
    } else {
        return VT_OK;
    }
    vt_hint(err, "take the snapshot anew on this host");
    return VT_ESTATE;
}

/* The machine that is to take up the state: with the snapshot's identity. */
static enum vt_code check_machine(struct vt_vz *vz, const char *dir, const json_t *own,
                                  struct vt_error *err)
{
    json_t *mine = vz->identity;
    char machine[65];
    vz->identity = json_object_get(own, "identity");
    vt_vz_machine_digest(vz, machine);
    vz->identity = mine;
    if (!strcmp(vt_json_str(own, "machine", ""), machine))
        return VT_OK;
    vt_fail(err, VT_ESTATE, "vm.restore",
            "the snapshot %s is of a machine with other devices than VM %s has now", dir,
            vz->config->name);
    vt_hint(err, "take the snapshot anew: the framework restores into the same machine alone");
    return VT_ESTATE;
}

enum vt_code vt_vz_restore_check(void *instance, const char *dir, const json_t *facts,
                                 struct vt_error *err)
{
    struct vt_vz *vz = instance;
    const json_t *own = json_object_get(facts, VT_VZ_FACTS);
    bool memory = vt_json_bool(facts, "memory", false);
    enum vt_code code = check_files(vz, dir, own, memory, err);
    if (!code && memory)
        code = check_host(vz, dir, own, err);
    if (!code && memory)
        code = check_machine(vz, dir, own, err);
    return code;
}
