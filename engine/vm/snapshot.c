/* Taking a snapshot: a folder aside, the driver's part, the facts, the folder's name. */
#include "vm/snapshot.h"

#include <math.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "loop/work.h"
#include "vm/internal.h"

#define SNAPSHOT_S 60.0 /* scaled */

/* What the committing thread holds. */
struct commit {
    struct vt__snapshot_stage stage;
    json_t *facts;
    bool durable;
    char *final;
};

struct snapshot_op {
    struct vm_op base;
    struct commit *commit; /* NULL once a thread has it */
    struct vt_op *kept;    /* that thread's operation, which owns the result */
};

static void free_commit(void *args)
{
    struct commit *c = args;
    vt__snapshot_stage_end(&c->stage);
    json_decref(c->facts);
    vt_free(c->final);
    vt_free(c);
}

static void snapshot_abort(struct vt_op *op, struct vt_error *why)
{
    struct vm_op *self = (struct vm_op *)(void *)op;
    vt__vm_op_forget_inner(self);
    vt_error_append(why, " (VM %s)", self->vm->config.name);
}

static void snapshot_free(struct vt_op *op)
{
    struct snapshot_op *self = (struct snapshot_op *)(void *)op;
    vt__vm_leave_exclusive(&self->base);
    vt__vm_op_detach(op);
    if (self->commit)
        free_commit(self->commit);
    if (self->kept)
        vt_op_drop(self->kept);
}

static const struct vt_op_class snapshot_class = {
    .name = "vm.snapshot", .abort = snapshot_abort, .free = snapshot_free};

static void snapshot_ended(struct vm_op *self)
{
    vt__vm_op_forget_inner(self);
    vt_op_fail(&self->op, &self->vm->end);
}

static enum vt_code commit_in_thread(void *args, const atomic_bool *cancelled, struct vt_error *err)
{
    struct commit *c = args;
    if (atomic_load(cancelled))
        return vt_fail(err, VT_ECANCELED, "vm.snapshot", "cancelled");
    return vt__snapshot_stage_commit(&c->stage, c->facts, c->durable, err);
}

static void on_committed(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    struct snapshot_op *snapshot = user;
    struct vt_vm *vm = self->vm;
    self->inner = NULL;
    if (vt_op_error(inner)) {
        vt_op_fail(&self->op, vt_op_error(inner));
        return;
    }
    vt_op_keep(inner);
    snapshot->kept = inner;
    struct commit *c = vt_op_result(inner);
    vt_free(vm->came_from);
    vm->came_from = vt_strdup(c->final);
    self->result = c->final;
    if (vm->driver->snapshot_holds && vm->state == VT_VM_RUNNING)
        vt__vm_settle(self);
    else
        vt_op_succeed(&self->op, c->final);
}

static void on_saved(struct vt_op *inner, void *user)
{
    struct vm_op *self = user;
    struct snapshot_op *snapshot = user;
    self->inner = NULL;
    if (vt_op_error(inner)) {
        vt_op_fail(&self->op, vt_op_error(inner));
        return;
    }
    if (self->vm->driver->snapshot_holds && self->vm->channel) {
        struct vt_error held = VT_ERROR_INIT;
        vt_fail(&held, VT_EGUEST, "vm", "VM %s was saved meanwhile, which cut its connections",
                self->vm->config.name);
        self->vm->channel->cls->drop(self->vm->channel, &held);
    }
    struct commit *c = snapshot->commit;
    snapshot->commit = NULL;
    self->inner =
        vt_work_run(self->op.loop, commit_in_thread, c, free_commit, INFINITY, on_committed, self);
}

static void call_snapshot(void *instance, struct vt_op *op, void *args)
{
    struct vm_op *self = args;
    struct commit *c = ((struct snapshot_op *)args)->commit;
    self->vm->driver->snapshot(instance, c->stage.path, c->facts, op);
}

static enum vt_code check(const struct vt_vm *vm, const struct vt_snapshot_opts *opts,
                          struct vt_error *err)
{
    unsigned states =
        1u << VT_VM_DEFINED | 1u << VT_VM_RUNNING | 1u << VT_VM_PAUSED | 1u << VT_VM_STOPPED;
    if (!opts->name || !vt_is_plain_name(opts->name))
        return vt_fail(err, VT_EINVAL, "vm.snapshot",
                       "\"%s\" cannot be a snapshot's name: 1 to 64 letters, digits, '.', '_', '-'",
                       opts->name ? opts->name : "");
    if (opts->dir && (opts->dir[0] != '/' || !vt_is_dir(opts->dir)))
        return vt_fail(err, VT_EINVAL, "vm.snapshot", "%s is no folder with an absolute path",
                       opts->dir);
    if (!vt_vm_supports(vm, VT_CAP_SNAPSHOT, err))
        return VT_EUNSUPPORTED;
    enum vt_code code = vt__vm_need_state(vm, states, "vm.snapshot", err);
    if (!code)
        code = vt__vm_need_idle(vm, "vm.snapshot", err);
    return code ? code : vm->driver->snapshot_check(vm->instance, err);
}

struct vt_op *vt_vm_snapshot(struct vt_vm *vm, const struct vt_snapshot_opts *opts, vt_op_fn done,
                             void *user, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct commit *c = vt_calloc(1, sizeof *c);
    char *dir = NULL;
    c->stage.lock_fd = -1;
    if (check(vm, opts, &own) == VT_OK)
        dir = opts->dir ? vt_strdup(opts->dir) : vt__snapshots_own_dir(vm, &own);
    if (!dir || vt__snapshot_stage_begin(&c->stage, dir, opts->name, &own)) {
        vt_free(dir);
        free_commit(c);
        vt_error_copy(err, &own);
        return NULL;
    }
    c->durable = opts->dir && !opts->transient;
    c->final = vt_path_join(dir, opts->name);
    c->facts = vt__snapshot_facts(vm, opts->name);
    vt_free(dir);
    double s = opts->timeout > 0 ? opts->timeout : SNAPSHOT_S * vt_vm_time_scale(vm);
    struct vm_op *self =
        vt__vm_op_new(vm, sizeof(struct snapshot_op), &snapshot_class, s, done, user);
    ((struct snapshot_op *)(void *)self)->commit = c;
    self->ended = snapshot_ended;
    vm->exclusive = self;
    self->inner = vt__vm_call_driver(vm, call_snapshot, self, on_saved, self);
    return &self->op;
}
