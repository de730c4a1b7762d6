/* A clone of our own, and `tart run`, which is the VM. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "driver/tart/command.h"
#include "driver/tart/instance.h"
#include "vm/tie.h"
#include "vmtest/log.h"

#define POLL_S 0.25
#define PATIENCE_S 5.0   /* after SIGINT, before SIGKILL */
#define UNTOLD_S 2.0     /* for a version that tells no states: alive for so long, it runs */
#define WORDLESS_S 10.0  /* running for so long without a word of resuming, it has resumed */
#define STOPS_SINCE 2015 /* SIGUSR2 asks the guest; an earlier version would be killed by it */

/* --- cloning --- */

static void on_set(struct vt_tart *t, const char *said, size_t n)
{
    (void)said;
    (void)n;
    t->cloned = true;
    t->job.then(t);
}

/* An address and a serial number of its own, before it ever ran; never later, when it may have
 * been saved. Of Linux guests, which have none, some versions of tart crash when asked for a serial
 * number; those that do not tell what a guest is cannot give numbers at all. */
static void number(struct vt_tart *t, const struct vt_tart_vm *own)
{
    char cpus[16], memory[24];
    const char *words[9] = {"set", t->name};
    size_t at = 2;
    if (own->os)
        words[at++] = "--random-mac";
    if (own->os && strcmp(own->os, "linux") != 0 && !t->options.same_serial)
        words[at++] = "--random-serial";
    else if (!own->os)
        vt_log(VT_LOG_WARNING, "VM %s: tart %s gives no numbers: its clones have one serial number",
               t->config->name, t->version);
    if (t->config->cpus > 1) { /* 1 is what vm makes of "not said" */
        snprintf(cpus, sizeof cpus, "%d", t->config->cpus);
        words[at++] = "--cpu";
        words[at++] = cpus;
    }
    if (t->config->memory) {
        snprintf(memory, sizeof memory, "%llu", (unsigned long long)(t->config->memory >> 20));
        words[at++] = "--memory";
        words[at++] = memory;
    }
    words[at] = NULL;
    if (at > 2)
        vt_tart_step(t, "cannot set up its clone", words, on_set, NULL);
    else
        on_set(t, NULL, 0);
}

/* What was saved of a VM goes on with the numbers that it was saved with alone. */
static void on_known(struct vt_tart *t, const struct vt_tart_vm *own)
{
    struct vt_error why = VT_ERROR_INIT;
    if (own && own->state != VT_TART_SUSPENDED) {
        number(t, own);
        return;
    }
    vt_fail(&why, VT_ESTATE, t->job.op,
            own ? "VM %s: %s is suspended in tart, and what was saved "
                  "of it cannot go on in a clone with its own numbers"
                : "VM %s: the clone of %s that tart made is gone",
            t->config->name, t->options.vm);
    if (own)
        vt_hint(&why, "run it and shut it down; `tart stop %s` throws away what was saved",
                t->options.vm);
    vt_tart_fail(t, &why);
}

static void on_cloned(struct vt_tart *t, const char *said, size_t n)
{
    (void)said;
    (void)n;
    vt_tart_ask(t, on_known);
}

static void on_looked_for(struct vt_tart *t, const struct vt_tart_vm *own)
{
    struct vt_error why = VT_ERROR_INIT;
    char doing[160];
    if (own && t->cloned) {
        t->job.then(t);
        return;
    }
    if (own && vt_tart_disown(t->name, t->config->scratch_dir, &why)) { /* half made */
        vt_tart_fail(t, &why);
        return;
    }
    vt_tart_new_name(t->config->name, t->name);
    snprintf(t->lineage, sizeof t->lineage, "%s", t->name);
    t->cloned = false;
    const char *const words[] = {"clone", t->options.vm, t->name, NULL};
    snprintf(doing, sizeof doing, "cannot clone %s", t->options.vm);
    if (vt_tart_own(t->name, t->lineage, t->config->scratch_dir, false, &why))
        vt_tart_fail(t, &why);
    else
        vt_tart_step(t, doing, words, on_cloned, NULL);
}

static void look_for(struct vt_tart *t)
{
    if (t->name[0])
        vt_tart_ask(t, on_looked_for);
    else
        on_looked_for(t, NULL);
}

static void on_version(struct vt_tart *t, const char *said, size_t n)
{
    vt_free(t->version);
    t->version = vt_strndup(said, strcspn(said, "\r\n") < n ? strcspn(said, "\r\n") : n);
    look_for(t);
}

void vt_tart_prepare(struct vt_tart *t, void (*then)(struct vt_tart *t))
{
    static const char *const words[] = {"--version", NULL};
    t->job.then = then;
    if (t->version)
        look_for(t);
    else
        vt_tart_step(t, "cannot ask tart for its version", words, on_version, NULL);
}

/* --- running --- */

static void add_shares(struct vt_args *args, const struct vt_vm_config *c)
{
    for (size_t i = 0; i < c->share_count; i++)
        vt_args_printf(args, "--dir=%s:%s:%stag=%s", c->shares[i].name, c->shares[i].path,
                       c->shares[i].read_only ? "ro," : "", c->shares[i].name);
}

static enum vt_code spawn(struct vt_tart *t, struct vt_error *err)
{
    struct vt_args args = VT_ARGS_INIT;
    const struct vt_tie tie = {.lock = t->lock, .tied = !t->config->keep};
    char *program = vt_tart_program(t->job.op, err);
    if (!program)
        return err->code;
    if (vt_lock_held(t->lock, NULL)) {
        vt_fail(err, VT_EBUSY, t->job.op, "VM %s runs already, in another process",
                t->config->name);
    } else if (!vt_tie_begin(&args, &tie, err)) {
        vt_args_add(&args, program);
        vt_args_add(&args, "run");
        vt_args_add(&args, t->name);
        vt_args_add(&args, "--no-graphics");
        if (t->options.suspendable && !t->config->share_count)
            vt_args_add(&args, "--suspendable");
        add_shares(&args, t->config);
        int held[2]; /* it inherits them, and so holds them while it lives */
        size_t n = 0;
        if (vt_vm_lease_fd(t->vm) >= 0)
            held[n++] = vt_vm_lease_fd(t->vm);
        if (t->lineage_fd >= 0)
            held[n++] = t->lineage_fd;
        const struct vt_hypervisor_opts opts = {
            .args = &args, .log_path = t->log, .fds = held, .fd_count = n};
        t->process = vt_hypervisor_start(t->loop, &opts, vt_tart_on_ended, t, err);
    }
    vt_args_free(&args);
    vt_free(program);
    return t->process ? VT_OK : err->code;
}

static void on_poll(struct vt_timer *timer);

/* "running" is told as soon as tart has locked the VM: what was saved is still being read then, and
 * may be refused. A version with other words for that has its time. */
static bool has_resumed(const struct vt_tart *t, double age)
{
    struct vt_buf tail = VT_BUF_INIT;
    vt_tart_log_tail(t->log, &tail);
    enum vt_tart_progress progress = vt_tart_read_progress(vt_buf_str(&tail));
    vt_buf_free(&tail);
    return progress == VT_TART_RESUMED || (progress == VT_TART_SILENT && age >= WORDLESS_S);
}

static void on_state(struct vt_tart *t, const struct vt_tart_vm *own)
{
    double age = vt_loop_now(t->loop) - t->job.launched;
    bool runs = own && (own->state == VT_TART_RUNNING ||
                        (own->state == VT_TART_UNKNOWN && age >= UNTOLD_S));
    if (!t->process || !runs || (t->job.memory && !has_resumed(t, age))) {
        vt_timer_set(&t->job.timer, t->loop, POLL_S, on_poll, t);
        return;
    }
    t->job.launching = false;
    t->job.up(t);
}

static void on_poll(struct vt_timer *timer)
{
    vt_tart_ask(timer->user, on_state);
}

void vt_tart_launch(struct vt_tart *t, void (*up)(struct vt_tart *t))
{
    struct vt_error why = VT_ERROR_INIT;
    t->address[0] = '\0';
    if ((t->lineage_fd < 0 &&
         vt_tart_lineage_lock(t->lineage, t->config->name, t->job.op, &t->lineage_fd, &why)) ||
        spawn(t, &why)) {
        vt_tart_fail(t, &why);
        return;
    }
    t->job.up = up;
    t->job.launching = true;
    t->job.launched = vt_loop_now(t->loop);
    vt_timer_set(&t->job.timer, t->loop, POLL_S, on_poll, t);
}

/* --- its end --- */

void vt_tart_drop_process(struct vt_tart *t)
{
    vt_hypervisor_free(t->process, SIGINT);
    t->process = NULL;
    if (t->lineage_fd >= 0)
        close(t->lineage_fd);
    t->lineage_fd = -1;
}

static void tell(struct vt_tart *t, int status, int sig)
{
    struct vt_error why = VT_ERROR_INIT;
    struct vt_buf tail = VT_BUF_INIT;
    char what[80];
    vt_tart_log_tail(t->log, &tail);
    if (sig)
        snprintf(what, sizeof what, "tart was killed by signal %d", sig);
    else
        snprintf(what, sizeof what, "tart ended with status %d", status);
    vt_tart_explain(vt_buf_str(&tail), t->job.op ? t->job.op : "vm", what, &why);
    vt_buf_free(&tail);
    if (t->job.launching)
        vt_tart_fail(t, &why);
    else if ((status > 0 || sig) && why.code != VT_EHYPERVISOR)
        vt_vm_failed(t->vm, &why);
    else if (status > 0 || sig)
        vt_vm_ended(t->vm, true, why.message);
    else
        vt_vm_ended(t->vm, false, "guest powered off");
}

void vt_tart_on_ended(int status, int sig, void *user)
{
    struct vt_tart *t = user;
    struct vt_op *kill_op = t->kill_op;
    vt_tart_drop_process(t);
    if (kill_op) {
        t->kill_op = NULL;
        vt_tart_drop(t);
        vt_op_succeed(kill_op, NULL);
    } else if (t->job.ended) {
        void (*ended)(struct vt_tart *, int, int) = t->job.ended;
        t->job.ended = NULL;
        ended(t, status, sig);
    } else {
        tell(t, status, sig);
    }
}

static void on_halted(struct vt_tart *t, int status, int sig)
{
    (void)status;
    (void)sig;
    t->job.then(t);
}

/* Which ends the VM hard. */
static void end_process(struct vt_tart *t)
{
    vt_hypervisor_signal(t->process, SIGINT);
    vt_hypervisor_expect_end(t->process, PATIENCE_S);
}

void vt_tart_halt(struct vt_tart *t, void (*then)(struct vt_tart *t))
{
    if (!t->process) {
        then(t);
        return;
    }
    t->job.then = then;
    t->job.ended = on_halted;
    end_process(t);
}

/* --- what vm asks for --- */

static void start_prepared(struct vt_tart *t)
{
    vt_tart_launch(t, vt_tart_done);
}

void vt_tart_start(void *instance, struct vt_op *op)
{
    vt_tart_begin(instance, "vm.start", op, true);
    vt_tart_prepare(instance, start_prepared);
}

static bool ask_to_stop(struct vt_tart *t, const char *op, struct vt_error *why)
{
    int version = t->version ? vt_tart_read_version(t->version) : 0;
    if (!t->process) {
        vt_fail(why, VT_ESTATE, op, "VM %s does not run", t->config->name);
    } else if (version && version < STOPS_SINCE) {
        vt_fail(why, VT_EUNSUPPORTED, op, "VM %s: tart %s cannot ask a guest to power off",
                t->config->name, t->version);
        vt_hint(why, "update tart; or have the guest power off by its own command, or kill it");
    } else {
        vt_hypervisor_signal(t->process, SIGUSR2);
    }
    return !why->code;
}

void vt_tart_stop(void *instance, struct vt_op *op)
{
    struct vt_error why = VT_ERROR_INIT;
    if (ask_to_stop(instance, "vm.stop", &why))
        vt_op_succeed(op, NULL);
    else
        vt_op_fail(op, &why);
}

void vt_tart_kill(void *instance, struct vt_op *op)
{
    struct vt_tart *t = instance;
    if (!t->process) {
        vt_tart_drop(t);
        vt_op_succeed(op, NULL);
        return;
    }
    t->kill_op = op;
    end_process(t);
}

static void restarted(struct vt_tart *t)
{
    vt_tart_done(t);
    vt_vm_restarted(t->vm);
}

static void launch_again(struct vt_tart *t)
{
    vt_tart_launch(t, restarted);
}

/* Tart has no reset: the VM is run anew. */
void vt_tart_reset(void *instance, struct vt_op *op)
{
    vt_tart_begin(instance, "vm.reset", op, false);
    vt_tart_halt(instance, launch_again);
}

static void on_powered_off(struct vt_tart *t, int status, int sig)
{
    (void)status;
    (void)sig;
    launch_again(t);
}

void vt_tart_reboot(void *instance, struct vt_op *op)
{
    struct vt_tart *t = instance;
    struct vt_error why = VT_ERROR_INIT;
    vt_tart_begin(t, "vm.reboot", op, false);
    t->job.ended = on_powered_off;
    if (!ask_to_stop(t, "vm.reboot", &why))
        vt_tart_fail(t, &why);
}

void vt_tart_attach(void *instance, struct vt_op *op)
{
    struct vt_tart *t = instance;
    struct vt_error why = VT_ERROR_INIT;
    if (!t->name[0])
        vt_fail(&why, VT_ESTATE, "vm.attach", "VM %s: nothing tells what tart calls it",
                t->config->name);
    else
        t->process = vt_hypervisor_attach(t->loop, t->lock, vt_tart_on_ended, t, &why);
    if (!t->process) {
        vt_op_fail(op, &why);
        return;
    }
    vt_hypervisor_expect_end(t->process, INFINITY); /* there is but its lock to tell of that */
    vt_vm_attached(t->vm, false);
    vt_op_succeed(op, NULL);
}
