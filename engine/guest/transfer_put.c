/* Host to guest. A file's requests are sent without waiting for their answers: SFTP servers keep
 * the order of requests for a file, so after the OPEN everything up to the CLOSE may be on its way
 * at once, as far as the session has room. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "guest/transfer.h"

struct put_file {
    struct vt__transfer *t;
    struct put_file *next;
    char *remote;
    int fd; /* -1: memory */
    unsigned mode;
    uint64_t offset, acked; /* every write but the last has a chunk of bytes */
    unsigned open_replies;  /* answers that are still to come */
    bool opened, at_end;
    bool known, special; /* what it is in the guest was told; it is a device, say: keeps its mode */
    bool sent;           /* all is sent, CLOSE included */
    unsigned char handle[VT__SFTP_MAX_HANDLE];
    size_t handle_size;
    EVP_MD_CTX *digest;
};

/* A folder that is walked, or (then with dir NULL) one whose mode is set at the end, when nothing
 * is written into it any more. */
struct put_folder {
    struct put_folder *next;
    DIR *dir;
    char *local, *remote;
    unsigned mode;
};

struct put {
    struct put_folder *walk;  /* the innermost first */
    struct put_folder *later; /* modes to set, the innermost first */
    struct put_folder **later_tail;
    struct put_file *files;
    unsigned n_files, modes_under_way;
    struct put_folder *making; /* waits for its MKDIR's answer */
    bool begun;
};

static struct put *work(const struct vt__transfer *t)
{
    return t->work;
}

static void free_file(struct put_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    EVP_MD_CTX_free(f->digest);
    vt_free(f->remote);
    vt_free(f);
}

static void free_folder(struct put_folder *f)
{
    if (f->dir)
        closedir(f->dir);
    vt_free(f->local);
    vt_free(f->remote);
    vt_free(f);
}

/* ---- one file ---- */

static void file_maybe_done(struct put_file *f)
{
    struct vt__transfer *t = f->t;
    if (!f->sent || f->open_replies)
        return;
    struct put *p = work(t);
    struct put_file **at = &p->files;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    p->n_files--;
    EVP_MD_CTX *digest = f->digest;
    f->digest = NULL;
    vt__transfer_file_done(t, f->remote, digest);
    free_file(f);
}

static bool is_ok(const struct vt__sftp_reply *reply)
{
    return reply->type == VT__SFTP_STATUS && reply->status == VT__SFTP_OK;
}

static void on_closed(void *user, const struct vt__sftp_reply *reply)
{
    struct put_file *f = user;
    if (!vt__transfer_alive(f->t))
        return;
    f->open_replies--;
    if (!is_ok(reply))
        vt__transfer_refused(f->t, reply, "finish", f->remote);
    else
        file_maybe_done(f);
}

static void on_mode(void *user, const struct vt__sftp_reply *reply)
{
    struct put_file *f = user;
    if (!vt__transfer_alive(f->t))
        return;
    f->open_replies--;
    /* file systems without modes (FAT) refuse: the bytes are what counts */
    (void)reply;
    file_maybe_done(f);
}

static void on_written(void *user, const struct vt__sftp_reply *reply)
{
    struct put_file *f = user;
    if (!vt__transfer_alive(f->t))
        return;
    f->open_replies--;
    if (!is_ok(reply)) {
        vt__transfer_refused(f->t, reply, "write", f->remote);
        return;
    }
    uint64_t n = f->offset - f->acked, chunk = vt__sftp_chunk(f->t->sftp);
    if (n > chunk)
        n = chunk;
    f->acked += n;
    vt__transfer_count(f->t, n, f->remote);
    if (vt__transfer_alive(f->t))
        file_maybe_done(f);
}

/* The next piece of the file, whole chunks until the last. -1 where it cannot be read. */
static ssize_t read_piece(struct put_file *f, char *buffer, const char **data)
{
    size_t chunk = vt__sftp_chunk(f->t->sftp);
    if (f->fd < 0) {
        const struct vt_buf *memory = &f->t->memory;
        size_t left = memory->len - (size_t)f->offset;
        *data = memory->data ? memory->data + f->offset : "";
        return (ssize_t)(left < chunk ? left : chunk);
    }
    size_t have = 0;
    *data = buffer;
    while (have < chunk) {
        ssize_t n = pread(f->fd, buffer + have, chunk - have, (off_t)(f->offset + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (!n)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static void send_end(struct put_file *f)
{
    struct vt__sftp *s = f->t->sftp;
    struct vt_buf fields = VT_BUF_INIT;
    if (!f->special) {
        vt__sftp_put_string(&fields, f->handle, f->handle_size);
        vt__sftp_put_mode(&fields, f->mode);
        vt__sftp_send(s, VT__SFTP_FSETSTAT, &fields, NULL, 0, on_mode, f);
        f->open_replies++;
    }
    vt__sftp_put_string(&fields, f->handle, f->handle_size);
    vt__sftp_send(s, VT__SFTP_CLOSE, &fields, NULL, 0, on_closed, f);
    f->open_replies++;
    f->sent = true;
    vt_buf_free(&fields);
}

static void send_end_if_known(struct put_file *f)
{
    if (f->at_end && f->known && !f->sent)
        send_end(f);
}

static void on_stat(void *user, const struct vt__sftp_reply *reply)
{
    struct put_file *f = user;
    if (!vt__transfer_alive(f->t))
        return;
    f->open_replies--;
    f->known = true;
    f->special =
        reply->type == VT__SFTP_ATTRS && reply->attrs.has_mode && !S_ISREG(reply->attrs.mode);
    send_end_if_known(f);
    file_maybe_done(f);
}

/* Sends what there is room for. */
static void pump_file(struct put_file *f)
{
    struct vt__transfer *t = f->t;
    char buffer[VT__SFTP_MAX_CHUNK];
    struct vt_buf fields = VT_BUF_INIT;
    while (f->opened && !f->at_end && vt__sftp_room(t->sftp)) {
        const char *data = NULL;
        ssize_t n = read_piece(f, buffer, &data);
        if (n < 0) {
            vt__transfer_fail_sys(t, errno, "read the local file for", f->remote);
            break;
        }
        f->at_end = n < (ssize_t)vt__sftp_chunk(t->sftp);
        if (n == 0)
            break;
        EVP_DigestUpdate(f->digest, data, (size_t)n);
        vt__sftp_put_string(&fields, f->handle, f->handle_size);
        vt__sftp_put_u64(&fields, f->offset);
        vt__sftp_send(t->sftp, VT__SFTP_WRITE, &fields, data, (size_t)n, on_written, f);
        f->offset += (uint64_t)n;
        f->open_replies++;
    }
    vt_buf_free(&fields);
    send_end_if_known(f);
}

static void on_opened(void *user, const struct vt__sftp_reply *reply)
{
    struct put_file *f = user;
    if (!vt__transfer_alive(f->t))
        return;
    if (reply->type != VT__SFTP_HANDLE) {
        vt__transfer_refused(f->t, reply, "create", f->remote);
        return;
    }
    memcpy(f->handle, reply->data, reply->size);
    f->handle_size = reply->size;
    f->opened = true;
    struct vt_buf fields = VT_BUF_INIT;
    vt__sftp_put_string(&fields, f->handle, f->handle_size);
    vt__sftp_send(f->t->sftp, VT__SFTP_FSTAT, &fields, NULL, 0, on_stat, f);
    f->open_replies++;
    vt_buf_free(&fields);
    pump_file(f);
}

/* Takes over remote and fd. */
static void begin_file(struct vt__transfer *t, char *remote, int fd, unsigned mode)
{
    struct put *p = work(t);
    struct put_file *f = vt_calloc(1, sizeof *f);
    f->t = t;
    f->remote = remote;
    f->fd = fd;
    f->mode = mode;
    f->digest = vt__digest_new();
    f->next = p->files;
    p->files = f;
    p->n_files++;
    struct vt_buf fields = VT_BUF_INIT;
    vt__sftp_put_string(&fields, remote, strlen(remote));
    vt__sftp_put_u32(&fields, VT__SFTP_OPEN_WRITE | VT__SFTP_OPEN_CREATE | VT__SFTP_OPEN_TRUNCATE);
    vt__sftp_put_mode(&fields, mode | 0200);
    vt__sftp_send(t->sftp, VT__SFTP_OPEN, &fields, NULL, 0, on_opened, f);
    vt_buf_free(&fields);
}

/* Opens the regular file `local` and begins to send it. */
static void put_local_file(struct vt__transfer *t, const char *local, char *remote, int flags)
{
    struct stat st;
    int fd = open(local, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    if (fd < 0 || fstat(fd, &st)) {
        int sys = errno;
        if (fd >= 0)
            close(fd);
        vt_free(remote);
        vt__transfer_fail_sys(t, sys, "open", local);
        return;
    }
    if (!S_ISREG(st.st_mode)) { /* it was swapped for something else just now */
        close(fd);
        vt_free(remote);
        t->result.skipped++;
        return;
    }
    begin_file(t, remote, fd, t->mode && !flags ? t->mode : (unsigned)st.st_mode & 07777);
}

/* ---- folders ---- */

static void enter_folder(struct vt__transfer *t, struct put_folder *f)
{
    struct put *p = work(t);
    f->dir = opendir(f->local);
    if (!f->dir) {
        int sys = errno;
        char *local = vt_strdup(f->local);
        free_folder(f);
        vt__transfer_fail_sys(t, sys, "read the folder", local);
        vt_free(local);
        return;
    }
    f->next = p->walk;
    p->walk = f;
}

/* After a refused MKDIR: a folder that is there already is welcome. */
static void on_existing(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__transfer *t = user;
    if (!vt__transfer_alive(t))
        return;
    struct put *p = work(t);
    struct put_folder *f = p->making;
    p->making = NULL;
    if (reply->type == VT__SFTP_ATTRS && reply->attrs.has_mode && S_ISDIR(reply->attrs.mode)) {
        enter_folder(t, f);
        return;
    }
    struct vt_error why = VT_ERROR_INIT;
    if (reply->type == VT__SFTP_ATTRS)
        vt_fail(&why, VT_EIO, "transfer",
                "cannot make the folder %s in the guest: a file of this name is in the way",
                f->remote);
    if (why.code)
        vt__transfer_fail(t, &why);
    else
        vt__transfer_refused(t, reply, "make the folder", f->remote);
    free_folder(f);
}

static void on_made(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__transfer *t = user;
    if (!vt__transfer_alive(t))
        return;
    struct put *p = work(t);
    struct put_folder *f = p->making;
    if (is_ok(reply)) {
        p->making = NULL;
        enter_folder(t, f);
    } else if (reply->type == VT__SFTP_STATUS && reply->status == VT__SFTP_FAILURE) {
        struct vt_buf fields = VT_BUF_INIT;
        vt__sftp_put_string(&fields, f->remote, strlen(f->remote));
        vt__sftp_send(t->sftp, VT__SFTP_STAT, &fields, NULL, 0, on_existing, t);
        vt_buf_free(&fields);
    } else {
        vt__transfer_refused(t, reply, "make the folder", f->remote);
    }
}

/* Takes over local and remote. */
static void make_folder(struct vt__transfer *t, char *local, char *remote, unsigned mode)
{
    struct put_folder *f = vt_calloc(1, sizeof *f);
    f->local = local;
    f->remote = remote;
    f->mode = mode;
    work(t)->making = f;
    struct vt_buf fields = VT_BUF_INIT;
    vt__sftp_put_string(&fields, remote, strlen(remote));
    vt__sftp_put_mode(&fields, mode | 0700);
    vt__sftp_send(t->sftp, VT__SFTP_MKDIR, &fields, NULL, 0, on_made, t);
    vt_buf_free(&fields);
}

static void put_entry(struct vt__transfer *t, const struct put_folder *f, const char *name)
{
    struct stat st;
    char *local = vt_path_join(f->local, name);
    if (lstat(local, &st)) {
        vt__transfer_fail_sys(t, errno, "look at", local);
        vt_free(local);
        return;
    }
    char *remote = vt_path_join(f->remote, name);
    if (S_ISDIR(st.st_mode)) {
        make_folder(t, local, remote, (unsigned)st.st_mode & 07777);
        return;
    }
    if (S_ISREG(st.st_mode)) {
        put_local_file(t, local, remote, O_NOFOLLOW);
    } else {
        t->result.skipped++;
        vt_free(remote);
    }
    vt_free(local);
}

/* Takes up the next entry of the folder that is walked. */
static void walk(struct vt__transfer *t)
{
    struct put *p = work(t);
    struct put_folder *f = p->walk;
    errno = 0;
    const struct dirent *e = readdir(f->dir);
    if (e) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            put_entry(t, f, e->d_name);
        return;
    }
    if (errno) {
        vt__transfer_fail_sys(t, errno, "read the folder", f->local);
        return;
    }
    p->walk = f->next;
    closedir(f->dir);
    f->dir = NULL;
    f->next = NULL;
    *p->later_tail = f;
    p->later_tail = &f->next;
}

static void on_folder_mode(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__transfer *t = user;
    (void)reply; /* as on_mode() */
    if (vt__transfer_alive(t))
        work(t)->modes_under_way--;
}

static void set_modes(struct vt__transfer *t)
{
    struct put *p = work(t);
    while (p->later && vt__sftp_room(t->sftp)) {
        struct put_folder *f = p->later;
        p->later = f->next;
        struct vt_buf fields = VT_BUF_INIT;
        vt__sftp_put_string(&fields, f->remote, strlen(f->remote));
        vt__sftp_put_mode(&fields, f->mode);
        vt__sftp_send(t->sftp, VT__SFTP_SETSTAT, &fields, NULL, 0, on_folder_mode, t);
        vt_buf_free(&fields);
        p->modes_under_way++;
        free_folder(f);
    }
}

/* ---- the direction ---- */

static void begin(struct vt__transfer *t)
{
    struct put *p = work(t);
    struct stat st;
    p->begun = true;
    if (!t->local) {
        begin_file(t, vt_strdup(t->remote), -1, t->mode ? t->mode : 0644);
        return;
    }
    if (stat(t->local, &st)) {
        vt__transfer_fail_sys(t, errno, "look at", t->local);
        return;
    }
    t->folder = S_ISDIR(st.st_mode);
    if (t->folder)
        make_folder(t, vt_strdup(t->local), vt_strdup(t->remote), (unsigned)st.st_mode & 07777);
    else
        put_local_file(t, t->local, vt_strdup(t->remote), 0);
}

static void put_step(struct vt__transfer *t)
{
    struct put *p = work(t);
    if (!p->begun)
        begin(t);
    struct put_file *next = NULL;
    for (struct put_file *f = p->files; f && vt__transfer_alive(t); f = next) {
        next = f->next;
        pump_file(f);
    }
    while (vt__transfer_alive(t) && p->walk && !p->making && p->n_files < VT__TRANSFER_FILES &&
           vt__sftp_room(t->sftp))
        walk(t);
    if (!vt__transfer_alive(t) || p->walk || p->making || p->n_files)
        return;
    set_modes(t);
    if (!p->later && !p->modes_under_way)
        vt__transfer_complete(t);
}

static void put_free(struct vt__transfer *t)
{
    struct put *p = work(t);
    while (p->files) {
        struct put_file *f = p->files;
        p->files = f->next;
        free_file(f);
    }
    while (p->walk) {
        struct put_folder *f = p->walk;
        p->walk = f->next;
        free_folder(f);
    }
    while (p->later) {
        struct put_folder *f = p->later;
        p->later = f->next;
        free_folder(f);
    }
    if (p->making)
        free_folder(p->making);
    vt_free(p);
}

const struct vt__direction vt__transfer_put = {.step = put_step, .free = put_free};

enum vt_code vt__put_start(struct vt__transfer *t, struct vt_error *err)
{
    struct stat st = {.st_size = 0};
    if (t->local && stat(t->local, &st))
        return vt_fail_sys(err, errno, "transfer", "cannot put %s", t->local);
    if (t->local && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return vt_fail(err, VT_EINVAL, "transfer", "%s is neither a file nor a folder", t->local);
    t->total = !t->local ? t->memory.len : S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    struct put *p = vt_calloc(1, sizeof *p);
    p->later_tail = &p->later;
    t->work = p;
    return VT_OK;
}
