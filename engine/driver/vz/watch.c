/* The helper's life, and what its guest does by itself. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/vz/console.h"
#include "driver/vz/disks.h"
#include "driver/vz/fault.h"
#include "driver/vz/hot_disk.h"
#include "driver/vz/save.h"
#include "vm/hypervisor.h"
#include "vm/tie.h"
#include "vmtest/log.h"

#define LOG_MAX ((size_t)1 << 20)
#define LINE_MAX_SHOWN 400

void vt_vz_note_end(struct vt_vz *vz, bool crashed, const char *reason)
{
    if (vz->end_reason)
        return;
    vz->crashed = crashed;
    vz->end_reason = vt_strdup(reason);
}

/* --- what it tells --- */

static void on_stopped(struct vt_vz *vz, const json_t *event)
{
    (void)event;
    if (vt_vz_again_stopped(vz))
        return;
    vt_vz_note_end(vz, false, "guest powered off");
    vt_vz_helper_kill(vz->helper); /* which has no VM any more */
}

static void on_failed(struct vt_vz *vz, const json_t *event)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_vz_fault(json_object_get(event, "error"), "run", &why);
    vt_vz_note_end(vz, true, why.message);
    vt_vz_helper_kill(vz->helper);
}

static void on_network_lost(struct vt_vz *vz, const json_t *event)
{
    vt_log(VT_LOG_WARNING, "VM %s: its interface %lld lost its network: %s", vz->config->name,
           (long long)vt_json_int(event, "nic", 0) + 1,
           vt_json_str(json_object_get(event, "error"), "message", "no reason given"));
}

static void on_event(const char *name, const json_t *event, void *user)
{
    static const struct {
        const char *name;
        void (*handle)(struct vt_vz *vz, const json_t *event);
    } events[] = {
        {"stopped", on_stopped},
        {"failed", on_failed},
        {"network_lost", on_network_lost},
    };
    struct vt_vz *vz = user;
    for (size_t i = 0; i < sizeof events / sizeof *events && vz->helper; i++)
        if (!strcmp(events[i].name, name))
            events[i].handle(vz, event);
}

void vt_vz_take_hello(struct vt_vz *vz, const json_t *hello)
{
    vt_free(vz->version);
    vz->version = vt_strdup(vt_json_str(hello, "version", NULL));
    vz->fake = vt_json_bool(hello, "fake", false);
}

static void on_hello(const json_t *hello, void *user)
{
    struct vt_vz *vz = user;
    vt_vz_take_hello(vz, hello);
    if (vz->boot)
        vt_vz_boot_hello(vz->boot);
    else if (vz->attach_op)
        vt_vz_attach_hello(vz);
}

static void on_write(const char *data, size_t n, void *user)
{
    struct vt_vz *vz = user;
    if (vz->helper)
        vt_vz_helper_write(vz->helper, data, n);
}

static void on_broken(const struct vt_error *why, void *user)
{
    struct vt_vz *vz = user;
    if (vz->boot) {
        vt_vz_boot_fail(vz, why);
        return;
    }
    if (!vz->helper)
        return;
    vt_vz_note_end(vz, true, why->message);
    vt_vz_helper_kill(vz->helper);
}

static void on_data(const char *data, size_t n, void *user)
{
    struct vt_vz *vz = user;
    if (vz->client)
        vt_monitor_feed(vz->client, data, n);
}

/* --- its end --- */

/* The last line that it wrote. */
static void last_line(const struct vt_vz *vz, struct vt_buf *out)
{
    struct vt_buf text = VT_BUF_INIT;
    if (vt_read_file(vz->log, LOG_MAX, &text, NULL) == VT_OK && text.len) {
        while (text.len && strchr("\n ", text.data[text.len - 1]))
            text.data[--text.len] = '\0';
        const char *line = strrchr(text.data, '\n');
        line = line ? line + 1 : text.data;
        vt_buf_add(out, line, strnlen(line, LINE_MAX_SHOWN));
    }
    vt_buf_free(&text);
}

static void describe_end(const struct vt_vz *vz, int status, int sig, struct vt_buf *out)
{
    struct vt_buf line = VT_BUF_INIT;
    if (sig)
        vt_buf_printf(out, "vmtest-vz was killed by signal %d (%s)", sig, strsignal(sig));
    else if (status == VT_STATUS_UNKNOWN)
        vt_buf_puts(out, "vmtest-vz ended without a word");
    else
        vt_buf_printf(out, "vmtest-vz ended with status %d", status);
    last_line(vz, &line);
    if (line.len)
        vt_buf_printf(out, ": %s", line.data);
    vt_buf_free(&line);
}

static void boot_ended(struct vt_vz *vz, int status, const char *reason)
{
    struct vt_error why = VT_ERROR_INIT;
    if (status == VT_TIE_LOCKED) {
        vt_fail(&why, VT_EBUSY, "vm.start", "VM %s runs already, in another process",
                vz->config->name);
    } else {
        vt_fail(&why, VT_EHYPERVISOR, "vm.start", "VM %s did not start: %s", vz->config->name,
                reason);
        vt_hint(&why, "`vmtest-vz --check` tells what this host can do");
    }
    vt_vz_boot_fail(vz, &why);
}

/* Everything that waited for it fails. */
static void fail_all(struct vt_vz *vz, const char *reason)
{
    struct vt_op *attach_op = vz->attach_op, *reset_op = vz->reset_op;
    struct vt_error gone = VT_ERROR_INIT;
    vt_fail(&gone, VT_EGUEST, "vm", "VM %s is gone: %s", vz->config->name, reason);
    vz->attach_op = vz->reset_op = NULL;
    vt_timer_clear(&vz->greeting);
    vt_monitor_fail(vz->client, &gone);
    vt_vz_drop_helper(vz, false);
    if (attach_op)
        vt_op_fail(attach_op, &gone);
    if (reset_op)
        vt_op_fail(reset_op, &gone);
}

static void on_ended(int status, int sig, void *user)
{
    struct vt_vz *vz = user;
    struct vt_op *kill_op = vz->kill_op;
    struct vt_buf reason = VT_BUF_INIT;
    bool crashed = vz->crashed || !vz->end_reason;
    if (vz->end_reason)
        vt_buf_puts(&reason, vz->end_reason);
    else
        describe_end(vz, status, sig, &reason);
    vz->kill_op = NULL;
    const bool goes_back = vz->boot != NULL; /* the end may be one it asked for */
    if (goes_back && !vt_vz_boot_ended(vz->boot)) {
        boot_ended(vz, status, reason.data);
    } else if (!goes_back) {
        fail_all(vz, reason.data);
        vt_vm_ended(vz->vm, crashed, reason.data);
    }
    if (kill_op)
        vt_op_succeed(kill_op, NULL);
    vt_buf_free(&reason);
}

void vt_vz_drop_helper(struct vt_vz *vz, bool leave_running)
{
    struct vt_vz_helper *helper = vz->helper;
    vz->helper = NULL;
    vt_monitor_free(vz->client);
    vz->client = NULL;
    vt_vz_hot_disks_forget(vz, NULL);
    vt_vz_hot_disks_end(vz, leave_running);
    vt_vz_helper_free(helper, leave_running);
    vt_vz_console_close(vz->tail); /* with the last it said */
    vz->tail = NULL;
}

/* --- its beginning --- */

static const struct vt_vz_helper_handler helper_handler = {.data = on_data, .ended = on_ended};

static void begin(struct vt_vz *vz)
{
    const struct vt_monitor_handler client = {
        .write = on_write, .greeted = on_hello, .event = on_event, .broken = on_broken, .user = vz};
    vt_free(vz->end_reason);
    vz->end_reason = NULL;
    vz->crashed = vz->starts_again = false;
    vz->client = vt_monitor_new(&vt_vz_client, &client);
}

enum vt_code vt_vz_watch(struct vt_vz *vz, struct vt_error *err)
{
    const struct vt_image *image = vz->config->image;
    /* the helper itself watches over who started it */
    const struct vt_tie tie = {.lock = vz->lock, .use = image->version ? image->dir : NULL};
    struct vt_args args = VT_ARGS_INIT;
    struct vt_vz_helper_handler handler = helper_handler;
    handler.user = vz;
    if (vt_lock_held(vz->lock, NULL)) /* before its socket is removed; the lock itself decides */
        return vt_fail(err, VT_EBUSY, "vm.start", "VM %s runs already, in another process",
                       vz->config->name);
    if (vt_tie_begin(&args, &tie, err) || vt_vz_console_prepare(vz, err)) {
        vt_args_free(&args);
        return err->code;
    }
    vt_args_add(&args, vz->program);
    vt_remove_tree(vz->agent, NULL); /* of a helper that was killed */
    const struct vt_vz_helper_opts opts = {.args = &args,
                                           .socket_path = vz->socket,
                                           .log_path = vz->log,
                                           .tied = !vz->config->keep,
                                           .lease = vt_vm_lease_fd(vz->vm)};
    vz->helper = vt_vz_helper_start(vz->loop, &opts, &handler, err);
    vt_args_free(&args);
    if (!vz->helper)
        return err->code;
    begin(vz);
    vz->tail = vt_vz_console_open(vz);
    return VT_OK;
}

enum vt_code vt_vz_watch_running(struct vt_vz *vz, struct vt_error *err)
{
    struct vt_vz_helper_handler handler = helper_handler;
    handler.user = vz;
    vz->helper = vt_vz_helper_attach(vz->loop, vz->socket, vz->lock, &handler, err);
    if (!vz->helper)
        return err->code;
    begin(vz);
    vz->tail = vt_vz_console_open(vz);
    return VT_OK;
}
