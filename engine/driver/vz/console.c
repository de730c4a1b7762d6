#include "driver/vz/console.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "core/fs.h"
#include "core/mem.h"

#define LOOK_S 0.03 /* how often the file is looked at */
#define UNREAD_MAX ((size_t)256 << 10)
#define CHUNK ((size_t)32 << 10)
#define AT_ONCE ((size_t)1 << 20) /* bytes taken in a row, so that others have their turn */

/* The socket that the guest's console reads from; lives until libuv has closed it. */
struct input {
    uv_pipe_t pipe;
    struct vt_loop *loop;
    char dropped[64]; /* nothing is ever said there */
    bool *broken;     /* of its console; NULL: let go of */
};

struct vt_vz_console {
    struct vt_vz *vz;
    int fd; /* -1: it cannot be read */
    off_t at;
    struct vt_timer timer;
    struct input *input; /* NULL till something is written */
    bool input_broken;
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

static void on_input_closed(uv_handle_t *handle)
{
    struct input *in = handle->data;
    vt_loop_release(in->loop);
    vt_free(in);
}

static void close_input(struct vt_vz_console *c)
{
    if (!c->input)
        return;
    c->input->broken = NULL;
    uv_close((uv_handle_t *)&c->input->pipe, on_input_closed);
    c->input = NULL;
}

static void on_input_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct input *in = handle->data;
    (void)suggested;
    *buf = uv_buf_init(in->dropped, sizeof in->dropped);
}

static void on_input_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    const struct input *in = stream->data;
    (void)buf;
    if (n < 0 && in->broken)
        *in->broken = true;
}

static enum vt_code open_input(struct vt_vz_console *c, struct vt_error *err)
{
    char *path = input_path(c->vz);
    int fd = vt_vz_connect(path, err);
    vt_free(path);
    if (fd < 0)
        return err->code;
    struct input *in = vt_calloc(1, sizeof *in);
    in->loop = c->vz->loop;
    in->broken = &c->input_broken;
    in->pipe.data = in;
    c->input_broken = false;
    vt_loop_hold(in->loop);
    uv_pipe_init(vt_loop_uv(in->loop), &in->pipe, 0);
    uv_pipe_open(&in->pipe, fd);
    uv_read_start((uv_stream_t *)&in->pipe, on_input_alloc, on_input_read);
    c->input = in;
    return VT_OK;
}

struct write {
    uv_write_t request;
    char data[];
};

static void on_written(uv_write_t *request, int status)
{
    (void)status; /* a connection that is gone is noticed by reading */
    vt_free(request->data);
}

enum vt_code vt_vz_console_write(void *instance, const void *data, size_t n, struct vt_error *err)
{
    struct vt_vz *vz = instance;
    struct vt_vz_console *c = vz->tail;
    struct vt_error own = VT_ERROR_INIT;
    if (!c)
        return vt_fail(err, VT_ESTATE, "vm.console", "VM %s does not run", vz->config->name);
    if (c->input_broken)
        close_input(c);
    if (!c->input && open_input(c, &own))
        return vt_error_copy(err, &own);
    size_t unread = uv_stream_get_write_queue_size((uv_stream_t *)&c->input->pipe);
    if (n > UNREAD_MAX || unread > UNREAD_MAX - n)
        return vt_fail(err, VT_EBUSY, "vm.console",
                       "VM %s does not read its console: %zu bytes wait there already",
                       vz->config->name, unread);
    struct write *w = vt_malloc(sizeof *w + n);
    memcpy(w->data, data, n);
    w->request.data = w;
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)n);
    int rc = uv_write(&w->request, (uv_stream_t *)&c->input->pipe, &buf, 1, on_written);
    if (!rc)
        return VT_OK;
    vt_free(w);
    return vt_fail_sys(err, -rc, "vm.console", "cannot write to the console of VM %s",
                       vz->config->name);
}

void vt_vz_console_close(struct vt_vz_console *c)
{
    if (!c)
        return;
    vt_timer_clear(&c->timer);
    read_on(c);
    close_input(c);
    if (c->fd >= 0)
        close(c->fd);
    vt_free(c);
}
