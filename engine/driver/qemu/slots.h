/* What is plugged into a VM while it runs, and taken out again: shares (hot_share.c) and disks
 * (hot_disk.c).
 *
 * Every VM has some free PCI Express ports for that, its slots; one thing is plugged in or taken
 * out at a time. What is in them is no part of the configuration and ends with QEMU's process. */
#ifndef VT_DRIVER_QEMU_SLOTS_H
#define VT_DRIVER_QEMU_SLOTS_H

#include "driver/qemu/instance.h"

#define VT_QEMU_SLOTS 4
#define VT_QEMU_SLOT_ID_MAX 16 /* bytes of an id, NUL included */

struct vt_qemu_plug; /* a kind of thing, see below */

struct vt_qemu_slot {
    const struct vt_qemu_plug *plug; /* NULL: the slot is free */
    char *name;                      /* of the thing, unique among those of its kind */
    void *own;                       /* its kind's */
    bool leaving;                    /* the guest was asked to give it up */
    bool deleted;                    /* and has */
};

struct vt_qemu_plug {
    const char *what;                /* "share", for messages */
    const char *plug_op, *unplug_op; /* of errors */
    const char *make_room;           /* a hint for who needs a free slot */
    /* The guest has given it up: takes what stands behind it from QEMU, and calls
     * vt_qemu_slot_cleared(), also from within this call. */
    void (*deleted)(struct vt_qemu *q, struct vt_qemu_slot *slot);
    /* Frees `own`. gone: QEMU does not use it any more, so its processes and files end, too. */
    void (*release)(struct vt_qemu_slot *slot, bool gone);
};

void vt_qemu_slots_init(struct vt_qemu *q);
void vt_qemu_slots_free(struct vt_qemu *q);

/* QEMU's process is gone: so is everything that was plugged in. */
void vt_qemu_slots_end(struct vt_qemu *q);

/* Forgets this op, or any (NULL), while what it began goes on. */
void vt_qemu_slots_forget(struct vt_qemu *q, const struct vt_op *op);

/* QEMU's event DEVICE_DELETED. */
void vt_qemu_slots_deleted(struct vt_qemu *q, const json_t *data);

/* True, with the reason, where one stands against a snapshot: a restored QEMU would not have it. */
bool vt_qemu_slots_block_snapshot(const struct vt_qemu *q, struct vt_error *err);

/* --- for the kinds --- */

/* Slot i, below VT_QEMU_SLOTS; and its number. */
struct vt_qemu_slot *vt_qemu_slot(const struct vt_qemu *q, size_t i);
size_t vt_qemu_slot_index(const struct vt_qemu *q, const struct vt_qemu_slot *slot);

/* "slot0" and a suffix: the device has the id without one, the port "-port". */
void vt_qemu_slot_id(size_t i, const char *suffix, char out[VT_QEMU_SLOT_ID_MAX]);

/* What is plugged in under this name, or NULL. */
struct vt_qemu_slot *vt_qemu_slot_find(const struct vt_qemu *q, const struct vt_qemu_plug *plug,
                                       const char *name);

/* The operation `op` begins, to plug this in: the slot for it, whose `own` the caller sets. NULL
 * with VT_ESTATE (the VM does not run), VT_EBUSY (another operation, or the name is taken) or
 * VT_ELIMIT. */
struct vt_qemu_slot *vt_qemu_slot_begin(struct vt_qemu *q, const struct vt_qemu_plug *plug,
                                        const char *name, struct vt_op *op, struct vt_error *err);

/* Asks QEMU on behalf of the operation; fn's user is q. fn begins with vt_qemu_slot_replied(),
 * which gives the slot. */
void vt_qemu_slot_ask(struct vt_qemu *q, const char *command, json_t *arguments,
                      vt_monitor_reply_fn fn);
struct vt_qemu_slot *vt_qemu_slot_replied(struct vt_qemu *q);

/* The operation's end; where it failed, its slot is free again. */
void vt_qemu_slot_plugged(struct vt_qemu *q, const struct vt_error *why);

/* Takes it out: asks the guest for it, and waits for some seconds. VT_ENOTFOUND, VT_EBUSY. */
void vt_qemu_slot_unplug(struct vt_qemu *q, const struct vt_qemu_plug *plug, const char *name,
                         struct vt_op *op);

/* Nothing of it is left in QEMU: the slot is free, whatever held it. */
void vt_qemu_slot_cleared(struct vt_qemu *q, struct vt_qemu_slot *slot);

/* Takes up what another process plugged into the slot of this entry of the VM's facts ("name",
 * "slot"): the caller sets its `own`. NULL where the entry is of no free slot. */
struct vt_qemu_slot *vt_qemu_slot_take_up(struct vt_qemu *q, const struct vt_qemu_plug *plug,
                                          const json_t *entry);

#endif
