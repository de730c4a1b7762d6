/* Going back to a snapshot: a new process on the snapshot's memory, mapped privately, with its
 * devices' state, on its layers with an empty one on top. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/facts.h"
#include "driver/qemu/files.h"
#include "driver/qemu/save.h"
#include "vmtest/accel.h"

#define OP "vm.restore"

struct vt_qemu_back {
    struct vt_qemu *q;
    struct vt_op *op;
    char *dir;
    json_t *facts;
    bool launched;          /* q->process is the new one */
    struct vt_op *inner;    /* the probe, or files being linked */
    struct vt_args *layers; /* of each disk: its new files */
    unsigned pending;
    bool arrived;
    struct vt_error error;
};

static void end(struct vt_qemu_back *self)
{
    struct vt_qemu *q = self->q;
    if (self->inner)
        vt_op_forget(self->inner);
    if (q->inner) /* of vt_qemu_prepare() */
        vt_op_forget(q->inner);
    q->inner = NULL;
    if (q->qmp)
        vt_monitor_forget(q->qmp, self);
    for (size_t i = 0; self->layers && i < q->disk_count; i++)
        vt_args_free(&self->layers[i]);
    vt_free(self->layers);
    vt_free(self->dir);
    json_decref(self->facts);
    q->back = NULL;
    vt_free(self);
}

void vt_qemu_back_fail(struct vt_qemu *q, const struct vt_error *why)
{
    struct vt_op *op = q->back->op;
    struct vt_error own = *why;
    end(q->back);
    vt_qemu_drop_process(q, false);
    vt_op_fail(op, &own);
}

static void succeed(struct vt_qemu_back *self)
{
    struct vt_op *op = self->op;
    end(self);
    vt_op_succeed(op, NULL);
}

/* --- last: forwards, and go --- */

static void on_running(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu_back *self = user;
    (void)result;
    if (why)
        vt_qemu_back_fail(self->q, why);
    else
        succeed(self);
}

static void on_forwarded(struct vt_qemu *q, const struct vt_error *why)
{
    struct vt_qemu_back *self = q->back;
    if (!self)
        return;
    if (why->code)
        vt_qemu_back_fail(q, why);
    else if (strcmp(vt_json_str(self->facts, "state", ""), "paused") != 0)
        vt_monitor_request(q->qmp, "cont", NULL, on_running, self);
    else
        succeed(self);
}

static void advance(struct vt_qemu_back *self)
{
    struct vt_qemu *q = self->q;
    if (self->pending)
        return;
    if (self->error.code) {
        struct vt_error why = self->error;
        vt_qemu_back_fail(q, &why);
    } else if (self->arrived) {
        vt_qemu_forwards_open(q, on_forwarded);
    }
}

/* A failure shows as the process's end, with its reason in the log. */
void vt_qemu_back_event(struct vt_qemu_back *self, const char *status)
{
    if (strcmp(status, "completed") != 0)
        return;
    self->arrived = true;
    advance(self);
}

/* --- the new process --- */

static void on_reply(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu_back *self = user;
    (void)result;
    self->pending--;
    if (why)
        vt_error_copy(&self->error, why);
    advance(self);
}

static void ask(struct vt_qemu_back *self, const char *name, json_t *args)
{
    self->pending++;
    vt_monitor_request(self->q->qmp, name, args, on_reply, self);
}

static enum vt_code launch(struct vt_qemu_back *self, struct vt_error *err)
{
    struct vt_qemu *q = self->q;
    struct vt_qemu_memory memory;
    char *state = vt_path_join(self->dir, VT_QEMU_STATE_FILE);
    char *path = vt_path_join(self->dir, VT_QEMU_MEMORY_FILE);
    int fd = open(state, O_RDONLY | O_CLOEXEC);
    vt_qemu_memory_of(&memory, vt_qemu_memory_size(q), path);
    enum vt_code code = fd < 0 ? vt_fail_sys(err, errno, OP, "cannot open %s", state)
                               : vt_qemu_launch(q, &memory, fd, err);
    vt_qemu_memory_clear(&memory);
    if (fd >= 0)
        close(fd);
    vt_free(state);
    vt_free(path);
    return code;
}

static void on_prepared(struct vt_qemu *q, const struct vt_error *failed)
{
    struct vt_qemu_back *self = q->back;
    struct vt_error why = *failed;
    if (!self)
        return;
    vt_qemu_forwards_again(q);
    if (why.code || launch(self, &why)) {
        vt_qemu_back_fail(q, &why);
        return;
    }
    self->launched = true;
    char uri[32];
    snprintf(uri, sizeof uri, "fd:%d", VT_QEMU_FD_FIRST);
    ask(self, "qmp_capabilities", NULL);
    ask(self, "migrate-set-capabilities", vt_qemu_migration_capabilities(true));
    ask(self, "migrate-incoming", json_pack("{s:s}", "uri", uri));
}

/* --- its disks --- */

/* The new layers become the disks', in one step for whoever reads disks.json; then the old go. */
static enum vt_code exchange(struct vt_qemu_back *self, struct vt_error *err)
{
    struct vt_qemu *q = self->q;
    struct vt_args old = VT_ARGS_INIT;
    enum vt_code code = VT_OK;
    for (size_t i = 0; i < q->disk_count; i++) {
        for (size_t k = 0; k < q->disks[i].count; k++)
            vt_args_add(&old, q->disks[i].layers[k]);
        vt_qemu_disk_replace(&q->disks[i], &self->layers[i]);
        if (!code)
            code = vt_qemu_disk_push(&q->disks[i], q->config->scratch_dir, err);
    }
    if (!code)
        code = vt_qemu_disks_save(q, err);
    for (size_t i = 0; !code && i < old.n; i++)
        unlink(old.v[i]);
    vt_args_free(&old);
    return code;
}

static void on_files(struct vt_op *inner, void *user)
{
    struct vt_qemu_back *self = user;
    struct vt_qemu *q = self->q;
    struct vt_error why = VT_ERROR_INIT;
    self->inner = NULL;
    if (vt_op_error(inner))
        why = *vt_op_error(inner);
    else
        exchange(self, &why);
    if (why.code)
        vt_qemu_back_fail(q, &why);
    else if (vt_json_bool(self->facts, "memory", false))
        vt_qemu_prepare(q, on_prepared);
    else
        succeed(self);
}

static void take_files(struct vt_qemu_back *self)
{
    struct vt_qemu *q = self->q;
    struct vt_qemu_files files = {.linked = VT_ARGS_INIT};
    self->layers = vt_calloc(q->disk_count + 1, sizeof *self->layers);
    for (size_t i = 0; i < q->disk_count; i++) {
        const json_t *names = vt_qemu_facts_layers(self->facts, q->disks[i].id);
        for (size_t k = 0; k < json_array_size(names); k++) {
            char *from = vt_path_join(self->dir, json_string_value(json_array_get(names, k)));
            char *to = vt_qemu_disk_next(&q->disks[i], q->config->scratch_dir);
            vt_args_add(&files.linked, from);
            vt_args_add(&files.linked, to);
            vt_args_add(&self->layers[i], to);
            vt_free(from);
            vt_free(to);
        }
    }
    self->inner = vt_qemu_files_run(q->loop, &files, on_files, self);
}

/* --- first --- */

static void on_accel(struct vt_op *inner, void *user)
{
    struct vt_qemu_back *self = user;
    struct vt_error why = VT_ERROR_INIT;
    self->inner = NULL;
    if (vt_op_error(inner)) {
        why = *vt_op_error(inner);
    } else {
        vt_qemu_take_accel(self->q, vt_op_result(inner));
        vt_qemu_facts_check(self->q, self->dir, self->facts, &why); /* now its accel is known */
    }
    if (why.code)
        vt_qemu_back_fail(self->q, &why);
    else
        take_files(self);
}

static void begin(struct vt_qemu_back *self)
{
    struct vt_qemu *q = self->q;
    const struct vt_accel_opts opts = {.arch = q->config->image->arch, .wanted = q->config->accel};
    struct vt_error why = VT_ERROR_INIT;
    self->inner = vt_accel_probe(q->loop, &opts, on_accel, self, &why);
    if (!self->inner)
        vt_qemu_back_fail(q, &why);
}

bool vt_qemu_back_ended(struct vt_qemu_back *self)
{
    if (self->launched)
        return false;
    vt_qemu_drop_process(self->q, false);
    begin(self);
    return true;
}

void vt_qemu_restore(void *instance, const char *dir, const json_t *facts, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_qemu_back *self = vt_calloc(1, sizeof *self);
    self->q = q;
    self->op = op;
    self->dir = vt_strdup(dir);
    self->facts = json_deep_copy(facts);
    q->back = self;
    q->saved = false;
    if (q->process)
        vt_qemu_process_kill(q->process); /* goes on when it is gone: its lock is free then */
    else
        begin(self);
}

enum vt_code vt_qemu_restore_check(void *instance, const char *dir, const json_t *facts,
                                   struct vt_error *err)
{
    return vt_qemu_facts_check(instance, dir, facts, err);
}

void vt_qemu_back_forget(struct vt_qemu *q, const struct vt_op *op)
{
    struct vt_qemu_back *self = q->back;
    if (!self || (op && self->op != op))
        return;
    end(self);
    if (q->process)
        vt_qemu_process_kill(q->process);
}
