#include "driver/qemu/slots.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/hot_share.h"

#define UNPLUG_S 15.0 /* for a guest to give up what it does not use: Linux takes 5 s at most */

struct vt_qemu_slots {
    struct vt_qemu_slot v[VT_QEMU_SLOTS];
    struct vt_qemu_slot *at; /* of the operation under way, or of the reply that QEMU owes */
    struct vt_op *op;        /* or NULL */
    bool pending; /* QEMU owes a reply, also where the operation was forgotten meanwhile */
    struct vt_timer unplug;
};

struct vt_qemu_slot *vt_qemu_slot(const struct vt_qemu *q, size_t i)
{
    return &q->slots->v[i];
}

size_t vt_qemu_slot_index(const struct vt_qemu *q, const struct vt_qemu_slot *slot)
{
    return (size_t)(slot - q->slots->v);
}

void vt_qemu_slot_id(size_t i, const char *suffix, char out[VT_QEMU_SLOT_ID_MAX])
{
    snprintf(out, VT_QEMU_SLOT_ID_MAX, "slot%u%s", (unsigned)i, suffix);
}

struct vt_qemu_slot *vt_qemu_slot_find(const struct vt_qemu *q, const struct vt_qemu_plug *plug,
                                       const char *name)
{
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        struct vt_qemu_slot *s = &q->slots->v[i];
        if (s->plug == plug && !strcmp(s->name, name))
            return s;
    }
    return NULL;
}

void vt_qemu_slots_init(struct vt_qemu *q)
{
    q->slots = vt_calloc(1, sizeof *q->slots);
}

static void release(struct vt_qemu_slot *s, bool gone)
{
    if (!s->plug)
        return;
    s->plug->release(s, gone);
    vt_free(s->name);
    *s = (struct vt_qemu_slot){.plug = NULL};
}

void vt_qemu_slots_end(struct vt_qemu *q)
{
    vt_timer_clear(&q->slots->unplug);
    q->slots->at = NULL;
    q->slots->pending = false;
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++)
        release(&q->slots->v[i], true);
}

void vt_qemu_slots_free(struct vt_qemu *q)
{
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++)
        release(&q->slots->v[i], false); /* what runs on has it still: only its owner ends it */
    vt_timer_clear(&q->slots->unplug);
    vt_free(q->slots);
    q->slots = NULL;
}

void vt_qemu_argv_slots(struct vt_args *args, const struct vt_qemu_machine *m)
{
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        vt_qemu_argv_hot_share(args, m, i);
        vt_args_add(args, "-device");
        vt_args_printf(args, "pcie-root-port,id=slot%zu-port,chassis=%zu,slot=%zu", i, i + 1,
                       i + 1);
    }
}

/* --- one operation at a time --- */

static void finish(struct vt_qemu *q, const struct vt_error *why)
{
    struct vt_op *op = q->slots->op;
    q->slots->op = NULL;
    if (!q->slots->pending)
        q->slots->at = NULL;
    vt_timer_clear(&q->slots->unplug);
    if (op && why)
        vt_op_fail(op, why);
    else if (op)
        vt_op_succeed(op, NULL);
}

void vt_qemu_slots_forget(struct vt_qemu *q, const struct vt_op *op)
{
    struct vt_qemu_slots *slots = q->slots;
    if (!slots->op || (op && slots->op != op))
        return;
    slots->op = NULL; /* what was asked of QEMU goes on */
    if (!slots->pending)
        slots->at = NULL;
    vt_timer_clear(&slots->unplug);
}

void vt_qemu_slot_ask(struct vt_qemu *q, const char *command, json_t *arguments,
                      vt_monitor_reply_fn fn)
{
    q->slots->pending = true;
    vt_monitor_request(q->qmp, command, arguments, fn, q);
}

struct vt_qemu_slot *vt_qemu_slot_replied(struct vt_qemu *q)
{
    q->slots->pending = false;
    return q->slots->at;
}

static enum vt_code check_free(const struct vt_qemu *q, const char *op, struct vt_error *err)
{
    if (!q->qmp)
        return vt_fail(err, VT_ESTATE, op, "VM %s does not run", q->config->name);
    if (q->slots->op || q->slots->pending)
        return vt_fail(err, VT_EBUSY, op,
                       "VM %s: another share or disk is being plugged in or taken out",
                       q->config->name);
    return VT_OK;
}

/* --- in --- */

struct vt_qemu_slot *vt_qemu_slot_begin(struct vt_qemu *q, const struct vt_qemu_plug *plug,
                                        const char *name, struct vt_op *op, struct vt_error *err)
{
    struct vt_qemu_slots *slots = q->slots;
    size_t i = 0;
    if (check_free(q, plug->plug_op, err))
        return NULL;
    if (vt_qemu_slot_find(q, plug, name)) {
        vt_fail(err, VT_EBUSY, plug->plug_op, "VM %s has a %s \"%s\" already", q->config->name,
                plug->what, name);
        return NULL;
    }
    while (i < VT_QEMU_SLOTS && slots->v[i].plug)
        i++;
    if (i == VT_QEMU_SLOTS) {
        vt_fail(err, VT_ELIMIT, plug->plug_op,
                "VM %s has %d shares and disks that it was given while it runs: no more",
                q->config->name, VT_QEMU_SLOTS);
        vt_hint(err, "%s", plug->make_room);
        return NULL;
    }
    slots->op = op;
    slots->at = &slots->v[i];
    *slots->at = (struct vt_qemu_slot){.plug = plug, .name = vt_strdup(name)};
    return slots->at;
}

void vt_qemu_slot_plugged(struct vt_qemu *q, const struct vt_error *why)
{
    if (why)
        release(q->slots->at, true);
    vt_vm_changed(q->vm);
    finish(q, why);
}

/* --- out --- */

static void on_late(struct vt_timer *timer)
{
    struct vt_qemu *q = timer->user;
    const struct vt_qemu_slot *s = q->slots->at;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EBUSY, s->plug->unplug_op,
            "VM %s: the guest does not give up the %s \"%s\": it is in use still, or the guest does"
            " not know hot-plugging",
            q->config->name, s->plug->what, s->name);
    vt_hint(&why, "unmount it in the guest: it goes as soon as it is free");
    finish(q, &why);
}

static void give_up(struct vt_qemu *q, struct vt_qemu_slot *s)
{
    if (s->deleted)
        return;
    s->deleted = true;
    s->plug->deleted(q, s);
}

void vt_qemu_slot_cleared(struct vt_qemu *q, struct vt_qemu_slot *slot)
{
    release(slot, true);
    vt_vm_changed(q->vm);
    if (q->slots->at == slot)
        finish(q, NULL);
}

/* A process before this one may have asked already: the device is on its way out, or gone. */
static void on_asked(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct vt_qemu_slot *s = vt_qemu_slot_replied(q);
    (void)result;
    if (!s->plug) { /* the event came first */
        finish(q, NULL);
    } else if (why && strstr(why->message, "not found")) {
        give_up(q, s);
    } else if (why && !strstr(why->message, "already in the process of unplug")) {
        s->leaving = false;
        finish(q, why);
    } else if (!q->slots->op) { /* forgotten, or late */
        q->slots->at = NULL;
    }
}

static void not_found(const struct vt_qemu *q, const struct vt_qemu_plug *plug, const char *name,
                      struct vt_error *err)
{
    const char *names[VT_QEMU_SLOTS];
    size_t count = 0;
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++)
        if (q->slots->v[i].plug == plug)
            names[count++] = q->slots->v[i].name;
    vt_fail(err, VT_ENOTFOUND, plug->unplug_op, "VM %s has no %s \"%s\"", q->config->name,
            plug->what, name);
    const char *near = vt_nearest(name, names, count);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
}

void vt_qemu_slot_unplug(struct vt_qemu *q, const struct vt_qemu_plug *plug, const char *name,
                         struct vt_op *op)
{
    struct vt_error why = VT_ERROR_INIT;
    struct vt_qemu_slot *s = vt_qemu_slot_find(q, plug, name);
    char id[VT_QEMU_SLOT_ID_MAX];
    if (!s)
        not_found(q, plug, name, &why);
    if (!s || check_free(q, plug->unplug_op, &why)) {
        vt_op_fail(op, &why);
        return;
    }
    q->slots->op = op;
    q->slots->at = s;
    vt_timer_set(&q->slots->unplug, q->loop, UNPLUG_S, on_late, q);
    bool again = s->leaving;
    s->leaving = true;
    vt_qemu_slot_id(vt_qemu_slot_index(q, s), "", id);
    if (!again) /* QEMU takes no second request while the first waits */
        vt_qemu_slot_ask(q, "device_del", json_pack("{s:s}", "id", id), on_asked);
}

void vt_qemu_slots_deleted(struct vt_qemu *q, const json_t *data)
{
    const char *device = vt_json_str(data, "device", "");
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        struct vt_qemu_slot *s = &q->slots->v[i];
        char id[VT_QEMU_SLOT_ID_MAX];
        vt_qemu_slot_id(i, "", id);
        if (s->plug && !strcmp(device, id))
            give_up(q, s);
    }
}

/* --- facts --- */

bool vt_qemu_slots_block_snapshot(const struct vt_qemu *q, struct vt_error *err)
{
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        const struct vt_qemu_slot *s = &q->slots->v[i];
        if (!s->plug)
            continue;
        vt_fail(err, VT_EUNSUPPORTED, "vm.snapshot",
                "VM %s was given the %s \"%s\" while it ran: a restored VM would not have it",
                q->config->name, s->plug->what, s->name);
        vt_hint(err, "take it away first (%s), and give it again afterwards", s->plug->unplug_op);
        return true;
    }
    return false;
}

struct vt_qemu_slot *vt_qemu_slot_take_up(struct vt_qemu *q, const struct vt_qemu_plug *plug,
                                          const json_t *entry)
{
    int64_t i = vt_json_int(entry, "slot", -1);
    const char *name = vt_json_str(entry, "name", NULL);
    if (i < 0 || i >= VT_QEMU_SLOTS || !name || q->slots->v[i].plug)
        return NULL;
    q->slots->v[i] = (struct vt_qemu_slot){.plug = plug, .name = vt_strdup(name)};
    return &q->slots->v[i];
}
