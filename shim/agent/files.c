/* Files: requests of SFTP version 3 (draft-ietf-secsh-filexfer-02), those that a transfer needs,
 * one in each BYTES frame. They are worked off at once and in order. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "files.h"

enum { most_handles = 64, most_path = 4096 };

struct handle {
    int fd; /* -1: a folder, or unused */
    DIR *dir;
};

struct files {
    struct channel base; /* first */
    struct handle handles[most_handles];
};

static void free_handle(struct handle *h)
{
    if (h->fd >= 0)
        close(h->fd);
    if (h->dir)
        closedir(h->dir);
    *h = (struct handle){.fd = -1};
}

static void files_close(struct channel *c)
{
    struct files *s = (struct files *)(void *)c;
    for (size_t i = 0; i < most_handles; i++)
        free_handle(&s->handles[i]);
    free(s);
}

/* ---- parts of requests ---- */

/* A path as a string; "" (which no file has) where it is malformed or too long. */
static const char *take_path(struct request *r, char out[most_path])
{
    size_t n = 0;
    const unsigned char *p = vt__take_bytes(&r->fields, &n);
    if (!p || n >= most_path || memchr(p, 0, n))
        n = 0;
    if (n)
        memcpy(out, p, n);
    out[n] = '\0';
    return out;
}

static struct handle *take_handle(struct request *r)
{
    size_t n = 0;
    const unsigned char *p = vt__take_bytes(&r->fields, &n);
    uint32_t at = p && n == 4 ? vt__load_u32(p) : most_handles;
    if (at >= most_handles)
        return NULL;
    struct handle *h = &r->files->handles[at];
    return h->fd >= 0 || h->dir ? h : NULL;
}

static struct handle *free_slot(struct request *r)
{
    struct handle *h = r->files->handles;
    size_t i = 0;
    while (i < most_handles && (h[i].fd >= 0 || h[i].dir))
        i++;
    return i < most_handles ? &h[i] : NULL;
}

static void give_handle(struct request *r, const struct handle *h)
{
    reply_handle(r, (uint32_t)(h - r->files->handles));
}

/* Attributes of a request: true where they hold permissions. Others are left out. */
static bool take_mode(struct request *r, mode_t *mode)
{
    uint32_t flags = vt__take_u32(&r->fields);
    if (flags & ATTR_SIZE)
        vt__take_u64(&r->fields);
    if (flags & ATTR_OWNER)
        vt__take_u64(&r->fields);
    if (!(flags & ATTR_MODE))
        return false;
    *mode = vt__take_u32(&r->fields) & 07777;
    return !r->fields.bad;
}

/* ---- requests ---- */

static void open_file(struct request *r)
{
    char path[most_path];
    struct handle *h = free_slot(r);
    mode_t mode = 0666;
    take_path(r, path);
    uint32_t wanted = vt__take_u32(&r->fields);
    take_mode(r, &mode);
    /* never waits: a fifo that nobody reads is an error */
    int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    flags |= !(wanted & OPEN_WRITE) ? O_RDONLY : wanted & OPEN_READ ? O_RDWR : O_WRONLY;
    flags |= wanted & OPEN_CREATE ? O_CREAT : 0;
    flags |= wanted & OPEN_TRUNCATE ? O_TRUNC : 0;
    if (!h || (h->fd = open(path, flags, mode)) < 0)
        reply_errno(r, h ? errno : EMFILE);
    else
        give_handle(r, h);
}

static void close_file(struct request *r)
{
    struct handle *h = take_handle(r);
    int rc = 0;
    if (h && h->fd >= 0) {
        rc = close(h->fd) ? errno : 0; /* where a full disk may be told */
        h->fd = -1;
    }
    if (h)
        free_handle(h);
    reply_errno(r, h ? rc : EBADF);
}

static void read_file(struct request *r)
{
    const struct handle *h = take_handle(r);
    uint64_t offset = vt__take_u64(&r->fields);
    uint32_t size = vt__take_u32(&r->fields);
    if (size > VT__FRAME_DATA - 32)
        size = VT__FRAME_DATA - 32;
    if (!h || h->fd < 0 || offset > INT64_MAX) {
        reply_errno(r, EBADF);
        return;
    }
    unsigned char *place = reply_data_begin(r, size);
    ssize_t n = pread(h->fd, place, size, (off_t)offset);
    if (n < 0 && errno == ESPIPE)
        n = read(h->fd, place, size);
    if (n > 0)
        reply_data_end(r, (size_t)n);
    else if (n == 0)
        reply_end_of_file(r);
    else
        reply_errno(r, errno);
}

static void write_file(struct request *r)
{
    const struct handle *h = take_handle(r);
    uint64_t offset = vt__take_u64(&r->fields);
    size_t size = 0, done = 0;
    const unsigned char *data = vt__take_bytes(&r->fields, &size);
    int rc = !h || h->fd < 0 || !data || offset > INT64_MAX ? EBADF : 0;
    while (!rc && done < size) {
        ssize_t n = pwrite(h->fd, data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == ESPIPE)
            n = write(h->fd, data + done, size - done);
        if (n < 0 && errno != EINTR)
            rc = errno;
        else if (n > 0)
            done += (size_t)n;
    }
    reply_errno(r, rc);
}

static void tell_stat(struct request *r, int rc, const struct stat *st)
{
    if (rc)
        reply_errno(r, errno);
    else
        reply_stat(r, st);
}

static void stat_path(struct request *r)
{
    char path[most_path];
    struct stat st;
    tell_stat(r, stat(take_path(r, path), &st), &st);
}

static void lstat_path(struct request *r)
{
    char path[most_path];
    struct stat st;
    tell_stat(r, lstat(take_path(r, path), &st), &st);
}

static void stat_file(struct request *r)
{
    const struct handle *h = take_handle(r);
    struct stat st;
    errno = EBADF;
    tell_stat(r, h && h->fd >= 0 ? fstat(h->fd, &st) : -1, &st);
}

static void set_path(struct request *r)
{
    char path[most_path];
    mode_t mode = 0;
    take_path(r, path);
    reply_errno(r, take_mode(r, &mode) && chmod(path, mode) ? errno : 0);
}

static void set_file(struct request *r)
{
    const struct handle *h = take_handle(r);
    mode_t mode = 0;
    if (!h || h->fd < 0)
        reply_errno(r, EBADF);
    else
        reply_errno(r, take_mode(r, &mode) && fchmod(h->fd, mode) ? errno : 0);
}

static void open_folder(struct request *r)
{
    char path[most_path];
    struct handle *h = free_slot(r);
    if (h)
        h->dir = opendir(take_path(r, path));
    if (!h || !h->dir)
        reply_errno(r, h ? errno : EMFILE);
    else
        give_handle(r, h);
}

static void read_folder(struct request *r)
{
    const struct handle *h = take_handle(r);
    unsigned count = 0;
    if (!h || !h->dir) {
        reply_errno(r, EBADF);
        return;
    }
    const struct dirent *e = NULL;
    reply_names_begin(r);
    while (reply_names_room(r) && (errno = 0, e = readdir(h->dir))) {
        struct stat st;
        if (fstatat(dirfd(h->dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue; /* it went away meanwhile */
        reply_names_add(r, e->d_name, &st);
        count++;
    }
    if (count)
        reply_names_end(r, count);
    else if (e || !errno)
        reply_end_of_file(r);
    else
        reply_errno(r, errno);
}

static void make_folder(struct request *r)
{
    char path[most_path];
    mode_t mode = 0777;
    take_path(r, path);
    take_mode(r, &mode);
    reply_errno(r, mkdir(path, mode) ? errno : 0);
}

static void extended(struct request *r)
{
    static const char known[] = "statvfs@openssh.com";
    char path[most_path];
    size_t n = 0;
    const unsigned char *name = vt__take_bytes(&r->fields, &n);
    if (!name || n != sizeof known - 1 || memcmp(name, known, n) != 0)
        reply_errno(r, ENOSYS);
    else
        reply_space(r, take_path(r, path));
}

static void (*const requests[])(struct request *) = {
    [REQUEST_OPEN] = open_file,      [REQUEST_CLOSE] = close_file,  [REQUEST_READ] = read_file,
    [REQUEST_WRITE] = write_file,    [REQUEST_LSTAT] = lstat_path,  [REQUEST_FSTAT] = stat_file,
    [REQUEST_SETSTAT] = set_path,    [REQUEST_FSETSTAT] = set_file, [REQUEST_OPENDIR] = open_folder,
    [REQUEST_READDIR] = read_folder, [REQUEST_MKDIR] = make_folder, [REQUEST_STAT] = stat_path,
    [REQUEST_EXTENDED] = extended,
};

/* u32 length, u8 type, u32 id, fields */
static void files_frame(struct channel *c, const struct vt__frame *frame)
{
    struct request r = {.files = (struct files *)(void *)c,
                        .channel = c->id,
                        .fields = {.p = frame->data, .n = frame->size}};
    uint32_t length = vt__take_u32(&r.fields);
    if (frame->type != VT__FRAME_BYTES || frame->size < 9 || length != frame->size - 4)
        return;
    unsigned type = *r.fields.p++;
    r.fields.n--;
    r.id = vt__take_u32(&r.fields);
    if (type < sizeof requests / sizeof requests[0] && requests[type])
        requests[type](&r);
    else
        reply_errno(&r, ENOSYS);
}

static const struct channel_class files_class = {.frame = files_frame, .close = files_close};

void files_start(uint32_t id)
{
    struct files *s = need(calloc(1, sizeof *s));
    for (size_t i = 0; i < most_handles; i++)
        s->handles[i].fd = -1;
    channel_add(&s->base, &files_class, id);
}
