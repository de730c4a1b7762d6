/* Replies: whole ones, files, streams. All are written when the connection takes them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "http/server_internal.h"

#define PIECE ((size_t)64 << 10)
#define BEHIND ((size_t)4 << 20)
#define LINGER_S 2

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *words;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].words;
    return "";
}

void vt_http_add_field(struct vt_http_request *request, const char *name, const char *value)
{
    struct exchange *x = (struct exchange *)request;
    if (!strpbrk(name, "\r\n:") && !strpbrk(value, "\r\n"))
        vt_buf_printf(&x->reply_fields, "%s: %s\r\n", name, value);
}

void vt__http_head(struct exchange *x, int status, const char *type, uint64_t size)
{
    static const char room[LWS_PRE];
    vt_buf_clear(&x->out);
    vt_buf_add(&x->out, room, sizeof room);
    x->out_at = sizeof room;
    if (x->server->draining)
        x->close = true;
    vt_buf_printf(&x->out, "HTTP/1.1 %d %s\r\n", status, reason_of(status));
    if (type)
        vt_buf_printf(&x->out, "Content-Type: %s\r\n", type);
    if (size != UINT64_MAX)
        vt_buf_printf(&x->out, "Content-Length: %llu\r\n", (unsigned long long)size);
    else if (x->chunked)
        vt_buf_puts(&x->out, "Transfer-Encoding: chunked\r\n");
    else
        x->close = true;
    if (x->close)
        vt_buf_puts(&x->out, "Connection: close\r\n");
    if (x->reply_fields.len)
        vt_buf_add(&x->out, x->reply_fields.data, x->reply_fields.len);
    vt_buf_puts(&x->out, "\r\n");
}

/* Something is to be written; the client has that long to take a piece of it. */
static void want_write(struct exchange *x)
{
    if (!vt_timer_is_set(&x->deadline))
        vt__http_deadline(x, x->server->opts.request_timeout);
    lws_callback_on_writable(x->wsi);
}

void vt_http_reply(struct vt_http_request *request, int status, const char *type, const void *body,
                   size_t n)
{
    struct exchange *x = (struct exchange *)request;
    if (x->state != VT__HANDLED)
        return;
    vt__http_head(x, status, type, n);
    if (n && !x->head)
        vt_buf_add(&x->out, body, n);
    x->state = VT__REPLYING;
    x->ended = true;
    want_write(x);
}

enum vt_code vt_http_reply_file(struct vt_http_request *request, const char *path, const char *type,
                                struct vt_error *err)
{
    struct exchange *x = (struct exchange *)request;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return vt_fail_sys(err, errno, "http.file", "cannot open %s", path);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return vt_fail(err, VT_EINVAL, "http.file", "%s is no plain file", path);
    }
    vt__http_head(x, 200, type, (uint64_t)st.st_size);
    x->file = fd;
    x->file_left = x->head ? 0 : (uint64_t)st.st_size;
    x->state = VT__REPLYING;
    x->ended = true;
    want_write(x);
    return VT_OK;
}

void vt_http_stream(struct vt_http_request *request, int status, const char *type)
{
    struct exchange *x = (struct exchange *)request;
    vt__http_head(x, status, type, UINT64_MAX);
    x->state = VT__STREAMING;
    want_write(x);
}

bool vt_http_stream_write(struct vt_http_request *request, const void *data, size_t n)
{
    struct exchange *x = (struct exchange *)request;
    if (x->state != VT__STREAMING || x->ended || x->out.len - x->out_at + n > BEHIND)
        return false;
    if (x->head || !n)
        return true;
    if (x->chunked)
        vt_buf_printf(&x->out, "%zx\r\n", n);
    vt_buf_add(&x->out, data, n);
    if (x->chunked)
        vt_buf_puts(&x->out, "\r\n");
    want_write(x);
    return true;
}

void vt_http_stream_end(struct vt_http_request *request)
{
    struct exchange *x = (struct exchange *)request;
    if (x->state != VT__STREAMING || x->ended)
        return;
    if (x->chunked && !x->head)
        vt_buf_puts(&x->out, "0\r\n\r\n");
    x->ended = true;
    want_write(x);
}

/* Reads the file's next piece behind what is there. False: the file is shorter than it was. */
static bool read_file(struct exchange *x)
{
    while (x->file_left && x->out.len - x->out_at < PIECE) {
        size_t n = x->file_left < PIECE ? (size_t)x->file_left : PIECE;
        vt_buf_reserve(&x->out, n);
        ssize_t got = read(x->file, x->out.data + x->out.len, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        x->out.len += (size_t)got;
        x->file_left -= (uint64_t)got;
    }
    return true;
}

/* All is with libwebsockets, which calls when the client has it. */
static int finished(struct exchange *x)
{
    struct lws *wsi = x->wsi;
    if (x->refused && !x->drained) { /* closing now could take the reply from under the client */
        x->state = VT__LINGERING;
        vt__http_deadline(x, LINGER_S);
        return 0;
    }
    if (x->close)
        return -1;
    return lws_http_transaction_completed(wsi) ? -1 : 0; /* x is gone */
}

int vt__http_write(struct exchange *x)
{
    if (x->state == VT__LINGERING && !vt_timer_is_set(&x->deadline))
        return -1;
    if (x->state != VT__REPLYING && x->state != VT__STREAMING)
        return 0;
    if (x->file_left && !read_file(x))
        return -1;
    size_t left = x->out.len - x->out_at;
    if (left) {
        size_t n = left < PIECE ? left : PIECE;
        unsigned char *at = (unsigned char *)x->out.data + x->out_at;
        if (lws_write(x->wsi, at, n, LWS_WRITE_HTTP) < 0)
            return -1;
        x->out_at += n;
        if (x->out_at == x->out.len)
            x->out.len = x->out_at = LWS_PRE;
        vt_timer_clear(&x->deadline);
        want_write(x);
        return 0;
    }
    vt_timer_clear(&x->deadline);
    return x->ended ? finished(x) : 0;
}
