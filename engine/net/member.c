#include "net/member.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "loop/op.h"

#define OP "net"
#define MEMBERS_MAX 253
#define NETWORKS_MAX 256
#define LOCK_NAME "networks.lock"

static void format_address(char out[16], int64_t subnet, size_t place)
{
    snprintf(out, 16, "10.77.%d.%d", (int)(subnet & 255), (int)((place + 1) & 255));
}

static json_t *load(const char *run_dir, struct vt_error *err)
{
    char *path = vt_path_join(run_dir, "networks.json");
    json_t *all = NULL;
    if (!vt_is_file(path))
        all = json_object();
    else
        vt_json_load(path, &all, err);
    vt_free(path);
    return all;
}

static enum vt_code save(const char *run_dir, const json_t *all, struct vt_error *err)
{
    char *path = vt_path_join(run_dir, "networks.json");
    enum vt_code code = vt_json_save_unflushed(path, all, 0600, err);
    vt_free(path);
    return code;
}

/* The member's place; *changed where it is new. */
static enum vt_code take_place(json_t *all, const struct vt_net_place *p, char address[16],
                               bool *changed, struct vt_error *err)
{
    json_t *network = json_object_get(all, p->network);
    size_t known = json_object_size(all);
    *changed = false;
    if (!network && known >= NETWORKS_MAX)
        return vt_fail(err, VT_ELIMIT, OP, "a run has at most %d isolated networks", NETWORKS_MAX);
    if (!network) {
        network = json_pack("{s:i, s:[]}", "subnet", (int)known, "members");
        json_object_set_new(all, p->network, network);
    }
    json_t *members = json_object_get(network, "members");
    size_t n = json_array_size(members), i = 0;
    for (; i < n; i++) {
        const json_t *m = json_array_get(members, i);
        if (!strcmp(vt_json_str(m, "vm", ""), p->vm) && vt_json_int(m, "nic", -1) == p->nic)
            break;
    }
    if (i == MEMBERS_MAX)
        return vt_fail(err, VT_ELIMIT, OP, "the network \"%s\" has %d members already", p->network,
                       MEMBERS_MAX);
    if (i == n) {
        json_array_append_new(members, json_pack("{s:s, s:i}", "vm", p->vm, "nic", p->nic));
        *changed = true;
    }
    format_address(address, vt_json_int(network, "subnet", 0), i);
    return VT_OK;
}

enum vt_code vt_net_join(const struct vt_net_place *place, char address[16], struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    char *path = vt_path_join(place->run_dir, LOCK_NAME);
    int lock;
    bool changed;
    enum vt_code code = vt_lock_file(path, &lock, &own);
    vt_free(path);
    if (code)
        return vt_error_copy(err, &own);
    json_t *all = load(place->run_dir, &own);
    if (all && !take_place(all, place, address, &changed, &own) && changed)
        save(place->run_dir, all, &own);
    json_decref(all);
    close(lock);
    return vt_error_copy(err, &own);
}

enum vt_code vt_net_members(const char *run_dir, const char *network, struct vt_net_member **out,
                            size_t *count, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *out = NULL;
    *count = 0;
    json_t *all = load(run_dir, &own); /* replaced as a whole: no lock is needed to read it */
    const json_t *one = json_object_get(all, network), *list = json_object_get(one, "members");
    size_t n = json_array_size(list);
    *out = n ? vt_calloc(n, sizeof **out) : NULL;
    for (; *count < n; ++*count) {
        const json_t *m = json_array_get(list, *count);
        struct vt_net_member *to = &(*out)[*count];
        to->vm = vt_strdup(vt_json_str(m, "vm", ""));
        to->nic = (int)vt_json_int(m, "nic", 0);
        format_address(to->address, vt_json_int(one, "subnet", 0), *count);
    }
    json_decref(all);
    return vt_error_copy(err, &own);
}

void vt_net_members_free(struct vt_net_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt_free(members[i].vm);
    vt_free(members);
}

/* --- connecting --- */

struct connect_op {
    struct vt_op op;
    char *socket, *lock;
    struct vt_op *launch;
    int fd;
};

static void connect_abort(struct vt_op *op, struct vt_error *why)
{
    struct connect_op *self = (struct connect_op *)(void *)op;
    (void)why;
    if (self->launch)
        vt_op_forget(self->launch);
    self->launch = NULL;
}

static void connect_free(struct vt_op *op)
{
    struct connect_op *self = (struct connect_op *)(void *)op;
    vt_free(self->socket);
    vt_free(self->lock);
}

static const struct vt_op_class connect_class = {
    .name = "net.connect", .abort = connect_abort, .free = connect_free};

/* VT_ENOTFOUND where no switch listens. */
static enum vt_code try_connect(struct connect_op *self, struct vt_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int lock;
    if (strlen(self->socket) >= sizeof address.sun_path) {
        vt_fail(err, VT_EINVAL, OP, "the path %s is too long for a socket", self->socket);
        vt_hint(err,
                "set VMTEST_RUNTIME_DIR to a folder with a short path, or take a shorter name");
        return err->code;
    }
    strncpy(address.sun_path, self->socket, sizeof address.sun_path - 1);
    enum vt_code code = vt_lock_file(self->lock, &lock, err);
    if (code)
        return code;
    self->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (self->fd >= 0)
        fcntl(self->fd, F_SETFD, FD_CLOEXEC);
    if (self->fd < 0 || connect(self->fd, (struct sockaddr *)&address, sizeof address)) {
        int sys = errno == ECONNREFUSED ? ENOENT : errno;
        if (self->fd >= 0)
            close(self->fd);
        self->fd = -1;
        code = vt_fail_sys(err, sys, OP, "cannot connect to the switch %s", self->socket);
    }
    close(lock);
    return code;
}

static void on_launched(struct vt_op *inner, void *user)
{
    struct connect_op *self = user;
    const struct vt_error *failed = vt_op_error(inner);
    const struct vt_process_result *r = failed ? NULL : vt_op_result(inner);
    struct vt_error why = VT_ERROR_INIT;
    self->launch = NULL;
    if (failed)
        why = *failed;
    else if (r->status)
        vt_fail(&why, VT_EIO, OP, "the switch did not start: %.300s", r->err);
    else
        try_connect(self, &why);
    if (why.code)
        vt_op_fail(&self->op, &why);
    else
        vt_op_succeed(&self->op, &self->fd);
}

static enum vt_code launch(struct connect_op *self, struct vt_error *err)
{
    char *program = vt_own_program();
    if (!program)
        return vt_fail(err, VT_EIO, OP, "cannot tell the path of this program");
    const char *argv[] = {"vmtest", "__switch", self->socket, self->lock, NULL};
    const struct vt_process_opts opts = {
        .argv = argv, .file = program, .timeout = 60, .output_limit = 1024};
    self->launch = vt_process_run(self->op.loop, &opts, on_launched, self, err);
    vt_free(program);
    return self->launch ? VT_OK : err->code;
}

struct vt_op *vt_net_connect(struct vt_loop *loop, const char *run_dir, const char *network,
                             double timeout, vt_op_fn done, void *user, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct vt_buf name = VT_BUF_INIT;
    struct connect_op *self = vt_op_new(sizeof *self, &connect_class, loop, timeout, done, user);
    vt_buf_printf(&name, "net-%s.sock", network);
    self->socket = vt_path_join(run_dir, name.data);
    self->lock = vt_path_join(run_dir, LOCK_NAME);
    self->fd = -1;
    vt_buf_free(&name);
    enum vt_code code = try_connect(self, &own);
    if (code == VT_ENOTFOUND) {
        own = (struct vt_error)VT_ERROR_INIT;
        code = launch(self, &own);
    } else if (!code) {
        vt_op_succeed(&self->op, &self->fd);
    }
    if (!code)
        return &self->op;
    vt_op_forget(&self->op);
    vt_error_copy(err, &own);
    return NULL;
}
