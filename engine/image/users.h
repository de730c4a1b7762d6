/* Who needs a version although no process has it open: saved snapshots and named VMs, which are
 * overlays of its disk. */
#ifndef VT_IMAGE_USERS_H
#define VT_IMAGE_USERS_H

#include "image/layout.h"

struct vt__users {
    struct vt__names files;  /* paths of snapshot.json and vm.json files */
    struct vt__names images; /* what each is made of, "NAME@VERSION"; "?": it cannot be read */
};

/* Looks through HOME, but for images, caches and what lives no longer than a run. */
enum vt_code vt__users_find(struct vt__users *users, struct vt_error *err);
void vt__users_free(struct vt__users *users);

/* The file that needs this version, or may need it; NULL: none. */
const char *vt__users_of(const struct vt__users *users, const char *name, const char *version);

#endif
