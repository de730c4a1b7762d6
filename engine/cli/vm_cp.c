/* vmtest vm cp NAME:PATH PATH, vmtest vm cp PATH NAME:PATH */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/vm_guest.h"
#include "core/fs.h"
#include "core/mem.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define TIMEOUT_S 600.0

enum { TIMEOUT, VERIFY };

static const struct vt_option options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "give up after this time (default: 10m)"},
    [VERIFY] = {0, "verify", NULL, "compare digests that the guest itself computes"},
    {0},
};

static void on_result(const void *result, void *user)
{
    const struct vt_transfer_result *r = result;
    (void)user;
    fprintf(stderr, "%u file%s, %llu bytes in %.1f s", r->files, r->files == 1 ? "" : "s",
            (unsigned long long)r->bytes, r->duration);
    if (r->skipped)
        fprintf(stderr, "; %u left out (links, devices)", r->skipped);
    fputc('\n', stderr);
}

/* The colon of "NAME:PATH"; NULL for a path of the host ("./a:b" is one). */
static char *colon_of(char *text)
{
    char *colon = strchr(text, ':'), *slash = strchr(text, '/');
    /* "RUN/NAME:PATH" has a slash before its colon; "./" and "/" begin a path */
    if (!colon || colon == text || text[0] == '/' || text[0] == '.')
        return NULL;
    return slash && slash < colon && vt_is_dir(text) ? NULL : colon;
}

/* "dir" as a destination means dir/NAME, as with cp. */
static char *destination(const char *to, const char *from)
{
    size_t n = strlen(to);
    if (n && to[n - 1] == '/')
        return vt_path_join(to, vt_path_base(from));
    return vt_is_dir(to) ? vt_path_join(to, vt_path_base(from)) : vt_strdup(to);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    char *from = colon_of(args[0]), *to = colon_of(args[1]);
    struct vt_transfer_opts opts = {.timeout = TIMEOUT_S, .verify = values[VERIFY] != NULL};
    if (values[TIMEOUT] &&
        (vt_parse_duration(values[TIMEOUT], &opts.timeout, &err) || opts.timeout <= 0))
        return vt_cli_usage(self, "--timeout takes a time above 0, such as 90s or 5m, not \"%s\"",
                            values[TIMEOUT]);
    if (!from == !to)
        return vt_cli_usage(self, "one of the two is to be NAME:PATH, a path in a VM%s",
                            from ? "; from VM to VM it goes by way of this host" : "");
    char *colon = from ? from : to, *name = from ? args[0] : args[1];
    *colon = '\0';
    if (!colon[1])
        return vt_cli_usage(self, "\"%s:\" names no path in the VM", name);
    char *local, *remote;
    if (from) {
        opts.direction = VT_GET;
        remote = vt_strdup(colon + 1);
        local = destination(args[1], colon + 1);
    } else {
        size_t n = strlen(colon + 1);
        opts.direction = VT_PUT;
        local = vt_strdup(args[0]);
        remote =
            colon[n] == '/' ? vt_path_join(colon + 1, vt_path_base(args[0])) : vt_strdup(colon + 1);
    }
    opts.local = local;
    opts.remote = remote;
    struct vt_guest_call call = {.name = name, .transfer = &opts, .on_result = on_result};
    int code = vt_guest_call(self, &call);
    vt_free(local);
    vt_free(remote);
    return code;
}

const struct vt_command vt_cmd_vm_cp = {
    .name = "vm cp",
    .args = "FROM TO",
    .summary = "copies files and folders into a running VM, or out of it",
    .details = "One of the two is NAME:PATH. A folder comes with all that is in it; links are not\n"
               "followed out of it.",
    .example = "vmtest vm cp report.html web:/tmp/\nvmtest vm cp web:/var/log ./logs",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
