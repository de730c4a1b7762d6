/* vmtest vm ssh NAME */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/vm_find.h"
#include "core/args.h"
#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "vmtest/run.h"

/* The pinned host key, for ssh to check: STATE/known_hosts. NULL where the image names none. */
static char *known_hosts(const struct vt_found *found, struct vt_error *err)
{
    if (!found->image->ssh_host_key)
        return NULL;
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "[%s]:%d %s\n", found->host, found->port, found->image->ssh_host_key);
    char *path = vt_path_join(found->named->state_dir, "known_hosts");
    if (vt_write_file(path, line.data, line.len, 0600, err)) {
        vt_free(path);
        path = NULL;
    }
    vt_buf_free(&line);
    return path;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    (void)values;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_found found;
    if (vt_vm_find_guest(args[0], &found, &err)) {
        vt_cli_error(self, &err);
        return VT_EXIT_USAGE;
    }
    struct vt_args ssh = VT_ARGS_INIT;
    char *hosts = known_hosts(&found, &err);
    vt_args_add(&ssh, "ssh");
    if (hosts) {
        vt_args_add(&ssh, "-o");
        vt_args_printf(&ssh, "UserKnownHostsFile=%s", hosts);
        vt_args_add(&ssh, "-oStrictHostKeyChecking=yes");
    } else {
        vt_args_add(&ssh, "-oUserKnownHostsFile=/dev/null");
        vt_args_add(&ssh, "-oStrictHostKeyChecking=no");
    }
    if (found.image->ssh_key) {
        vt_args_add(&ssh, "-oIdentitiesOnly=yes");
        vt_args_add(&ssh, "-i");
        vt_args_add(&ssh, found.image->ssh_key);
    }
    vt_args_add(&ssh, "-p");
    vt_args_printf(&ssh, "%d", found.port);
    vt_args_add(&ssh, "-l");
    vt_args_add(&ssh, found.image->ssh_user);
    vt_args_add(&ssh, "--");
    vt_args_add(&ssh, found.host);
    if (!err.code) {
        execvp(ssh.v[0], ssh.v);
        vt_fail_sys(&err, errno, "vm.ssh", "cannot start ssh");
        vt_hint(&err, "install OpenSSH's client, or use `vmtest vm exec`");
    }
    vt_cli_error(self, &err);
    vt_args_free(&ssh);
    vt_free(hosts);
    vt_found_free(&found);
    return VT_EXIT_INFRASTRUCTURE;
}

const struct vt_command vt_cmd_vm_ssh = {
    .name = "vm ssh",
    .args = "NAME",
    .summary = "opens a shell in a running VM",
    .details = "NAME is a VM's name, or RUN/NAME where several runs have one of that name.",
    .example = "vmtest vm ssh web",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
