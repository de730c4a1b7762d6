#include "cli/vm_guest.h"

#include <string.h>

#include "cli/vm_find.h"
#include "cli/vm_task.h"
#include "guest/ssh.h"
#include "vmtest/run.h"

#define CONNECT_S 30.0

/* --- by ssh, directly --- */

struct direct {
    const struct vt_guest_call *call;
    struct vt_channel *channel;
    struct vt_error err;
    bool done;
};

static void on_done(struct vt_op *op, void *user)
{
    struct direct *d = user;
    d->done = true;
    if (vt_op_error(op))
        d->err = *vt_op_error(op);
    else
        d->call->on_result(vt_op_result(op), d->call->user);
}

static void on_connected(struct vt_op *op, void *user)
{
    struct direct *d = user;
    const struct vt_channel_class *cls = d->channel->cls;
    const struct vt_guest_call *call = d->call;
    if (vt_op_error(op))
        d->err = *vt_op_error(op);
    else if (call->exec)
        cls->exec(d->channel, call->exec, on_done, d, &d->err);
    else
        cls->transfer(d->channel, call->transfer, on_done, d, &d->err);
    d->done = d->err.code != VT_OK;
}

static void call_directly(const struct vt_found *found, struct direct *d)
{
    struct vt_loop *loop = vt_loop_new(&d->err);
    if (!loop)
        return;
    const struct vt_ssh_config config = {
        .host = found->host,
        .port = found->port,
        .user = found->image->ssh_user,
        .key_file = found->image->ssh_key,
        .password = found->image->ssh_password,
        .host_key = found->image->ssh_host_key,
    };
    d->channel = vt_ssh_new(loop, &config, &d->err);
    if (d->channel && d->channel->cls->connect(d->channel, CONNECT_S, on_connected, d, &d->err))
        while (!d->done)
            vt_loop_run_once(loop, true);
    if (d->channel)
        d->channel->cls->free(d->channel);
    vt_loop_free(loop);
}

/* --- by taking it up --- */

static void called(struct vt_vm_task *t)
{
    const struct vt_guest_call *call = t->user;
    call->on_result(vt_op_result(t->op), call->user);
    vt_vm_task_end(t);
}

static void call_through_vm(struct vt_vm_task *t)
{
    const struct vt_guest_call *call = t->user;
    struct vt_op *op = NULL;
    if (!vt_vm_task_needs_running(t))
        return;
    if (call->exec)
        op = vt_vm_exec(t->vm, call->exec, vt_vm_task_op, t, &t->err);
    else
        op = vt_vm_transfer(t->vm, call->transfer, vt_vm_task_op, t, &t->err);
    vt_vm_task_wait(t, op, called);
}

/* Whether somebody else has it now. */
static bool is_taken(struct vt_named *named)
{
    struct vt_error err = VT_ERROR_INIT;
    return vt_named_lock(named, &err) == VT_EBUSY;
}

int vt_guest_call(const struct vt_command *self, struct vt_guest_call *call)
{
    struct vt_found found;
    struct direct direct = {.call = call};
    enum vt_code code = vt_vm_find_guest(call->name, &found, &direct.err);
    bool by_ssh = !code && (found.prefers_ssh || is_taken(found.named));
    if (by_ssh)
        call_directly(&found, &direct);
    vt_found_free(&found);
    if (code == VT_EUNSUPPORTED || (!code && !by_ssh)) {
        char *names[] = {call->name};
        const struct vt_vm_task_opts opts = {.begin = call_through_vm, .user = call};
        return vt_vm_tasks(self, names, 1, &opts);
    }
    if (direct.err.code)
        vt_cli_error(self, &direct.err);
    return vt_vm_exit_code(&direct.err);
}
