/* Folders of snapshots: what the operations of this room share about them. */
#ifndef VT_VM_SNAPSHOT_H
#define VT_VM_SNAPSHOT_H

#include <jansson.h>

#include "core/buf.h"
#include "vmtest/vm.h"

/* The VM's own folder of snapshots, made where it is missing. NULL with *err set for a VM that has
 * no scratch_dir. vt_free() it. */
char *vt__snapshots_own_dir(const struct vt_vm *vm, struct vt_error *err);

/* The folder that `path` names: a folder, or one of the VM's own snapshots. vt_free() it. */
char *vt__snapshot_find(const struct vt_vm *vm, const char *path);

/* Reads and checks DIR/snapshot.json. *facts is a new reference. VT_ENOTFOUND, VT_ESTATE (of
 * another format), VT_EPROTO. */
enum vt_code vt__snapshot_load(const char *dir, json_t **facts, struct vt_error *err);

/* The facts that vm itself knows, to be completed by the driver. A new reference. */
json_t *vt__snapshot_facts(const struct vt_vm *vm, const char *name);

/* Whether a snapshot with these facts belongs to this configuration, image and host. */
enum vt_code vt__snapshot_matches(const struct vt_vm *vm, const char *name, const json_t *facts,
                                  struct vt_error *err);

/* A snapshot in the making: a private folder in `dir` that nobody takes for a snapshot, and that
 * is removed by the next one made there if this process dies. */
struct vt__snapshot_stage {
    char *dir, *name;
    char *path; /* of the folder */
    char *lock;
    int lock_fd;
};

/* VT_EBUSY where the name is taken. */
enum vt_code vt__snapshot_stage_begin(struct vt__snapshot_stage *stage, const char *dir,
                                      const char *name, struct vt_error *err);

/* Writes snapshot.json, flushes all of it to disk where `durable`, and gives the folder its name.
 * Blocks: for a thread. */
enum vt_code vt__snapshot_stage_commit(struct vt__snapshot_stage *stage, const json_t *facts,
                                       bool durable, struct vt_error *err);

/* Removes what is still in the making, and frees the members. */
void vt__snapshot_stage_end(struct vt__snapshot_stage *stage);

#endif
