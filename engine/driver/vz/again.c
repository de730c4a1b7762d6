/* Restarting: the framework has no reset and tells of no restart, so the VM is stopped hard, or
 * powers off, and is started again in the same helper. */
#include "driver/vz/hot_disk.h"
#include "driver/vz/instance.h"
#include "driver/vz/machine.h"

static void refuse(struct vt_vz *vz, struct vt_op *op)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ESTATE, "vm.reboot", "VM %s does not run", vz->config->name);
    vt_op_fail(op, &why);
}

/* A VM that was stopped and cannot be started is gone. */
static void on_started(const json_t *reply, const struct vt_error *why, void *user)
{
    struct vt_vz *vz = user;
    struct vt_op *op = vz->reset_op;
    (void)reply;
    vz->reset_op = NULL;
    if (why) {
        vt_vz_note_end(vz, true, why->message);
        vt_vz_helper_kill(vz->helper);
        if (op)
            vt_op_fail(op, why);
        return;
    }
    vt_vz_hot_disks_again(vz);
    if (op)
        vt_op_succeed(op, NULL);
    vt_vm_restarted(vz->vm);
}

static void start(struct vt_vz *vz)
{
    vt_monitor_request(vz->client, "start", vt_vz_start_members(vz), on_started, vz);
}

static void on_stopped_hard(const json_t *reply, const struct vt_error *why, void *user)
{
    struct vt_vz *vz = user;
    struct vt_op *op = vz->reset_op;
    (void)reply;
    if (!why) {
        start(vz);
        return;
    }
    vz->reset_op = NULL;
    if (op)
        vt_op_fail(op, why);
}

void vt_vz_reset(void *instance, struct vt_op *op)
{
    struct vt_vz *vz = instance;
    if (!vz->client) {
        refuse(vz, op);
        return;
    }
    vz->reset_op = op;
    vt_monitor_request(vz->client, "stop", NULL, on_stopped_hard, vz);
}

void vt_vz_start_again(void *instance, bool on)
{
    ((struct vt_vz *)instance)->starts_again = on;
}

bool vt_vz_again_stopped(struct vt_vz *vz)
{
    if (!vz->starts_again)
        return false;
    vz->starts_again = false;
    start(vz);
    return true;
}
