/* What a snapshot of this driver says of the QEMU it came from, and whether this one can go on. */
#ifndef VT_DRIVER_QEMU_FACTS_H
#define VT_DRIVER_QEMU_FACTS_H

#include "driver/qemu/instance.h"

/* Adds "hypervisor" and "qemu" for a snapshot that has all layers but the last of each disk. */
void vt_qemu_facts_add(const struct vt_qemu *q, json_t *facts);

/* Whether the folder is whole and this host's QEMU is the same. */
enum vt_code vt_qemu_facts_check(const struct vt_qemu *q, const char *dir, const json_t *facts,
                                 struct vt_error *err);

/* Names of the layers of a disk, in order. Borrowed. */
const json_t *vt_qemu_facts_layers(const json_t *facts, const char *disk);

/* Arguments of migrate-set-capabilities. */
json_t *vt_qemu_migration_capabilities(bool ignore_shared);

#endif
