/* Settings for the first start of a guest that has cloud-init. */
#ifndef VT_CLI_SEED_H
#define VT_CLI_SEED_H

#include <jansson.h>

#include "cli/making.h"

/* Makes a NoCloud seed (a small disk called "cidata", see cloud-init's reference, "NoCloud") in the
 * version's folder, with a user (NULL: root) that has a new key, a host key that is known, and the
 * word on the serial console that the guest is ready. Adds "seed", "ssh" and "ready" to the image's
 * description. Needs ssh-keygen and mtools. */
enum vt_code vt_seed_make(struct vt_making *m, const char *user, json_t *description,
                          struct vt_error *err);

#endif
