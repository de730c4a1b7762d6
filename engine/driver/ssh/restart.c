/* Restarting a machine by its own command. That it did restart shows in its boot id, which a
 * connection beside the suite's asks for again and again; a machine that tells none has restarted
 * when a connection was lost and it answers again. */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "driver/ssh/instance.h"

#define ASK_S 1.0
#define COMMAND_S 30.0
#define CONNECT_S 20.0
#define WATCH_S 3600.0
#define ID_MAX 200

/* Linux, then macOS. */
static const char boot_id_command[] = "cat /proc/sys/kernel/random/boot_id 2>/dev/null || "
                                      "sysctl -n kern.bootsessionuuid 2>/dev/null || "
                                      "sysctl -n kern.boottime 2>/dev/null || :";

static void ask(struct vt_ssh_machine *m);

void vt_ssh_restart_end(struct vt_ssh_machine *m)
{
    struct vt_ssh_restart *r = &m->restart;
    struct vt_op *op = r->op;
    vt_timer_clear(&r->timer);
    if (r->inner)
        vt_op_forget(r->inner);
    if (r->watch)
        r->watch->cls->free(r->watch);
    vt_free(r->boot_id);
    *r = (struct vt_ssh_restart){.op = NULL};
    if (!op)
        return;
    struct vt_error gone = VT_ERROR_INIT;
    vt_fail(&gone, VT_ECANCELED, "vm.reboot", "VM %s was removed", m->name);
    vt_op_fail(op, &gone);
}

static void fail(struct vt_ssh_machine *m, const struct vt_error *why)
{
    struct vt_op *op = m->restart.op;
    m->restart.op = NULL;
    vt_ssh_restart_end(m);
    if (op)
        vt_op_fail(op, why);
}

static void on_timer(struct vt_timer *timer)
{
    ask(timer->user);
}

static void ask_later(struct vt_ssh_machine *m)
{
    if (vt_loop_now(m->loop) < m->restart.until)
        vt_timer_set(&m->restart.timer, m->loop, ASK_S, on_timer, m);
    else
        vt_ssh_restart_end(m);
}

static void on_asked_to_restart(struct vt_op *inner, void *user)
{
    struct vt_ssh_machine *m = user;
    struct vt_ssh_restart *r = &m->restart;
    const struct vt_error *why = vt_op_error(inner);
    const struct vt_exec_result *result = vt_op_result(inner);
    r->inner = NULL;
    if (why && why->code != VT_EGUEST) {
        fail(m, why);
    } else if (!why && result->status > 0) {
        struct vt_error refused = VT_ERROR_INIT;
        vt_fail(&refused, VT_EGUEST, "vm.reboot",
                "VM %s: its command to restart ended with status %d: %.200s", m->name,
                result->status, result->err);
        fail(m, &refused);
    } else {
        struct vt_op *op = r->op;
        r->op = NULL;
        r->asked = true;
        r->lost = why != NULL;
        r->until = vt_loop_now(m->loop) + WATCH_S;
        vt_op_succeed(op, NULL);
        ask_later(m);
    }
}

static void ask_to_restart(struct vt_ssh_machine *m)
{
    struct vt_error why = VT_ERROR_INIT;
    const struct vt_exec_opts opts = {.command = m->options.reboot, .timeout = COMMAND_S};
    m->restart.inner =
        m->restart.watch->cls->exec(m->restart.watch, &opts, on_asked_to_restart, m, &why);
    if (!m->restart.inner)
        fail(m, &why);
}

static void on_boot_id(struct vt_op *inner, void *user)
{
    struct vt_ssh_machine *m = user;
    struct vt_ssh_restart *r = &m->restart;
    const struct vt_exec_result *result = vt_op_result(inner);
    r->inner = NULL;
    if (vt_op_error(inner)) {
        if (!r->asked) {
            fail(m, vt_op_error(inner));
            return;
        }
        r->lost = true;
        ask_later(m);
        return;
    }
    char id[ID_MAX];
    snprintf(id, sizeof id, "%s", result->out);
    id[strcspn(id, "\n")] = '\0';
    if (!r->asked) {
        r->boot_id = vt_strdup(id);
        ask_to_restart(m);
    } else if (*r->boot_id ? *id && strcmp(id, r->boot_id) != 0 : r->lost) {
        vt_ssh_restart_end(m);
        vt_vm_restarted(m->vm);
    } else {
        ask_later(m);
    }
}

static void on_connected(struct vt_op *inner, void *user)
{
    struct vt_ssh_machine *m = user;
    struct vt_ssh_restart *r = &m->restart;
    struct vt_error why = VT_ERROR_INIT;
    r->inner = NULL;
    if (vt_op_error(inner))
        why = *vt_op_error(inner);
    const struct vt_exec_opts opts = {
        .command = boot_id_command, .timeout = COMMAND_S, .output_limit = ID_MAX};
    if (!why.code)
        r->inner = r->watch->cls->exec(r->watch, &opts, on_boot_id, m, &why);
    if (r->inner)
        return;
    if (!r->asked) {
        fail(m, &why);
    } else {
        r->lost = true;
        ask_later(m);
    }
}

static void ask(struct vt_ssh_machine *m)
{
    struct vt_ssh_restart *r = &m->restart;
    struct vt_error why = VT_ERROR_INIT;
    if (!r->watch->cls->connected(r->watch))
        r->lost = r->asked;
    r->inner = r->watch->cls->connect(r->watch, CONNECT_S, on_connected, m, &why);
    if (!r->inner)
        fail(m, &why);
}

void vt_ssh_machine_reboot(void *instance, struct vt_op *op)
{
    struct vt_ssh_machine *m = instance;
    struct vt_error why = VT_ERROR_INIT;
    vt_ssh_restart_end(m);
    if (!m->options.reboot) {
        vt_fail(&why, VT_EUNSUPPORTED, "vm.reboot",
                "VM %s: its configuration names no command that restarts it", m->name);
        vt_hint(&why, "ssh = {reboot = \"sudo -n reboot\", ...}");
    } else {
        m->restart.watch = vt_ssh_machine_channel(m, &why);
    }
    if (!m->restart.watch) {
        vt_op_fail(op, &why);
        return;
    }
    m->restart.op = op;
    ask(m);
}
