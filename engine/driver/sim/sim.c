/* The driver of VMs that are none: a guest in this process, on a virtual clock (docs/sim.md). */
#include "driver/sim/sim.h"

#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "driver/sim/instance.h"

#define START_S 0.1 /* a driver's operation takes */
#define DOWN_S 1.0  /* a guest takes to power off */

/* A driver operation under way: on the host's time, not the guest's. */
struct vt__sim_call_op {
    struct vt__sim *sim;
    struct vt_op *op;
    struct vt__sim_call_op *next;
    struct vt_timer timer;
    const struct vt__sim_fault *fault;
    void (*go)(struct vt__sim *sim);
    /* of a snapshot or a restore, in place of go */
    enum vt_code (*act)(const struct vt__sim_call_op *call, struct vt_error *err);
    char *dir;
    json_t *facts;
};

static const struct {
    double at; /* part of the boot's time */
    const char *text;
} boot_log[] = {
    {0, "simulated guest: booting\n"},
    {0.1, "[    0.000000] memory: as configured\n"},
    {0.4, "[    0.400000] mounted / in memory\n"},
    {0.8, "[    0.800000] network: up\n"},
};
#define BOOT_STEPS (sizeof boot_log / sizeof *boot_log)

static void console(struct vt__sim *sim, const char *text)
{
    vt_vm_console_bytes(sim->vm, text, strlen(text));
}

/* ---- the guest's life ---- */

static void power_off(struct vt__sim *sim)
{
    sim->phase = VT__SIM_OFF;
    vt__sim_timer_clear(&sim->boot);
    vt__sim_timer_clear(&sim->down);
    vt__sim_timer_clear(&sim->strike);
    for (struct vt__sim_channel *ch = sim->channels; ch; ch = ch->next) {
        ch->connected = false;
        for (struct vt__sim_op *op = ch->ops; op; op = op->next) {
            vt__sim_timer_clear(&op->wait);
            vt__sim_timer_clear(&op->strike);
            if (op->let_go)
                op->let_go(op);
        }
    }
    while (sim->guest.procs)
        vt__sim_proc_kill(sim->guest.procs);
    sim->hung = false;
    vt__sim_clock_freeze(&sim->guest.clock, false);
}

void vt__sim_crash(struct vt__sim *sim, const char *reason)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "panic: %s\n", reason);
    console(sim, text.data);
    power_off(sim);
    vt_vm_ended(sim->vm, true, reason);
    vt_buf_free(&text);
}

static void on_guest_strike(struct vt__sim_timer *timer)
{
    struct vt__sim *sim = timer->user;
    const struct vt__sim_fault *fault =
        sim->phase == VT__SIM_BOOTING ? sim->boot_fault : sim->running_fault;
    struct vt_error why = VT_ERROR_INIT;
    if (fault->kind == VT__SIM_CRASH) {
        vt__sim_crash(sim, fault->message);
    } else if (fault->kind == VT__SIM_HANG) {
        sim->hung = true;
        vt__sim_clock_freeze(&sim->guest.clock, true);
    } else {
        vt_fail(&why, VT_EGUEST, "guest", "the connection to the guest was lost: %s",
                fault->message);
        for (struct vt__sim_channel *ch = sim->channels; ch; ch = ch->next)
            vt__sim_channel_cut(ch, &why);
    }
}

static void guest_up(struct vt__sim *sim)
{
    sim->phase = VT__SIM_UP;
    console(sim, sim->config->name);
    console(sim, " login: \n");
    const struct vt_image *image = sim->config->image;
    if (image && image->ready) {
        console(sim, image->ready);
        console(sim, "\n");
    }
    vt__sim_channel_up(sim);
    sim->running_fault = vt__sim_script_pass(&sim->script, VT__SIM_AT_RUNNING);
    if (sim->running_fault)
        vt__sim_timer_set(&sim->strike, &sim->guest.clock, sim->running_fault->after,
                          on_guest_strike, sim);
}

static double boot_time(const struct vt__sim *sim)
{
    const struct vt__sim_fault *fault = sim->boot_fault;
    return sim->script.boot_seconds + (fault && fault->kind == VT__SIM_SLOW ? fault->after : 0);
}

static void on_boot_step(struct vt__sim_timer *timer)
{
    struct vt__sim *sim = timer->user;
    double now = sim->boot_step < BOOT_STEPS ? boot_log[sim->boot_step].at : 1;
    if (sim->boot_step == BOOT_STEPS) {
        guest_up(sim);
        return;
    }
    console(sim, boot_log[sim->boot_step++].text);
    bool hangs = sim->boot_fault && sim->boot_fault->kind == VT__SIM_HANG;
    if (sim->boot_step == BOOT_STEPS && hangs)
        return;
    double next = sim->boot_step < BOOT_STEPS ? boot_log[sim->boot_step].at : 1;
    vt__sim_timer_set(&sim->boot, &sim->guest.clock, (next - now) * boot_time(sim), on_boot_step,
                      sim);
}

static void boot(struct vt__sim *sim)
{
    sim->phase = VT__SIM_BOOTING;
    sim->boot_step = 0;
    sim->boot_fault = vt__sim_script_pass(&sim->script, VT__SIM_AT_READY);
    if (sim->boot_fault && sim->boot_fault->kind == VT__SIM_CRASH)
        vt__sim_timer_set(&sim->strike, &sim->guest.clock, sim->boot_fault->after, on_guest_strike,
                          sim);
    vt__sim_timer_set(&sim->boot, &sim->guest.clock, 0, on_boot_step, sim);
}

static void restart(struct vt__sim *sim)
{
    power_off(sim);
    boot(sim);
    vt_vm_restarted(sim->vm);
}

static void on_down(struct vt__sim_timer *timer)
{
    struct vt__sim *sim = timer->user;
    if (sim->down_to == VT__SIM_PANIC) {
        vt__sim_crash(sim, "kernel panic: asked for by a command");
    } else if (sim->down_to == VT__SIM_REBOOT) {
        console(sim, "restarting\n");
        restart(sim);
    } else {
        console(sim, "power off\n");
        power_off(sim);
        vt_vm_ended(sim->vm, false, "guest powered off");
    }
}

static void on_power(struct vt__sim_guest *guest, enum vt__sim_power what)
{
    struct vt__sim *sim = (struct vt__sim *)(void *)guest;
    sim->down_to = what;
    vt__sim_timer_set(&sim->down, &guest->clock, what == VT__SIM_PANIC ? 0 : DOWN_S, on_down, sim);
}

/* ---- the driver's operations ---- */

static void end_call(struct vt__sim_call_op *call)
{
    struct vt__sim_call_op **at = &call->sim->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    vt_timer_clear(&call->timer);
    vt_free(call->dir);
    json_decref(call->facts);
    vt_free(call);
}

static void on_call(struct vt_timer *timer)
{
    struct vt__sim_call_op *call = timer->user;
    struct vt__sim *sim = call->sim;
    struct vt_op *op = call->op;
    const struct vt__sim_fault *fault = call->fault;
    void (*go)(struct vt__sim *) = call->go;
    struct vt_error why = VT_ERROR_INIT;
    if (call->act && (!fault || fault->kind == VT__SIM_SLOW))
        call->act(call, &why);
    end_call(call);
    if (why.code) {
        vt_op_fail(op, &why);
    } else if (fault && fault->kind == VT__SIM_FAIL) {
        vt_fail(&why, VT_EHYPERVISOR, "sim", "VM %s: %s", sim->config->name, fault->message);
        vt_op_fail(op, &why);
    } else if (fault && fault->kind == VT__SIM_CRASH) {
        vt__sim_crash(sim, fault->message);
    } else {
        vt_op_succeed(op, NULL);
        if (go)
            go(sim);
    }
}

static struct vt__sim_call_op *begin(struct vt__sim *sim, struct vt_op *op, enum vt__sim_point at,
                                     void (*go)(struct vt__sim *))
{
    struct vt__sim_call_op *call = vt_calloc(1, sizeof *call);
    *call = (struct vt__sim_call_op){.sim = sim, .op = op, .next = sim->calls, .go = go};
    sim->calls = call;
    if (at != VT__SIM_POINT_COUNT_)
        call->fault = vt__sim_script_pass(&sim->script, at);
    double delay = START_S + (call->fault ? call->fault->after : 0);
    if (!call->fault || call->fault->kind != VT__SIM_HANG)
        vt_timer_set(&call->timer, sim->loop, delay, on_call, call);
    return call;
}

static void go_pause(struct vt__sim *sim)
{
    vt__sim_clock_freeze(&sim->guest.clock, true);
}

static void go_resume(struct vt__sim *sim)
{
    vt__sim_clock_freeze(&sim->guest.clock, sim->hung);
}

/* A guest that still boots knows no power button. */
static void go_stop(struct vt__sim *sim)
{
    if (sim->phase == VT__SIM_UP)
        on_power(&sim->guest, VT__SIM_POWEROFF);
}

static void sim_start(void *instance, struct vt_op *op)
{
    begin(instance, op, VT__SIM_AT_START, boot);
}

static void sim_stop(void *instance, struct vt_op *op)
{
    begin(instance, op, VT__SIM_AT_STOP, go_stop);
}

static void sim_kill(void *instance, struct vt_op *op)
{
    begin(instance, op, VT__SIM_POINT_COUNT_, power_off);
}

static void sim_pause(void *instance, struct vt_op *op)
{
    begin(instance, op, VT__SIM_AT_PAUSE, go_pause);
}

static void sim_resume(void *instance, struct vt_op *op)
{
    begin(instance, op, VT__SIM_POINT_COUNT_, go_resume);
}

static void sim_reset(void *instance, struct vt_op *op)
{
    begin(instance, op, VT__SIM_POINT_COUNT_, restart);
}

/* ---- snapshots ---- */

static enum vt_code write_snapshot(const struct vt__sim_call_op *call, struct vt_error *err)
{
    const struct vt__sim *sim = call->sim;
    json_object_set_new(call->facts, "sim",
                        json_pack("{s:b, s:I, s:i}", "up", (int)(sim->phase == VT__SIM_UP),
                                  "boot_step", (json_int_t)sim->boot_step, "next_pid",
                                  sim->guest.next_pid));
    return vt__sim_snapshot_write(sim, call->dir, err);
}

static enum vt_code read_snapshot(const struct vt__sim_call_op *call, struct vt_error *err)
{
    struct vt__sim *sim = call->sim;
    const json_t *facts = json_object_get(call->facts, "sim");
    if (vt__sim_snapshot_read(sim, call->dir, err))
        return err->code;
    if (!vt_json_bool(call->facts, "memory", false))
        return VT_OK;
    sim->guest.next_pid = (int)vt_json_int(facts, "next_pid", 0);
    sim->boot_fault = NULL; /* that boot is over */
    if (vt_json_bool(facts, "up", false)) {
        sim->phase = VT__SIM_UP;
        vt__sim_channel_up(sim);
    } else {
        int64_t step = vt_json_int(facts, "boot_step", 0);
        sim->phase = VT__SIM_BOOTING;
        sim->boot_step = step >= 0 && step < (int64_t)BOOT_STEPS ? (size_t)step : BOOT_STEPS;
        vt__sim_timer_set(&sim->boot, &sim->guest.clock, 0, on_boot_step, sim);
    }
    if (!strcmp(vt_json_str(call->facts, "state", ""), "paused"))
        vt__sim_clock_freeze(&sim->guest.clock, true);
    return VT_OK;
}

static void sim_snapshot(void *instance, const char *dir, json_t *facts, struct vt_op *op)
{
    struct vt__sim_call_op *call = begin(instance, op, VT__SIM_AT_SNAPSHOT, NULL);
    call->act = write_snapshot;
    call->dir = vt_strdup(dir);
    call->facts = json_incref(facts);
}

static enum vt_code sim_snapshot_check(void *instance, struct vt_error *err)
{
    (void)instance; /* nothing of it can stand against one */
    (void)err;
    return VT_OK;
}

static void sim_restore(void *instance, const char *dir, const json_t *facts, struct vt_op *op)
{
    power_off(instance);
    struct vt__sim_call_op *call = begin(instance, op, VT__SIM_AT_RESTORE, NULL);
    call->act = read_snapshot;
    call->dir = vt_strdup(dir);
    call->facts = json_deep_copy(facts);
}

static void sim_forget(void *instance, struct vt_op *op)
{
    struct vt__sim *sim = instance;
    for (struct vt__sim_call_op *call = sim->calls, *next; call; call = next) {
        next = call->next;
        if (call->op == op)
            end_call(call);
    }
}

static const char *system_name(const struct vt_image *image)
{
    return image && image->os && !strcmp(image->os, "macos") ? "Darwin" : "Linux";
}

static enum vt_code sim_create(struct vt_vm *vm, const struct vt_vm_config *config, void **instance,
                               struct vt_error *err)
{
    struct vt__sim *sim = vt_calloc(1, sizeof *sim);
    enum vt_code code = vt__sim_script_read(config->sim, config->name, &sim->script, err);
    if (code) {
        vt_free(sim);
        return code;
    }
    const struct vt_image *image = config->image;
    sim->vm = vm;
    sim->config = config;
    sim->loop = vt_vm_loop(vm);
    sim->guest = (struct vt__sim_guest){
        .clock.loop = sim->loop,
        .fs = vt__sim_fs_new(config->name),
        .hostname = config->name,
        .sysname = system_name(image),
        .machine = image && image->arch ? image->arch : "x86_64",
        .dry_run = sim->script.dry_run,
        .power = on_power,
    };
    *instance = sim;
    return VT_OK;
}

static void sim_needs(void *instance, struct vt_needs *needs)
{
    const struct vt__sim *sim = instance;
    needs->macos_guest = sim->script.macos_guest;
}

static void sim_destroy(void *instance, bool leave_running)
{
    (void)leave_running; /* it lives in this process: there is nothing to leave */
    struct vt__sim *sim = instance;
    while (sim->calls)
        end_call(sim->calls);
    power_off(sim);
    vt__sim_channel_gone(sim);
    vt__sim_fs_free(sim->guest.fs);
    vt__sim_script_clear(&sim->script);
    vt_free(sim);
}

#define SCRIPTED "unless its script takes it away"

static bool sim_supports(void *instance, enum vt_capability cap, struct vt_error *why)
{
    const struct vt__sim *sim = instance;
    if ((unsigned)cap < VT_CAP_COUNT_ && !sim->script.without[cap])
        return true;
    vt_fail(why, VT_EUNSUPPORTED, "sim", "VM %s: its script takes \"%s\" away", sim->config->name,
            vt_capability_name(cap));
    vt_hint(why, "remove it from sim.without");
    return false;
}

static struct vt_channel *sim_channel(void *instance, const char *kind, struct vt_error *err)
{
    (void)kind; /* every way in leads to the same guest */
    (void)err;
    return vt__sim_channel_new(instance);
}

static double sim_time_scale(void *instance)
{
    (void)instance;
    return 1;
}

static void sim_info(void *instance, json_t *facts)
{
    const struct vt__sim *sim = instance;
    json_object_set_new(facts, "simulated", json_true());
    if (sim->script.dry_run)
        json_object_set_new(facts, "dry_run", json_true());
}

#define NO_SCREEN "a simulated guest draws nothing; the qemu driver has a screen"
#define NO_DEVICES "a simulated guest has only its own files; the qemu driver has devices"
#define NO_NETWORK "nothing is simulated of a network; the qemu driver has them"

const struct vt_driver vt_sim_driver = {
    .name = "sim",
    .summary = "no VM at all: a simulated guest on a virtual clock",
    .virtual_clock = true,
    .support =
        {
            [VT_CAP_START] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_STOP] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_KILL] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_PAUSE] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_RESET] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_CONSOLE] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_EXEC] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_FILES] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_SNAPSHOT] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_COPY] = {VT_SOMETIMES, SCRIPTED},
            [VT_CAP_CONSOLE_WRITE] = {VT_NO, "nothing reads the simulated console"},
            [VT_CAP_SCREENSHOT] = {VT_NO, NO_SCREEN},
            [VT_CAP_KEYS] = {VT_NO, NO_SCREEN},
            [VT_CAP_VNC] = {VT_NO, NO_SCREEN},
            [VT_CAP_DISKS] = {VT_NO, NO_DEVICES},
            [VT_CAP_NBD] = {VT_NO, NO_DEVICES},
            [VT_CAP_RESIZE] = {VT_NO, NO_DEVICES},
            [VT_CAP_HOT_DISK] = {VT_NO, NO_DEVICES},
            [VT_CAP_SHARES] = {VT_NO, NO_DEVICES},
            [VT_CAP_HOT_SHARE] = {VT_NO, NO_DEVICES},
            [VT_CAP_NAT] = {VT_NO, NO_NETWORK},
            [VT_CAP_FORWARD] = {VT_NO, NO_NETWORK},
            [VT_CAP_ISOLATED] = {VT_NO, NO_NETWORK},
            [VT_CAP_BRIDGED] = {VT_NO, NO_NETWORK},
            [VT_CAP_NO_NETWORK] = {VT_NO, NO_NETWORK},
        },
    .create = sim_create,
    .needs = sim_needs,
    .destroy = sim_destroy,
    .supports = sim_supports,
    .start = sim_start,
    .stop = sim_stop,
    .kill = sim_kill,
    .pause = sim_pause,
    .resume = sim_resume,
    .reset = sim_reset,
    .forget = sim_forget,
    .snapshot = sim_snapshot,
    .snapshot_check = sim_snapshot_check,
    .restore = sim_restore,
    .restore_check = vt__sim_restore_check,
    .channel = sim_channel,
    .time_scale = sim_time_scale,
    .info = sim_info,
};
