#include "driver/qemu/share.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__

#include <sched.h>
#include <sys/mount.h>

/* What is mounted within the folder does not come along: it would stay writable. */
static int make_read_only(const char *folder)
{
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount(folder, folder, NULL, MS_BIND, NULL) ||
        mount(NULL, folder, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL))
        return errno;
    return 0;
}

#else

static int make_read_only(const char *folder)
{
    (void)folder;
    return ENOTSUP;
}

#endif

int vt_readonly_main(int argc, char **argv)
{
    if (argc < 5 || strcmp(argv[3], "--") != 0) {
        fputs("usage: vmtest __readonly FOLDER -- PROGRAM [ARGUMENT…]\n", stderr);
        return 64;
    }
    int sys = make_read_only(argv[2]);
    if (sys) {
        fprintf(stderr, "cannot make %s read-only: %s\n", argv[2], strerror(sys));
        return 1;
    }
    execv(argv[4], argv + 4);
    fprintf(stderr, "cannot run %s: %s\n", argv[4], strerror(errno));
    return 127;
}
