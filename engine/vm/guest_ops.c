/* Commands and transfers in a VM's guest: connect where needed, pass on, and say it well when the
 * VM goes away meanwhile. */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "vm/internal.h"

#define CONNECT_S 30.0 /* to connect again; scaled */
#define VERDICT_S 3.0  /* after a lost connection, for a hypervisor to tell why; it can be slow */

enum kind { EXEC, TRANSFER };

struct guest_op {
    struct vm_op base;
    enum kind kind;
    union {
        struct vt_exec_opts exec;
        struct vt_transfer_opts transfer;
    } opts; /* own copies of everything while connecting, else unused */
    bool copied;
    struct vt_op *kept; /* the channel's ended operation, which owns the result */
    struct vt_timer verdict;
    struct vt_error lost; /* a lost connection, till we know why */
};

static void *copy_bytes(const void *data, size_t n)
{
    char *copy = data ? vt_malloc(n + 1) : NULL;
    if (copy) {
        memcpy(copy, data, n);
        copy[n] = '\0';
    }
    return copy;
}

static const char *const *copy_words(const char *const *words)
{
    size_t n = 0;
    while (words && words[n])
        n++;
    const char **copy = words ? vt_calloc(n + 1, sizeof *copy) : NULL;
    for (size_t i = 0; i < n; i++)
        copy[i] = vt_strdup(words[i]);
    return copy;
}

static void free_words(const char *const *words)
{
    for (size_t i = 0; words && words[i]; i++)
        vt_free_const(words[i]);
    vt_free_const(words);
}

static void copy_opts(struct guest_op *self, const void *opts)
{
    self->copied = true;
    if (self->kind == EXEC) {
        struct vt_exec_opts *o = &self->opts.exec;
        memcpy(o, opts, sizeof *o);
        o->command = vt_strdup(o->command);
        o->argv = copy_words(o->argv);
        o->env = copy_words(o->env);
        o->cwd = vt_strdup(o->cwd);
        o->input = copy_bytes(o->input, o->input_size);
    } else {
        struct vt_transfer_opts *o = &self->opts.transfer;
        memcpy(o, opts, sizeof *o);
        o->remote = vt_strdup(o->remote);
        o->local = vt_strdup(o->local);
        o->data = copy_bytes(o->data, o->size);
    }
}

static void free_opts(struct guest_op *self)
{
    if (!self->copied)
        return;
    if (self->kind == EXEC) {
        vt_free_const(self->opts.exec.command);
        free_words(self->opts.exec.argv);
        free_words(self->opts.exec.env);
        vt_free_const(self->opts.exec.cwd);
        vt_free_const(self->opts.exec.input);
    } else {
        vt_free_const(self->opts.transfer.remote);
        vt_free_const(self->opts.transfer.local);
        vt_free_const(self->opts.transfer.data);
    }
}

/* Takes over what the channel's operation has: its result lives as long as ours. */
static void keep_result(struct guest_op *self, struct vt_op *inner)
{
    vt_op_keep(inner);
    self->kept = inner;
    self->base.inner = NULL;
    self->base.op.result = vt_op_result(inner);
}

static void guest_abort(struct vt_op *op, struct vt_error *why)
{
    struct guest_op *self = (struct guest_op *)(void *)op;
    struct vt_op *inner = self->base.inner;
    vt_timer_clear(&self->verdict);
    if (inner) {
        inner->done = NULL;
        vt_op_cancel(inner);
        keep_result(self, inner); /* with what had arrived */
    }
    vt_error_append(why, " (VM %s)", self->base.vm->config.name);
}

static void guest_free(struct vt_op *op)
{
    struct guest_op *self = (struct guest_op *)(void *)op;
    vt_timer_clear(&self->verdict);
    vt__vm_op_detach(op);
    if (self->kept)
        vt_op_drop(self->kept);
    free_opts(self);
}

static const struct vt_op_class exec_class = {
    .name = "vm.exec", .abort = guest_abort, .free = guest_free};
static const struct vt_op_class transfer_class = {
    .name = "vm.transfer", .abort = guest_abort, .free = guest_free};

static void on_verdict(struct vt_timer *timer)
{
    struct guest_op *self = timer->user;
    vt_op_fail(&self->base.op, &self->lost);
}

static void fail(struct guest_op *self, const struct vt_error *why)
{
    struct vt_vm *vm = self->base.vm;
    self->lost = *why;
    if (why->code == VT_ETIMEDOUT && vm->state == VT_VM_PAUSED)
        vt_error_append(&self->lost, ": VM %s is paused", vm->config.name);
    if (why->code == VT_EGUEST && vm->state == VT_VM_RUNNING)
        vt_timer_set(&self->verdict, vm->loop, VERDICT_S, on_verdict, self);
    else
        vt_op_fail(&self->base.op, &self->lost);
}

static void on_done(struct vt_op *inner, void *user)
{
    struct guest_op *self = user;
    const struct vt_error *why = vt_op_error(inner);
    keep_result(self, inner);
    if (why)
        fail(self, why);
    else
        vt_op_succeed(&self->base.op, vt_op_result(inner));
}

static bool pass_on(struct guest_op *self, struct vt_channel *ch, const void *opts,
                    struct vt_error *err)
{
    self->base.inner = self->kind == EXEC ? ch->cls->exec(ch, opts, on_done, self, err)
                                          : ch->cls->transfer(ch, opts, on_done, self, err);
    return self->base.inner != NULL;
}

static void on_connected(struct vt_op *inner, void *user)
{
    struct guest_op *self = user;
    struct vt_error err = VT_ERROR_INIT;
    self->base.inner = NULL;
    if (vt_op_error(inner))
        fail(self, vt_op_error(inner));
    else if (!pass_on(self, self->base.vm->channel, &self->opts, &err))
        vt_op_fail(&self->base.op, &err);
}

static void guest_ended(struct vm_op *base)
{
    struct guest_op *self = (struct guest_op *)(void *)base;
    struct vt_op *inner = base->inner;
    vt_timer_clear(&self->verdict);
    if (inner) {
        inner->done = NULL;
        vt_op_cancel(inner);
        keep_result(self, inner);
    }
    vt_op_fail(&base->op, &base->vm->end);
}

/* A lost connection explained: the guest restarted. */
static void guest_restarted(struct vm_op *base)
{
    struct guest_op *self = (struct guest_op *)(void *)base;
    if (!vt_timer_is_set(&self->verdict))
        return;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EGUEST, base->op.cls->name, "VM %s restarted meanwhile",
            base->vm->config.name);
    vt_timer_clear(&self->verdict);
    vt_op_fail(&base->op, &why);
}

static struct vt_op *begin(struct vt_vm *vm, enum kind kind, const void *opts, vt_op_fn done,
                           void *user, struct vt_error *err)
{
    const struct vt_op_class *cls = kind == EXEC ? &exec_class : &transfer_class;
    unsigned states = 1u << VT_VM_RUNNING | 1u << VT_VM_PAUSED;
    if (!vt_vm_supports(vm, kind == EXEC ? VT_CAP_EXEC : VT_CAP_FILES, err) ||
        vt__vm_need_state(vm, states, cls->name, err))
        return NULL;
    struct vt_channel *ch = vt__vm_channel(vm, err);
    if (!ch)
        return NULL;
    /* the channel's operation has the deadline that the caller asked for */
    struct vm_op *base = vt__vm_op_new(vm, sizeof(struct guest_op), cls, INFINITY, done, user);
    struct guest_op *self = (struct guest_op *)(void *)base;
    self->kind = kind;
    base->ended = guest_ended;
    base->restarted = guest_restarted;
    struct vt_error own = VT_ERROR_INIT;
    bool going;
    if (ch->cls->connected(ch)) {
        going = pass_on(self, ch, opts, &own);
    } else {
        copy_opts(self, opts);
        base->inner =
            ch->cls->connect(ch, CONNECT_S * vt_vm_time_scale(vm), on_connected, self, &own);
        going = base->inner != NULL;
    }
    if (!going) {
        vt_op_forget(&base->op);
        vt_error_copy(err, &own);
        return NULL;
    }
    return &base->op;
}

struct vt_op *vt_vm_exec(struct vt_vm *vm, const struct vt_exec_opts *opts, vt_op_fn done,
                         void *user, struct vt_error *err)
{
    if (!(opts->timeout > 0)) {
        vt_fail(err, VT_EINVAL, "vm.exec", "a command needs a time-out above 0");
        return NULL;
    }
    return begin(vm, EXEC, opts, done, user, err);
}

struct vt_op *vt_vm_transfer(struct vt_vm *vm, const struct vt_transfer_opts *opts, vt_op_fn done,
                             void *user, struct vt_error *err)
{
    if (!(opts->timeout > 0) || !opts->remote) {
        vt_fail(err, VT_EINVAL, "vm.transfer",
                "a transfer needs a path in the guest and a time-out above 0");
        return NULL;
    }
    return begin(vm, TRANSFER, opts, done, user, err);
}
