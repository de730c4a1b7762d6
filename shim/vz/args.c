#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vz/backend.h"
#include "vz/serve.h"

enum { EXIT_USAGE = 2 };

static const char usage[] = "Usage: vmtest-vz [--tie FD] [--lease FD] SOCKET\n"
                            "       vmtest-vz --check | --version\n"
                            "\n"
                            "Hosts one VM of Apple's Virtualization framework; vmtest starts it.\n"
                            "\n"
                            "  --tie FD    the VM ends when reading FD gives end-of-file\n"
                            "  --lease FD  kept open as long as the VM lives\n"
                            "  --check     prints what this host can do\n";

/* An open descriptor by its number, which programs do not inherit from now on; -1: it is none. */
static int descriptor(const char *word)
{
    char *end = NULL;
    errno = 0;
    long fd = word && *word >= '0' && *word <= '9' ? strtol(word, &end, 10) : -1;
    if (fd < 0 || errno || !end || *end || fd > INT_MAX || fcntl((int)fd, F_SETFD, FD_CLOEXEC))
        return -1;
    return (int)fd;
}

static int misused(const char *what, const char *word)
{
    fprintf(stderr, "vmtest-vz: %s%s\n%s", what, word ? word : "", usage);
    return EXIT_USAGE;
}

static int serve(struct vtz_serve *options, int argc, char **argv)
{
    struct vtz_failure failure = VTZ_FAILURE_INIT;
    int at = 1;
    for (; at < argc && !strncmp(argv[at], "--", 2); at += 2) {
        int fd = at + 1 < argc ? descriptor(argv[at + 1]) : -1;
        if (strcmp(argv[at], "--tie") != 0 && strcmp(argv[at], "--lease") != 0)
            return misused("there is no option ", argv[at]);
        if (fd < 0)
            return misused("an open descriptor has to follow ", argv[at]);
        if (!strcmp(argv[at], "--tie"))
            options->tie = fd;
    }
    if (argc - at != 1)
        return misused("one SOCKET is needed", NULL);
    options->socket = argv[at];
    umask(0077);
    int code = vtz_serve(options, &failure);
    if (code)
        fprintf(stderr, "vmtest-vz: %s\n", failure.message);
    vtz_failure_clear(&failure);
    return code;
}

int vtz_main(int argc, char **argv, const struct vtz_backend *backend)
{
    struct vtz_serve options = {.tie = -1, .backend = backend};
    const char *first = argc == 2 ? argv[1] : "";
    if (!strcmp(first, "--help")) {
        fputs(usage, stdout);
        return 0;
    }
    if (!strcmp(first, "--version")) {
        printf("vmtest-vz %s%s\n", VT_VERSION,
               backend->fake ? " (a fake for tests: there is no hypervisor behind it)" : "");
        return 0;
    }
    if (!strcmp(first, "--check")) {
        struct vtz_failure failure = VTZ_FAILURE_INIT;
        int code = vtz_check(backend, &failure);
        if (code)
            fprintf(stderr, "vmtest-vz: %s\n", failure.message);
        vtz_failure_clear(&failure);
        return code;
    }
    return serve(&options, argc, argv);
}
