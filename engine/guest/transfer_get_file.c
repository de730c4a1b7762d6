/* Guest to host, one file: several reads are under way; what arrives out of order waits, so that
 * the digest sees the bytes in order. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "guest/transfer_get.h"

/* A read of a file, in the order of offsets. */
struct vt__get_chunk {
    struct vt__get_chunk *next;
    struct vt__get_file *file;
    uint64_t offset;
    size_t wanted;
    bool probe;    /* beyond the size that the guest told */
    bool answered; /* `data` holds what came early; at the end of the file: nothing */
    struct vt_buf data;
};

void vt__get_fail_proto(struct vt__transfer *t, const char *what, const char *path)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EPROTO, "transfer", "cannot read %s in the guest: its SFTP server %s", path,
            what);
    vt__transfer_fail(t, &why);
}

static void free_chunk(struct vt__get_chunk *c)
{
    vt_buf_free(&c->data);
    vt_free(c);
}

void vt__get_file_free(struct vt__get_file *f)
{
    while (f->chunks) {
        struct vt__get_chunk *c = f->chunks;
        f->chunks = c->next;
        free_chunk(c);
    }
    if (f->fd >= 0)
        close(f->fd);
    EVP_MD_CTX_free(f->digest);
    vt_free(f->remote);
    vt_free(f->local);
    vt_free(f);
}

static void file_maybe_done(struct vt__get_file *f)
{
    struct vt__transfer *t = f->t;
    if (!f->closed || f->under_way)
        return;
    if (f->fd >= 0 && fchmod(f->fd, f->mode & 0777)) {
        vt__transfer_fail_sys(t, errno, "set the mode of", f->local);
        return;
    }
    if (f->fd >= 0) {
        int fd = f->fd;
        f->fd = -1;
        if (close(fd)) {
            vt__transfer_fail_sys(t, errno, "write", f->local);
            return;
        }
    }
    struct vt__get *g = t->work;
    struct vt__get_file **at = &g->files;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    g->n_files--;
    EVP_MD_CTX *digest = f->digest;
    f->digest = NULL;
    vt__transfer_file_done(t, f->remote, digest);
    vt__get_file_free(f);
}

static void on_closed(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__get_file *f = user;
    (void)reply; /* nothing depends on it */
    if (!vt__transfer_alive(f->t))
        return;
    f->closed = true;
    file_maybe_done(f);
}

static void close_remote(struct vt__get_file *f)
{
    if (f->closing)
        return;
    f->closing = true;
    struct vt_buf fields = VT_BUF_INIT;
    vt__sftp_put_string(&fields, f->handle, f->handle_size);
    vt__sftp_send(f->t->sftp, VT__SFTP_CLOSE, &fields, NULL, 0, on_closed, f);
    vt_buf_free(&fields);
}

/* Takes bytes that come next in the file. */
static bool take(struct vt__get_file *f, uint64_t offset, const void *data, size_t n)
{
    struct vt__transfer *t = f->t;
    EVP_DigestUpdate(f->digest, data, n);
    if (f->fd < 0) {
        if (n > t->limit - t->memory.len) {
            struct vt_error why = VT_ERROR_INIT;
            vt_fail(&why, VT_ELIMIT, "transfer", "%s in the guest is larger than %zu bytes",
                    f->remote, t->limit);
            vt_hint(&why, "raise the limit, or get it into a local file");
            vt__transfer_fail(t, &why);
            return false;
        }
        vt_buf_add(&t->memory, data, n);
    }
    const char *p = data;
    for (size_t left = f->fd < 0 ? 0 : n; left;) {
        ssize_t w = pwrite(f->fd, p, left, (off_t)offset);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            vt__transfer_fail_sys(t, errno, "write", f->local);
            return false;
        }
        p += w;
        offset += (uint64_t)w;
        left -= (size_t)w;
    }
    vt__transfer_count(t, n, f->remote);
    return vt__transfer_alive(t);
}

static void on_data(void *user, const struct vt__sftp_reply *reply);

static void send_read(struct vt__get_file *f, struct vt__get_chunk *c)
{
    struct vt_buf fields = VT_BUF_INIT;
    vt__sftp_put_string(&fields, f->handle, f->handle_size);
    vt__sftp_put_u64(&fields, c->offset);
    vt__sftp_put_u32(&fields, (uint32_t)c->wanted);
    vt__sftp_send(f->t->sftp, VT__SFTP_READ, &fields, NULL, 0, on_data, c);
    vt_buf_free(&fields);
    f->under_way++;
}

static void drop_first(struct vt__get_file *f)
{
    struct vt__get_chunk *c = f->chunks;
    f->chunks = c->next;
    if (!f->chunks)
        f->tail = &f->chunks;
    if (c->probe)
        f->probing = false;
    free_chunk(c);
}

/* Deals with the first chunk's answer, data[0..n) (n 0: the file ends there). */
static bool take_first(struct vt__get_file *f, const void *data, size_t n)
{
    struct vt__get_chunk *c = f->chunks;
    if (!n || f->ended) {
        f->ended = true;
        drop_first(f);
        return true;
    }
    if (!take(f, c->offset, data, n))
        return false;
    if (n == c->wanted) {
        drop_first(f);
        return true;
    }
    /* servers may give less than was asked for: the rest is asked for anew */
    c->offset += n;
    c->wanted -= n;
    c->answered = false;
    send_read(f, c);
    return true;
}

static void on_data(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__get_chunk *c = user;
    struct vt__get_file *f = c->file;
    struct vt__transfer *t = f->t;
    if (!vt__transfer_alive(t))
        return;
    f->under_way--;
    bool end = reply->type == VT__SFTP_STATUS && reply->status == VT__SFTP_EOF;
    if (!end && reply->type != VT__SFTP_DATA) {
        vt__transfer_refused(t, reply, "read", f->remote);
        return;
    }
    if (!end && (!reply->size || reply->size > c->wanted)) {
        vt__get_fail_proto(t, "sent an impossible amount of data", f->remote);
        return;
    }
    if (c != f->chunks) {
        vt_buf_add(&c->data, reply->data, reply->size);
        c->answered = true;
        return;
    }
    if (!take_first(f, reply->data, end ? 0 : reply->size))
        return;
    while (f->chunks && f->chunks->answered)
        if (!take_first(f, f->chunks->data.data, f->chunks->data.len))
            return;
    if (f->ended && !f->under_way)
        close_remote(f);
}

void vt__get_file_pump(struct vt__get_file *f)
{
    struct vt__transfer *t = f->t;
    size_t chunk = vt__sftp_chunk(t->sftp);
    while (f->opened && !f->ended && !f->probing && vt__sftp_room(t->sftp)) {
        struct vt__get_chunk *c = vt_calloc(1, sizeof *c);
        uint64_t left = f->asked < f->size ? f->size - f->asked : 0;
        c->file = f;
        c->probe = f->probing = !left;
        c->offset = f->asked;
        c->wanted = left && left < chunk ? (size_t)left : chunk;
        f->asked += c->wanted;
        *f->tail = c;
        f->tail = &c->next;
        send_read(f, c);
    }
}

static void on_opened(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__get_file *f = user;
    if (!vt__transfer_alive(f->t))
        return;
    if (reply->type != VT__SFTP_HANDLE) {
        vt__transfer_refused(f->t, reply, "open", f->remote);
        return;
    }
    memcpy(f->handle, reply->data, reply->size);
    f->handle_size = reply->size;
    f->opened = true;
    vt__get_file_pump(f);
}

void vt__get_file_begin(struct vt__get_file *f)
{
    struct vt__transfer *t = f->t;
    struct vt__get *g = t->work;
    f->next = g->files;
    g->files = f;
    g->n_files++;
    if (f->local && f->fd < 0) {
        f->fd = open(f->local, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (f->fd < 0) {
            vt__transfer_fail_sys(t, errno, "create", f->local);
            return;
        }
    }
    struct vt_buf fields = VT_BUF_INIT;
    vt__sftp_put_string(&fields, f->remote, strlen(f->remote));
    vt__sftp_put_u32(&fields, VT__SFTP_OPEN_READ);
    vt__sftp_put_u32(&fields, 0); /* no attributes */
    vt__sftp_send(t->sftp, VT__SFTP_OPEN, &fields, NULL, 0, on_opened, f);
    vt_buf_free(&fields);
}

struct vt__get_file *vt__get_file_new(struct vt__transfer *t, char *remote, char *local,
                                      const struct vt__sftp_attrs *attrs)
{
    struct vt__get_file *f = vt_calloc(1, sizeof *f);
    f->t = t;
    f->remote = remote;
    f->local = local;
    f->fd = -1;
    f->mode = attrs->has_mode ? attrs->mode : 0644;
    f->size = attrs->has_size ? attrs->size : 0;
    f->tail = &f->chunks;
    f->digest = vt__digest_new();
    return f;
}
