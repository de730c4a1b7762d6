/* What is under way on a VM: a job of several steps. Whoever asked for it may give it up; a job
 * that has the VM stand still goes on all the same, so that the VM does not stay so. */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "driver/tart/command.h"
#include "driver/tart/instance.h"

#define COMMAND_S                                                                                  \
    600.0 /* a copy between file systems takes its time; vm's deadline ends it before */

void vt_tart_drop(struct vt_tart *t)
{
    vt_timer_clear(&t->job.timer);
    if (t->job.inner)
        vt_op_forget(t->job.inner);
    t->job = (struct vt_tart_job){.op = NULL};
    if (!t->process)
        vt_tart_drop_process(t);
}

void vt_tart_begin(struct vt_tart *t, const char *op, struct vt_op *asked, bool starts)
{
    vt_tart_drop(t);
    t->job.op = op;
    t->job.asked = asked;
    t->job.starts = starts;
}

void vt_tart_done(struct vt_tart *t)
{
    struct vt_op *asked = t->job.asked;
    vt_tart_drop(t);
    if (asked)
        vt_op_succeed(asked, NULL);
}

void vt_tart_fail(struct vt_tart *t, const struct vt_error *why)
{
    struct vt_op *asked = t->job.asked;
    struct vt_error own = *why;
    bool starts = t->job.starts;
    vt_tart_drop(t);
    if (starts) /* half started */
        vt_tart_drop_process(t);
    if (asked)
        vt_op_fail(asked, &own);
    if (!starts && !t->process)
        vt_vm_ended(t->vm, true, own.message);
}

static void on_step(struct vt_op *inner, void *user)
{
    struct vt_tart *t = user;
    struct vt_error why = VT_ERROR_INIT;
    const struct vt_process_result *r = vt_op_result(inner);
    void (*failing)(struct vt_tart *, const struct vt_error *) = t->job.failing;
    t->job.inner = NULL;
    if (!vt_tart_outcome(inner, t->job.op, t->job.doing, &why))
        t->job.next(t, r->out, r->out_size);
    else if (failing)
        failing(t, &why);
    else
        vt_tart_fail(t, &why);
}

void vt_tart_step(struct vt_tart *t, const char *doing, const char *const *words,
                  vt_tart_next_fn next,
                  void (*failing)(struct vt_tart *t, const struct vt_error *why))
{
    struct vt_args args = VT_ARGS_INIT;
    struct vt_error why = VT_ERROR_INIT;
    for (; *words; words++)
        vt_args_add(&args, *words);
    snprintf(t->job.doing, sizeof t->job.doing, "VM %s: %s", t->config->name, doing);
    t->job.next = next;
    t->job.failing = failing;
    t->job.inner = vt_tart_command(t->loop, t->job.op, &args, COMMAND_S, on_step, t, &why);
    vt_args_free(&args);
    if (!t->job.inner)
        vt_tart_fail(t, &why);
}

static void on_got(struct vt_tart *t, const char *said, size_t n)
{
    struct vt_tart_vm own;
    struct vt_error why = VT_ERROR_INIT;
    if (vt_tart_read_vm(said, n, &own, &why))
        vt_tart_fail(t, &why);
    else
        t->job.told(t, &own);
    vt_tart_vm_clear(&own);
}

static void on_not_got(struct vt_tart *t, const struct vt_error *why)
{
    if (why->code == VT_ENOTFOUND)
        t->job.told(t, NULL);
    else
        vt_tart_fail(t, why);
}

/* Not by `tart list`, which fails where another VM is deleted while it looks. */
void vt_tart_ask(struct vt_tart *t, void (*next)(struct vt_tart *t, const struct vt_tart_vm *own))
{
    const char *const words[] = {"get", t->name, "--format", "json", NULL};
    t->job.told = next;
    vt_tart_step(t, "cannot ask tart for it", words, on_got, on_not_got);
}
