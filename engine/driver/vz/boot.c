/* Starting, and going back to a snapshot: the VM's files, a helper, what this host can, the
 * machine, go. A saved state is taken up by a machine that was just made, so a restore is a start
 * of another kind. */
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/vz/console.h"
#include "driver/vz/disks.h"
#include "driver/vz/host.h"
#include "driver/vz/machine.h"
#include "driver/vz/save.h"

struct vt_vz_boot {
    struct vt_vz *vz;
    struct vt_op *op;
    char *dir;     /* of the snapshot; NULL: a start */
    json_t *facts; /* of it */
    bool launched; /* vz->helper is the new one */
    struct vt_op *inner;
};

static void end(struct vt_vz_boot *self)
{
    struct vt_vz *vz = self->vz;
    if (self->inner)
        vt_op_forget(self->inner);
    if (vz->client)
        vt_monitor_forget(vz->client, self);
    vz->boot = NULL;
    vt_free(self->dir);
    json_decref(self->facts);
    vt_free(self);
}

void vt_vz_boot_fail(struct vt_vz *vz, const struct vt_error *why)
{
    struct vt_op *op = vz->boot->op;
    struct vt_error own = *why;
    end(vz->boot);
    vt_vz_drop_helper(vz, false);
    vt_op_fail(op, &own);
}

void vt_vz_boot_forget(struct vt_vz *vz, const struct vt_op *op)
{
    struct vt_vz_boot *self = vz->boot;
    if (!self || (op && self->op != op))
        return;
    end(self);
    if (vz->helper)
        vt_vz_helper_kill(vz->helper);
}

static void succeed(struct vt_vz_boot *self)
{
    struct vt_op *op = self->op;
    end(self);
    vt_op_succeed(op, NULL);
}

/* --- last: go --- */

static void on_running(const json_t *reply, const struct vt_error *why, void *user)
{
    struct vt_vz_boot *self = user;
    (void)reply;
    if (why)
        vt_vz_boot_fail(self->vz, why);
    else
        succeed(self);
}

static void on_restored(const json_t *reply, const struct vt_error *why, void *user)
{
    struct vt_vz_boot *self = user;
    (void)reply;
    if (why)
        vt_vz_boot_fail(self->vz, why);
    else if (!strcmp(vt_json_str(self->facts, "state", ""), "paused"))
        succeed(self);
    else
        vt_monitor_request(self->vz->client, "resume", NULL, on_running, self);
}

static void go(struct vt_vz_boot *self)
{
    struct vt_vz *vz = self->vz;
    if (!self->dir) {
        vt_monitor_request(vz->client, "start", vt_vz_start_members(vz), on_running, self);
        return;
    }
    char *state = vt_path_join(self->dir, VT_VZ_STATE_FILE);
    vt_monitor_request(vz->client, "restore", json_pack("{s:s}", "path", state), on_restored, self);
    vt_free(state);
}

/* --- the machine --- */

static void on_validated(const json_t *reply, const struct vt_error *why, void *user)
{
    struct vt_vz_boot *self = user;
    (void)reply;
    self->vz->not_saved = (struct vt_error)VT_ERROR_INIT;
    if (why)
        self->vz->not_saved = *why;
    go(self);
}

static void on_created(const json_t *reply, const struct vt_error *failed, void *user)
{
    struct vt_vz_boot *self = user;
    struct vt_error why = VT_ERROR_INIT;
    if (failed)
        why = *failed;
    else
        vt_vz_identity_take(self->vz, reply, &why);
    if (why.code)
        vt_vz_boot_fail(self->vz, &why);
    else
        vt_monitor_request(self->vz->client, "validate_save", NULL, on_validated, self);
}

static void on_host(const json_t *reply, const struct vt_error *failed, void *user)
{
    struct vt_vz_boot *self = user;
    struct vt_vz *vz = self->vz;
    struct vt_error why = VT_ERROR_INIT;
    if (failed) {
        why = *failed;
    } else {
        vt_vz_host_take(vz, reply);
        vt_vz_host_check(vz, &why);
        if (!why.code && self->dir) /* now the host is known */
            vt_vz_restore_check(vz, self->dir, self->facts, &why);
    }
    if (why.code)
        vt_vz_boot_fail(vz, &why);
    else
        vt_monitor_request(vz->client, "create", json_pack("{s:o}", "config", vt_vz_machine(vz)),
                           on_created, self);
}

void vt_vz_boot_hello(struct vt_vz_boot *self)
{
    vt_monitor_request(self->vz->client, "host", NULL, on_host, self);
}

/* --- its files --- */

static void on_files(struct vt_op *inner, void *user)
{
    struct vt_vz_boot *self = user;
    struct vt_vz *vz = self->vz;
    struct vt_error why = VT_ERROR_INIT;
    bool memory = !self->dir || vt_json_bool(self->facts, "memory", false);
    self->inner = NULL;
    if (vt_op_error(inner)) {
        why = *vt_op_error(inner);
    } else if (self->dir && memory) {
        const json_t *own = json_object_get(self->facts, VT_VZ_FACTS);
        vt_vz_identity_replace(vz, json_object_get(own, "identity"), &why);
    }
    if (!why.code && memory) {
        self->launched = true;
        vt_vz_watch(vz, &why);
    }
    if (why.code)
        vt_vz_boot_fail(vz, &why);
    else if (!memory)
        succeed(self);
}

static void begin(struct vt_vz_boot *self)
{
    struct vt_vz *vz = self->vz;
    const json_t *own = json_object_get(self->facts, VT_VZ_FACTS);
    self->inner = self->dir ? vt_vz_disks_restore(vz, self->dir, json_object_get(own, "files"),
                                                  on_files, self)
                            : vt_vz_disks_prepare(vz, on_files, self);
}

bool vt_vz_boot_ended(struct vt_vz_boot *self)
{
    if (self->launched)
        return false;
    vt_vz_drop_helper(self->vz, false);
    begin(self);
    return true;
}

static struct vt_vz_boot *new_boot(struct vt_vz *vz, struct vt_op *op)
{
    struct vt_vz_boot *self = vt_calloc(1, sizeof *self);
    self->vz = vz;
    self->op = op;
    vz->boot = self;
    return self;
}

void vt_vz_start(void *instance, struct vt_op *op)
{
    begin(new_boot(instance, op));
}

void vt_vz_restore(void *instance, const char *dir, const json_t *facts, struct vt_op *op)
{
    struct vt_vz *vz = instance;
    struct vt_vz_boot *self = new_boot(vz, op);
    self->dir = vt_strdup(dir);
    self->facts = json_deep_copy(facts);
    if (vz->helper)
        vt_vz_helper_kill(vz->helper); /* goes on when it is gone: its lock is free then */
    else
        begin(self);
}
