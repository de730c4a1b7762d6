/* What a recipe that starts a guest by itself takes of this host (`# needs: macos_guest memory=8G
 * cpus=4`), which vmtest's other processes would else know nothing of. */
#ifndef VT_CLI_BUILD_NEEDS_H
#define VT_CLI_BUILD_NEEDS_H

#include "cli/making.h"
#include "image/recipe.h"
#include "vm/lease.h"

/* Reads the recipe's line; a setting named memory or cpus counts before what it says of that. All
 * of *needs is zero where there is no line. VT_EINVAL. */
enum vt_code vt_build_needs(const struct vt_recipe *recipe, const struct vt_build *build,
                            struct vt_needs *needs, struct vt_error *err);

/* Takes it for a build of the image `name`, waiting up to `wait` seconds: told on standard error.
 * Fails as vt_lease_take() does, and with VT_ECANCELED where a signal comes that the caller holds
 * back (vt_signals_hold()). The caller owns *lease: NULL where nothing is needed. */
enum vt_code vt_build_needs_take(const char *name, const struct vt_needs *needs, double wait,
                                 struct vt_lease **lease, struct vt_error *err);

#endif
