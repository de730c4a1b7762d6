/* What QEMU and its guest do by themselves: events, the console, the process's end. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/extra.h"
#include "driver/qemu/save.h"
#include "driver/qemu/screen.h"
#include "driver/qemu/share.h"
#include "driver/qemu/slots.h"
#include "vm/hypervisor.h"
#include "vm/tie.h"

#define LOG_TAIL 1000
#define PANIC_LINE 200
#define PANICKED "the guest's kernel panicked"

/* The first reason is the cause; what follows from it does not count. */
static void note_end(struct vt_qemu *q, bool crashed, const char *reason)
{
    if (q->end_reason)
        return;
    q->crashed = crashed;
    q->end_reason = vt_strdup(reason);
}

void vt_qemu_tail(const char *log, struct vt_buf *out)
{
    struct vt_buf text = VT_BUF_INIT;
    if (vt_read_file(log, (size_t)1 << 20, &text, NULL) == VT_OK) {
        while (text.len && strchr("\n ", text.data[text.len - 1]))
            text.data[--text.len] = '\0';
        size_t skip = text.len > LOG_TAIL ? text.len - LOG_TAIL : 0;
        vt_buf_puts(out, vt_buf_str(&text) + skip);
    }
    vt_buf_free(&text);
}

static void on_shutdown(struct vt_qemu *q, const json_t *data)
{
    const char *reason = vt_json_str(data, "reason", "");
    if (!strcmp(reason, "guest-panic"))
        note_end(q, true, PANICKED);
    else if (vt_json_bool(data, "guest", false))
        note_end(q, false, "guest powered off");
    else if (!strcmp(reason, "host-signal"))
        note_end(q, true, "QEMU was told to end by a signal");
    else
        note_end(q, true, "QEMU was told to quit");
}

static void on_panicked(struct vt_qemu *q, const json_t *data)
{
    (void)data;
    note_end(q, true, PANICKED);
}

static void forget_panic(struct vt_qemu *q)
{
    q->panic_seen = q->panic_complete = false;
    q->panic_matched = 0;
    vt_buf_clear(&q->panic_line);
}

/* A kernel without a driver for the panic device restarts after a panic (panic=-1): the panic on
 * the console tells that from a restart that was wanted. */
static void on_reset(struct vt_qemu *q, const json_t *data)
{
    if (vt_json_bool(data, "guest", false) && q->panic_seen) {
        note_end(q, true, PANICKED);
        vt_qemu_process_kill(q->process);
        return;
    }
    forget_panic(q);
    if (!q->start_op)
        vt_vm_restarted(q->vm);
}

static void on_io_error(struct vt_qemu *q, const json_t *data)
{
    const char *node = vt_json_str(data, "node-name", "");
    if (strcmp(vt_json_str(data, "action", ""), "stop") != 0) {
        vt_qemu_extra_error(q, data);
        return; /* the guest was told, and goes on */
    }
    struct vt_buf reason = VT_BUF_INIT;
    const char *path = vt_qemu_disks_path(q, node);
    if (vt_json_bool(data, "nospace", false))
        vt_buf_printf(&reason, "the host's disk is full: cannot write %s", path);
    else
        vt_buf_printf(&reason, "the host cannot write %s: %s", path,
                      vt_json_str(data, "reason", "no reason given"));
    note_end(q, true, reason.data);
    vt_buf_free(&reason);
    vt_qemu_process_kill(q->process);
}

struct event {
    const char *name;
    void (*handle)(struct vt_qemu *q, const json_t *data);
};

static void on_migration(struct vt_qemu *q, const json_t *data)
{
    const char *status = vt_json_str(data, "status", "");
    if (q->save)
        vt_qemu_save_event(q->save, status);
    else if (q->back)
        vt_qemu_back_event(q->back, status);
}

static const struct event events[] = {
    {.name = "SHUTDOWN", .handle = on_shutdown},
    {.name = "GUEST_PANICKED", .handle = on_panicked},
    {.name = "RESET", .handle = on_reset},
    {.name = "BLOCK_IO_ERROR", .handle = on_io_error},
    {.name = "MIGRATION", .handle = on_migration},
    {.name = "DEVICE_DELETED", .handle = vt_qemu_slots_deleted},
};

static void on_greeted(const json_t *greeting, void *user)
{
    struct vt_qemu *q = user;
    vt_free(q->version);
    q->version = vt_qmp_version(greeting);
}

static void on_event(const char *name, const json_t *event, void *user)
{
    struct vt_qemu *q = user;
    const json_t *data = json_object_get(event, "data"); /* or NULL */
    for (size_t i = 0; i < sizeof events / sizeof *events && q->process; i++)
        if (!strcmp(events[i].name, name))
            events[i].handle(q, data);
}

static void on_write(const char *data, size_t n, void *user)
{
    struct vt_qemu *q = user;
    if (!q->process)
        return;
    if (q->send_fd < 0 || !vt_qemu_process_write_fd(q->process, data, n, q->send_fd))
        vt_qemu_process_write(q->process, data, n);
}

static void on_broken(const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    if (!q->process)
        return;
    note_end(q, true, why->message);
    vt_qemu_process_kill(q->process);
}

static void on_qmp(const char *data, size_t n, void *user)
{
    struct vt_qemu *q = user;
    if (q->qmp)
        vt_monitor_feed(q->qmp, data, n);
}

/* Looks for the kernel's panic line, which may come in pieces, and keeps the rest of it. */
static void find_panic(struct vt_qemu *q, const char *data, size_t n)
{
    static const char words[] = "Kernel panic - not syncing";
    for (size_t i = 0; i < n; i++) {
        if (q->panic_seen) {
            q->panic_complete = data[i] == '\n' || q->panic_line.len == PANIC_LINE;
            if (q->panic_complete)
                return;
            if (data[i] != '\r')
                vt_buf_putc(&q->panic_line, data[i]);
            continue;
        }
        if (data[i] != words[q->panic_matched])
            q->panic_matched = 0; /* no proper prefix of the words is a suffix of another */
        if (data[i] == words[q->panic_matched])
            q->panic_seen = ++q->panic_matched == sizeof words - 1;
    }
}

static void on_console(const char *data, size_t n, void *user)
{
    struct vt_qemu *q = user;
    if (!q->panic_complete)
        find_panic(q, data, n);
    vt_vm_console_bytes(q->vm, data, n);
}

/* Why a process ended that told nothing itself. */
static void describe_end(const struct vt_qemu *q, int status, int sig, struct vt_buf *out)
{
    struct vt_buf log = VT_BUF_INIT;
    if (sig)
        vt_buf_printf(out, "QEMU was killed by signal %d (%s)", sig, strsignal(sig));
    else if (status == VT_STATUS_UNKNOWN)
        vt_buf_puts(out, "QEMU ended without a word");
    else
        vt_buf_printf(out, "QEMU ended with status %d", status);
    vt_qemu_tail(q->log, &log);
    if (log.len)
        vt_buf_printf(out, ": %s", log.data);
    vt_buf_free(&log);
}

static void start_ended(struct vt_qemu *q, int status, const char *reason)
{
    struct vt_error why = VT_ERROR_INIT;
    if (status == VT_TIE_LOCKED) {
        vt_fail(&why, VT_EBUSY, "vm.start", "VM %s runs already, in another process",
                q->config->name);
    } else {
        vt_fail(&why, VT_EHYPERVISOR, "vm.start", "VM %s did not start: %s", q->config->name,
                reason);
        vt_hint(&why, "QEMU's own words are above; `vmtest doctor` checks this host");
    }
    if (q->back)
        vt_qemu_back_fail(q, &why);
    else
        vt_qemu_start_fail(q, &why);
}

static void on_ended(int status, int sig, void *user)
{
    struct vt_qemu *q = user;
    struct vt_op *kill_op = q->kill_op, *attach_op = q->attach_op;
    struct vt_buf reason = VT_BUF_INIT;
    if (q->end_reason)
        vt_buf_printf(&reason, "%s%s", q->end_reason,
                      strcmp(q->end_reason, PANICKED) ? "" : vt_buf_str(&q->panic_line));
    else
        describe_end(q, status, sig, &reason);
    bool crashed = q->crashed || !q->end_reason;
    q->kill_op = NULL;
    const bool goes_back = q->back != NULL; /* the end may be one it asked for */
    if (q->start_op || (goes_back && !vt_qemu_back_ended(q->back))) {
        start_ended(q, status, vt_buf_str(&reason));
    } else if (!goes_back) {
        struct vt_error gone = VT_ERROR_INIT;
        vt_fail(&gone, VT_EGUEST, "vm", "VM %s is gone: %s", q->config->name, vt_buf_str(&reason));
        q->attach_op = NULL;
        vt_timer_clear(&q->greeting);
        vt_monitor_fail(q->qmp, &gone);
        vt_qemu_drop_process(q, false);
        if (attach_op)
            vt_op_fail(attach_op, &gone);
        vt_vm_ended(q->vm, crashed, vt_buf_str(&reason));
    }
    if (kill_op)
        vt_op_succeed(kill_op, NULL);
    vt_buf_free(&reason);
}

void vt_qemu_drop_process(struct vt_qemu *q, bool leave_running)
{
    struct vt_qemu_process *process = q->process;
    q->process = NULL;
    vt_monitor_free(q->qmp);
    q->qmp = NULL;
    vt_qemu_screen_drop(q);
    vt_qemu_keys_forget(q, NULL);
    vt_qemu_resize_forget(q, NULL);
    vt_qemu_slots_forget(q, NULL);
    vt_qemu_process_free(process, leave_running);
    if (leave_running)
        return;
    vt_qemu_shares_end(q);
    vt_qemu_slots_end(q);
}

static const struct vt_qemu_process_handler process_handler = {
    .qmp = on_qmp, .console = on_console, .ended = on_ended};

static void begin_watch(struct vt_qemu *q)
{
    const struct vt_monitor_handler qmp = {.write = on_write,
                                           .greeted = on_greeted,
                                           .event = on_event,
                                           .broken = on_broken,
                                           .user = q};
    vt_free(q->end_reason);
    q->end_reason = NULL;
    q->crashed = false;
    forget_panic(q);
    q->qmp = vt_monitor_new(&vt_qmp, &qmp);
}

enum vt_code vt_qemu_watch(struct vt_qemu *q, const struct vt_args *args, const int *fds,
                           size_t fd_count, struct vt_error *err)
{
    const struct vt_qemu_process_opts opts = {.qmp_path = q->socket,
                                              .console_path = q->console,
                                              .log_path = q->log,
                                              .fds = fds,
                                              .fd_count = fd_count,
                                              .args = args,
                                              .lease = vt_vm_lease_fd(q->vm)};
    struct vt_qemu_process_handler handler = process_handler;
    handler.user = q;
    q->process = vt_qemu_process_start(q->loop, &opts, &handler, err);
    if (!q->process)
        return err->code;
    begin_watch(q);
    return VT_OK;
}

enum vt_code vt_qemu_watch_running(struct vt_qemu *q, struct vt_error *err)
{
    const struct vt_qemu_attach_opts opts = {
        .qmp_path = q->socket, .console_path = q->console, .lock_path = q->lock};
    struct vt_qemu_process_handler handler = process_handler;
    handler.user = q;
    q->process = vt_qemu_process_attach(q->loop, &opts, &handler, err);
    if (!q->process)
        return err->code;
    begin_watch(q);
    return VT_OK;
}
