#include "vz/files.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum wanted { A_FILE, A_DISK, A_FOLDER };

static void check(const char *place, const char *path, enum wanted wanted,
                  struct vtz_failure *failure)
{
    struct stat st;
    if (!path || failure->message)
        return;
    if (stat(path, &st))
        vtz_fail(failure, VTZ_FILE, "%s: %s: %s", place, path, strerror(errno));
    else if (wanted == A_FOLDER
                 ? !S_ISDIR(st.st_mode)
                 : !S_ISREG(st.st_mode) && !(wanted == A_DISK && S_ISBLK(st.st_mode)))
        vtz_fail(failure, VTZ_FILE, "%s: %s: is not a %s", place, path,
                 wanted == A_FOLDER ? "folder" : "file");
}

/* The installer of macOS does not follow symbolic links. `may_miss`: the last part need not exist.
 */
static void check_no_links(const char *place, const char *path, bool may_miss,
                           struct vtz_failure *failure)
{
    char folder[PATH_MAX], *real;
    if (!path || failure->message)
        return;
    snprintf(folder, sizeof folder, "%s", path);
    if (may_miss && access(path, F_OK)) {
        char *slash = strrchr(folder, '/');
        slash[slash == folder] = '\0'; /* "/" stays */
    }
    real = realpath(folder, NULL);
    if (!real)
        vtz_fail(failure, VTZ_FILE, "%s: %s: %s", place, folder, strerror(errno));
    else if (strcmp(real, folder) != 0)
        vtz_fail(failure, VTZ_FILE,
                 "%s: %s: macOS guests need a path without symbolic links: this is %s", place,
                 folder, real);
    free(real);
}

void vtz_check_config_files(const struct vtz_config *config, struct vtz_failure *failure)
{
    const struct vtz_boot *boot = &config->boot;
    bool mac = boot->kind == VTZ_BOOT_MACOS;
    char place[64];
    check("config.boot.kernel", boot->kernel, A_FILE, failure);
    check("config.boot.initrd", boot->initrd, A_FILE, failure);
    check_no_links("config.boot.auxiliary", boot->auxiliary, true, failure);
    for (size_t i = 0; i < config->disk_count; i++) {
        snprintf(place, sizeof place, "config.disks[%zu].path", i);
        check(place, config->disks[i].path, A_DISK, failure);
        if (mac)
            check_no_links(place, config->disks[i].path, false, failure);
    }
    for (size_t i = 0; i < config->share_count; i++) {
        snprintf(place, sizeof place, "config.shares[%zu]", i);
        for (size_t k = 0; k < config->shares[i].dir_count; k++)
            check(place, config->shares[i].dirs[k].path, A_FOLDER, failure);
    }
}

void vtz_check_call_files(const struct vtz_call *call, struct vtz_failure *failure)
{
    struct stat st;
    switch (call->op) {
    case VTZ_OP_SAVE:
        if (lstat(call->path, &st) == 0)
            vtz_fail(failure, VTZ_FILE, "path: %s: exists already", call->path);
        break;
    case VTZ_OP_INSTALL:
        check("path", call->path, A_FILE, failure);
        check_no_links("path", call->path, false, failure);
        break;
    case VTZ_OP_RESTORE:
    case VTZ_OP_RESTORE_IMAGE:
        check("path", call->path, A_FILE, failure);
        break;
    case VTZ_OP_ATTACH_USB:
        check("path", call->path, A_DISK, failure);
        break;
    default:
        break;
    }
}
