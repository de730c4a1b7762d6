#include "driver/qemu/share.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/socket.h"
#include "core/sys.h"
#include "driver/qemu/argv.h"
#include "vm/tie.h"

#define OP "vm.start"
#define SERVED_FD 3 /* virtiofsd finds its listening socket there */
#define END_MS 5000

static const char *const servers[] = {
    "/usr/lib/qemu/virtiofsd",
    "/usr/libexec/virtiofsd",
    "/usr/lib/virtiofsd",
    "virtiofsd",
};

/* NULL where virtiofs cannot be served here. */
static char *find_server(void)
{
    char *found = NULL;
    for (size_t i = 0; !found && !geteuid() && i < sizeof servers / sizeof *servers; i++)
        found = vt_find_program(servers[i]);
    return found;
}

bool vt_qemu_can_serve_virtiofs(void)
{
    char *server = find_server();
    bool can = server != NULL;
    vt_free(server);
    return can;
}

void vt_qemu_shares_init(struct vt_qemu *q)
{
    const struct vt_vm_config *c = q->config;
    bool virtiofs = c->share_count && vt_qemu_can_serve_virtiofs();
    q->shares = vt_calloc(c->share_count + 1, sizeof *q->shares);
    for (size_t i = 0; i < c->share_count; i++) {
        struct vt_buf name = VT_BUF_INIT;
        vt_buf_printf(&name, "fs%zu", i);
        q->shares[i].config = &c->shares[i];
        q->shares[i].virtiofs = virtiofs;
        q->shares[i].socket = vt_path_join(c->state_dir, name.data);
        vt_buf_free(&name);
    }
}

void vt_qemu_share_end(struct vt_qemu_share *s)
{
    if (s->pid)
        kill(-(pid_t)s->pid, SIGKILL);
    for (int ms = 0; s->pid && ms < END_MS && waitpid((pid_t)s->pid, NULL, WNOHANG) == 0; ms++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    s->pid = 0;
    unlink(s->socket);
}

void vt_qemu_shares_end(struct vt_qemu *q)
{
    for (size_t i = 0; q->shares && i < q->config->share_count; i++)
        vt_qemu_share_end(&q->shares[i]);
}

void vt_qemu_shares_free(struct vt_qemu *q)
{
    for (size_t i = 0; q->shares && i < q->config->share_count; i++)
        vt_free(q->shares[i].socket);
    vt_free(q->shares);
    q->shares = NULL;
}

/* --- starting virtiofsd --- */

static enum vt_code build(const struct vt_qemu *q, const struct vt_share *share, const char *op,
                          struct vt_args *args, struct vt_error *err)
{
    const struct vt_tie tie = {.tied = !q->config->keep};
    char *server = find_server(), *own = vt_own_program();
    enum vt_code code = VT_OK;
    if (!server || !own)
        code = vt_fail(err, VT_ENOTFOUND, op, "virtiofsd is not there any more");
    else
        code = vt_tie_begin(args, &tie, err);
    if (!code && share->read_only) {
        const char *const words[] = {own, "__readonly", share->path, "--"};
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            vt_args_add(args, words[i]);
    }
    if (!code) {
        vt_args_add(args, server);
        vt_args_printf(args, "--fd=%d", SERVED_FD);
        vt_args_add(args, "-o");
        vt_args_printf(args, "source=%s", share->path);
        vt_args_add(args, "-o");
        vt_args_add(args, "cache=auto");
    }
    vt_free(server);
    vt_free(own);
    return code;
}

/* Started without libuv's watching: it ends with its one connection, and is reaped in
 * vt_qemu_share_end(). */
static enum vt_code spawn(struct vt_qemu *q, struct vt_qemu_share *s, const char *op,
                          const struct vt_args *args, struct vt_error *err)
{
    int listener = vt_socket_listen(s->socket, 1, op, err);
    if (listener < 0)
        return err->code;
    int log = open(q->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        int to = fcntl(listener, F_DUPFD_CLOEXEC, 10); /* out of the way of the three */
        if (log >= 0 && dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0 &&
            dup2(to, SERVED_FD) >= 0)
            execv(args->v[0], args->v);
        _exit(127);
    }
    close(listener);
    if (log >= 0)
        close(log);
    if (pid < 0)
        return vt_fail_sys(err, errno, op, "cannot start virtiofsd");
    s->pid = pid;
    return VT_OK;
}

enum vt_code vt_qemu_share_serve(struct vt_qemu *q, struct vt_qemu_share *s, const char *op,
                                 struct vt_error *err)
{
    const struct vt_share *share = s->config;
    if (!vt_is_dir(share->path))
        return vt_fail(err, VT_ENOTFOUND, op, "VM %s: share \"%s\": there is no folder %s",
                       q->config->name, share->name, share->path);
    if (!s->virtiofs)
        return VT_OK;
    if (strchr(share->path, ','))
        return vt_fail(err, VT_EINVAL, op,
                       "VM %s: share \"%s\": virtiofsd takes no path with a comma (%s)",
                       q->config->name, share->name, share->path);
    struct vt_args args = VT_ARGS_INIT;
    enum vt_code code = build(q, share, op, &args, err);
    if (!code)
        code = spawn(q, s, op, &args, err);
    vt_args_free(&args);
    return code;
}

void vt_qemu_shares_prepare(struct vt_qemu *q, vt_qemu_step_fn done)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_qemu_shares_end(q);
    for (size_t i = 0; !why.code && i < q->config->share_count; i++)
        vt_qemu_share_serve(q, &q->shares[i], OP, &why);
    done(q, &why);
}

/* --- the command line --- */

static void add_9p(struct vt_args *args, const struct vt_share *share, size_t i)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "local,id=fs%zu,path=", i);
    vt_qemu_path_option(args, "-fsdev", prefix, share->path,
                        share->read_only ? VT_QEMU_9P_READ_ONLY : VT_QEMU_9P_READ_WRITE);
    vt_args_add(args, "-device");
    vt_args_printf(args, "virtio-9p-pci,fsdev=fs%zu,mount_tag=%s", i, share->name);
}

void vt_qemu_argv_shares(struct vt_args *args, const struct vt_qemu_machine *m)
{
    for (size_t i = 0; i < m->config->share_count; i++) {
        const struct vt_qemu_share *s = &m->shares[i];
        char prefix[64];
        if (!s->virtiofs) {
            add_9p(args, s->config, i);
            continue;
        }
        snprintf(prefix, sizeof prefix, "socket,id=fs%zu,path=", i);
        vt_qemu_path_option(args, "-chardev", prefix, s->socket, "");
        vt_args_add(args, "-device");
        vt_args_printf(args, "vhost-user-fs-pci,chardev=fs%zu,tag=%s", i, s->config->name);
    }
}

bool vt_qemu_share_blocks_snapshot(const struct vt_qemu *q, struct vt_error *err)
{
    for (size_t i = 0; i < q->config->share_count; i++) {
        if (!q->shares[i].virtiofs)
            continue;
        vt_fail(err, VT_EUNSUPPORTED, "vm.snapshot",
                "VM %s: QEMU saves no guest that has a virtiofs share (\"%s\")", q->config->name,
                q->shares[i].config->name);
        vt_hint(err, "leave out the share, or copy its files with vm:put()");
        return true;
    }
    return false;
}

void vt_qemu_share_info(const struct vt_qemu_share *s, json_t *list)
{
    const char *kind = s->virtiofs ? "virtiofs" : "9p";
    json_t *mount = json_pack("[s, s, s]", "mount", "-t", kind);
    if (!s->virtiofs) {
        json_array_append_new(mount, json_string("-o"));
        json_array_append_new(mount, json_string("trans=virtio,version=9p2000.L,msize=512000"));
    }
    json_array_append_new(mount, json_string(s->config->name));
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:b, s:o}", "name", s->config->name, "kind", kind,
                                    "read_only", (int)s->config->read_only, "mount", mount));
}

void vt_qemu_shares_info(const struct vt_qemu *q, json_t *facts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < q->config->share_count; i++)
        vt_qemu_share_info(&q->shares[i], list);
    json_object_set_new(facts, "shares", list);
}
