/* Taking up a helper that a process before this one left running. */
#include <string.h>

#include "core/json.h"
#include "driver/vz/host.h"
#include "driver/vz/hot_disk.h"
#include "driver/vz/instance.h"

#define OP "vm.attach"
#define GREETING_S 5.0 /* it greets at once, unless it has too many clients */

static void fail(struct vt_vz *vz, const struct vt_error *why)
{
    struct vt_op *op = vz->attach_op;
    struct vt_error own = *why;
    vt_vz_attach_cancel(vz);
    if (op)
        vt_op_fail(op, &own);
}

void vt_vz_attach_cancel(struct vt_vz *vz)
{
    if (!vz->attach_op)
        return;
    vz->attach_op = NULL;
    vt_timer_clear(&vz->greeting);
    vt_vz_drop_helper(vz, true);
}

static void on_late(struct vt_timer *timer)
{
    struct vt_vz *vz = timer->user;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EBUSY, OP, "the helper of VM %s does not answer", vz->config->name);
    vt_hint(&why, "`vmtest vm kill` ends it");
    fail(vz, &why);
}

static void on_validated(const json_t *reply, const struct vt_error *why, void *user)
{
    struct vt_vz *vz = user;
    struct vt_op *op = vz->attach_op;
    if (!op)
        return;
    vz->not_saved = (struct vt_error)VT_ERROR_INIT;
    if (why)
        vz->not_saved = *why;
    vz->attach_op = NULL;
    const char *state = vt_json_str(why ? vz->host : reply, "state", "");
    vt_vm_attached(vz->vm, !strcmp(state, "paused"));
    vt_op_succeed(op, NULL);
}

static void on_host(const json_t *reply, const struct vt_error *failed, void *user)
{
    struct vt_vz *vz = user;
    struct vt_error why = VT_ERROR_INIT;
    const char *state = vt_json_str(reply, "state", "unknown");
    if (!vz->attach_op)
        return;
    if (failed)
        why = *failed;
    else if (strcmp(state, "running") != 0 && strcmp(state, "paused") != 0)
        vt_fail(&why, VT_ESTATE, OP,
                "the helper of VM %s is in the state \"%s\": its start never ended",
                vz->config->name, state);
    if (why.code) {
        fail(vz, &why);
        return;
    }
    vt_vz_host_take(vz, reply);
    vt_vz_hot_disks_restore(vz);
    vt_monitor_request(vz->client, "validate_save", NULL, on_validated, vz);
}

void vt_vz_attach_hello(struct vt_vz *vz)
{
    vt_timer_clear(&vz->greeting);
    vt_monitor_request(vz->client, "host", NULL, on_host, vz);
}

void vt_vz_attach(void *instance, struct vt_op *op)
{
    struct vt_vz *vz = instance;
    struct vt_error why = VT_ERROR_INIT;
    vz->attach_op = op;
    if (vt_vz_watch_running(vz, &why)) {
        fail(vz, &why);
        return;
    }
    vt_timer_set(&vz->greeting, vz->loop, GREETING_S, on_late, vz);
}
