#include "driver/vz/console.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/socket.h"
#include "loop/conn.h"

#define LOOK_S 0.03 /* how often the file is looked at */
#define UNREAD_MAX ((size_t)256 << 10)
#define CHUNK ((size_t)32 << 10)
#define AT_ONCE ((size_t)1 << 20) /* bytes taken in a row, so that others have their turn */

struct vt_vz_console {
    struct vt_vz *vz;
    int fd; /* -1: it cannot be read */
    off_t at;
    struct vt_timer timer;
    struct vt_conn *input; /* what the guest's console reads from; NULL till something is written */
};

static char *input_path(const struct vt_vz *vz)
{
    struct vt_buf path = VT_BUF_INIT;
    vt_buf_printf(&path, "%s.in", vz->console);
    return vt_buf_steal(&path);
}

enum vt_code vt_vz_console_prepare(struct vt_vz *vz, struct vt_error *err)
{
    struct stat st;
    char *input = input_path(vz);
    unlink(input); /* of a helper that was killed */
    vt_free(input);
    if (lstat(vz->console, &st) == 0)
        return VT_OK;
    if (vz->config->console_log && symlink(vz->config->console_log, vz->console))
        return vt_fail_sys(err, errno, "vm.start", "cannot make %s", vz->console);
    int fd = open(vz->console, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return vt_fail_sys(err, errno, "vm.start", "cannot write %s", vz->console);
    close(fd);
    return VT_OK;
}

/* --- reading --- */

static void read_on(struct vt_vz_console *c)
{
    char chunk[CHUNK];
    ssize_t n = 1;
    for (size_t taken = 0; c->fd >= 0 && n > 0 && taken < AT_ONCE; taken += (size_t)n) {
        n = pread(c->fd, chunk, sizeof chunk, c->at);
        if (n <= 0)
            break;
        c->at += n;
        vt_vm_console_bytes(c->vz->vm, chunk, (size_t)n);
    }
}

static void on_timer(struct vt_timer *timer)
{
    struct vt_vz_console *c = timer->user;
    vt_timer_set(&c->timer, c->vz->loop, LOOK_S, on_timer, c);
    read_on(c);
}

struct vt_vz_console *vt_vz_console_open(struct vt_vz *vz)
{
    struct vt_vz_console *c = vt_calloc(1, sizeof *c);
    struct stat st;
    c->vz = vz;
    c->fd = open(vz->console, O_RDONLY | O_CLOEXEC);
    if (c->fd >= 0 && fstat(c->fd, &st) == 0)
        c->at = st.st_size;
    vt_timer_set(&c->timer, vz->loop, LOOK_S, on_timer, c);
    return c;
}

/* --- writing --- */

static enum vt_code open_input(struct vt_vz_console *c, struct vt_error *err)
{
    static const struct vt_conn_handler handler = {.data = NULL}; /* nothing is ever said there */
    char *path = input_path(c->vz);
    int fd = vt_socket_connect(path, "vm.console", err);
    vt_free(path);
    vt_conn_free(c->input); /* one that broke */
    c->input = fd < 0 ? NULL : vt_conn_new(c->vz->loop, fd, &handler);
    return fd < 0 ? err->code : VT_OK;
}

enum vt_code vt_vz_console_write(void *instance, const void *data, size_t n, struct vt_error *err)
{
    struct vt_vz *vz = instance;
    struct vt_vz_console *c = vz->tail;
    struct vt_error own = VT_ERROR_INIT;
    if (!c)
        return vt_fail(err, VT_ESTATE, "vm.console", "VM %s does not run", vz->config->name);
    if (!vt_conn_is_open(c->input) && open_input(c, &own))
        return vt_error_copy(err, &own);
    size_t unread = vt_conn_unwritten(c->input);
    if (n > UNREAD_MAX || unread > UNREAD_MAX - n)
        return vt_fail(err, VT_EBUSY, "vm.console",
                       "VM %s does not read its console: %zu bytes wait there already",
                       vz->config->name, unread);
    if (vt_conn_write(c->input, data, n))
        return VT_OK;
    return vt_fail(err, VT_EIO, "vm.console", "cannot write to the console of VM %s",
                   vz->config->name);
}

void vt_vz_console_close(struct vt_vz_console *c)
{
    if (!c)
        return;
    vt_timer_clear(&c->timer);
    read_on(c);
    vt_conn_free(c->input);
    if (c->fd >= 0)
        close(c->fd);
    vt_free(c);
}
