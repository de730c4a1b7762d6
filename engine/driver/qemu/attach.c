/* Taking up a QEMU that a process before this one left running. */
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/hot_disk.h"
#include "driver/qemu/hot_share.h"
#include "driver/qemu/instance.h"

#define OP "vm.attach"
#define GREETING_S 3.0 /* QEMU greets at once, unless another connection is being served */

static void attach_fail(struct vt_qemu *q, const struct vt_error *why)
{
    struct vt_op *op = q->attach_op;
    vt_qemu_attach_cancel(q);
    if (op)
        vt_op_fail(op, why);
}

void vt_qemu_attach_cancel(struct vt_qemu *q)
{
    if (!q->attach_op)
        return;
    q->attach_op = NULL;
    vt_timer_clear(&q->greeting);
    vt_qemu_drop_process(q, true);
}

static void on_greeting_late(struct vt_timer *timer)
{
    struct vt_qemu *q = timer->user;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EBUSY, OP,
            "VM %s is in use: another process speaks to its QEMU, which serves one at a time",
            q->config->name);
    vt_hint(&why, "`vmtest vm ls` tells which run it belongs to");
    attach_fail(q, &why);
}

/* What it wrote down when it was started; QEMU itself knows none of it. */
static void read_facts(struct vt_qemu *q)
{
    char *path = vt_path_join(q->config->state_dir, "vm.json");
    json_t *facts = NULL;
    if (vt_json_load(path, &facts, NULL) == VT_OK) {
        char **kept[] = {&q->accel, &q->accel_reason, &q->program};
        static const char *const keys[] = {"accel", "accel_reason", "program"};
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
            vt_free(*kept[i]);
            *kept[i] = vt_strdup(vt_json_str(facts, keys[i], NULL));
        }
        q->memory_private = vt_json_bool(facts, "memory_shared_with_snapshot", false);
        vt_qemu_forwards_restore(q, json_object_get(facts, "forwards"));
        vt_qemu_hot_shares_restore(q, facts);
        vt_qemu_hot_disks_restore(q, facts);
    }
    json_decref(facts);
    vt_free(path);
}

static void on_status(const json_t *result, const struct vt_error *failed, void *user)
{
    struct vt_qemu *q = user;
    struct vt_error why = VT_ERROR_INIT;
    const char *status = vt_json_str(result, "status", "unknown");
    bool running = !strcmp(status, "running"), paused = !strcmp(status, "paused");
    if (!q->attach_op)
        return;
    if (failed)
        why = *failed;
    else if (!running && !paused && strcmp(status, "postmigrate") != 0)
        vt_fail(&why, VT_ESTATE, OP, "QEMU of VM %s is in the state \"%s\": its start never ended",
                q->config->name, status);
    if (why.code) {
        attach_fail(q, &why);
        return;
    }
    struct vt_op *op = q->attach_op;
    q->attach_op = NULL;
    q->saved = !strcmp(status, "postmigrate");
    vt_vm_attached(q->vm, !running);
    vt_op_succeed(op, NULL);
}

static void on_capabilities(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    (void)result;
    if (!q->attach_op)
        return;
    vt_timer_clear(&q->greeting);
    if (why)
        attach_fail(q, why);
    else
        vt_monitor_request(q->qmp, "query-status", NULL, on_status, q);
}

void vt_qemu_attach(void *instance, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_error why = VT_ERROR_INIT;
    q->attach_op = op;
    read_facts(q);
    if (vt_qemu_watch_running(q, &why)) {
        attach_fail(q, &why);
        return;
    }
    vt_timer_set(&q->greeting, q->loop, GREETING_S, on_greeting_late, q);
    vt_monitor_request(q->qmp, "qmp_capabilities", NULL, on_capabilities, q);
}
