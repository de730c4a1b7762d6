/* What building, refreshing and importing share: a version of an image from beginning to end. */
#ifndef VT_CLI_MAKING_H
#define VT_CLI_MAKING_H

#include "cli/options.h"
#include "cli/program.h"
#include "vmtest/store.h"

struct vt_setting { /* --set KEY=VALUE */
    char *key, *value;
};

struct vt_build {
    const char *name; /* of the image */
    const char *dir;  /* the version's folder to be */
    const char *work; /* folder in it for what is in between; gone before the version is whole */
    const struct vt_setting *settings;
    size_t setting_count;
    bool verbose;   /* output is shown as it comes */
    double timeout; /* seconds, more than 0 */
};

struct vt_making {
    const struct vt_command *self;
    struct vt_build build; /* name, verbose, timeout, settings: set by the caller */
    struct vt_image_made made;
    char *parent; /* owned; what made.parent may be set to */
    int signal;   /* that ended it, or 0 */

    /* Fills build.dir; may set the rest of `made`, and `signal`. What is in the image it may write
     * to contents.json there or in build.work. */
    enum vt_code (*fill)(struct vt_making *m, struct vt_error *err);
    void *user;
};

/* Begins a version, has it filled, and commits it; prints NAME@VERSION on stdout. Returns the exit
 * code; on failure, which is reported on stderr, nothing is left. */
int vt_making_run(struct vt_making *m);

/* Copies a file of an image into a version's folder, by a second link where that can be: versions
 * are never written to. */
enum vt_code vt_making_copy(const char *from, const char *dir, const char *name,
                            struct vt_error *err);

/* Runs `qemu-img …` (argv with its name first); its standard output goes to the file `out`. */
enum vt_code vt_making_qemu_img(struct vt_making *m, const char *const *argv, const char *out,
                                struct vt_error *err);

#endif
