/* Images made by a VM: of a Lua recipe, and by `vmtest image refresh`. The VM lives in a run of its
 * own, with all that a run has: a worker process, deadlines, nothing left behind. */
#ifndef VT_CLI_LUA_BUILD_H
#define VT_CLI_LUA_BUILD_H

#include "cli/making.h"

struct vt_lua_build {
    const char *recipe;  /* path of a Lua recipe; or NULL: a refresh … */
    const char *refresh; /* … of this "NAME@VERSION" */
    const char *update;  /* its command; NULL: what fits the guest's os-release */
};

/* Runs it and fills the version's folder: the disk, flattened to a qcow2 of its own, the other
 * files of the image it started from, image.json, and contents.json with what the guest told. Sets
 * m->parent to the image it started from. */
enum vt_code vt_lua_build_run(struct vt_making *m, const struct vt_lua_build *what,
                              struct vt_error *err);

#endif
