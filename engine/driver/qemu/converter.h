/* A second QEMU that takes a guest's whole state, never runs it, and saves it with RAM that lies in
 * a file of its own. */
#ifndef VT_DRIVER_QEMU_CONVERTER_H
#define VT_DRIVER_QEMU_CONVERTER_H

#include "driver/qemu/instance.h"

struct vt_qemu_converter;

struct vt_qemu_converter_handler {
    /* It waits for a state; or, with why->code set and at any time, it is gone. */
    void (*ready_or_ended)(const struct vt_error *why, void *user);
    void (*migration)(const char *status, void *user);
};

/* Of the same configuration as q. NULL with *err set on failure. */
struct vt_qemu_converter *vt_qemu_converter_start(struct vt_qemu *q,
                                                  const struct vt_qemu_converter_handler *handler,
                                                  void *user, struct vt_error *err);

/* Kills and frees it (NULL: nothing); also from within its own callbacks. */
void vt_qemu_converter_free(struct vt_qemu_converter *converter);

struct vt_monitor *vt_qemu_converter_qmp(const struct vt_qemu_converter *converter);
long vt_qemu_converter_pid(const struct vt_qemu_converter *converter);
const char *vt_qemu_converter_folder(const struct vt_qemu_converter *converter);

/* A descriptor that is put there goes with the next command. */
int *vt_qemu_converter_slot(struct vt_qemu_converter *converter);

#endif
