/* The screen and the keyboard of a VM. */
#ifndef VT_DRIVER_QEMU_SCREEN_H
#define VT_DRIVER_QEMU_SCREEN_H

#include "vm/driver.h"

struct vt_qemu;

/* Whether a VM of this configuration has them. */
bool vt_qemu_has_screen(const struct vt_vm_config *config);

/* For VT_CAP_SCREENSHOT, VT_CAP_KEYS and VT_CAP_VNC. */
bool vt_qemu_screen_supports(const struct vt_qemu *q, enum vt_capability cap, struct vt_error *why);

void vt_qemu_screenshot(void *instance, const char *path, struct vt_op *op);

/* Forgets the screenshot under way that `op` asked for. */
void vt_qemu_screen_forget(struct vt_qemu *q, const struct vt_op *op);
/* QEMU is gone. */
void vt_qemu_screen_drop(struct vt_qemu *q);

/* Each event goes out when the guest has taken the one before from its keyboard (x86-64), or a
 * moment later where QEMU does not tell (arm64: a USB keyboard, polled by the guest). */
void vt_qemu_send_keys(void *instance, const char *const *chords, struct vt_op *op);

/* Lets go of the keys that are down, and forgets the rest of what `op` asked for; of all, where it
 * is NULL. */
void vt_qemu_keys_forget(struct vt_qemu *q, const struct vt_op *op);

/* Reads "ctrl-alt-f1": appends the names of its keys to `keys`, pointers into a static table, at
 * most VT_CHORD_MAX. *count is set. VT_EINVAL names the one that is no QKeyCode and the nearest
 * that is. */
#define VT_CHORD_MAX 8
enum vt_code vt_qemu_chord(const char *chord, const char *keys[VT_CHORD_MAX], size_t *count,
                           struct vt_error *err);

/* Every name of QEMU's QKeyCode (qapi/ui.json), NULL-terminated. */
extern const char *const vt_qemu_keys[];

#endif
