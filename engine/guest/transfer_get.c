/* Guest to host: files and folders. Everything is written aside, in the folder where it is to
 * appear. Names come from the guest: none may lead out of that folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "guest/transfer_get.h"

enum { max_waiting = 100000, /* files named but not begun, folders likewise */ path_limit = 4096 };

struct vt__get_folder {
    struct vt__get_folder *next;
    char *remote, *local;
    unsigned mode;
};

static struct vt__get *work(const struct vt__transfer *t)
{
    return t->work;
}

static void free_folder(struct vt__get_folder *f)
{
    vt_free(f->remote);
    vt_free(f->local);
    vt_free(f);
}

/* ---- folders ---- */

static void too_many(struct vt__transfer *t)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ELIMIT, "transfer", "%s in the guest holds too many files in one folder",
            t->remote);
    vt__transfer_fail(t, &why);
}

/* Takes over remote and local; makes the local folder. */
static void add_folder(struct vt__transfer *t, char *remote, char *local, unsigned mode)
{
    struct vt__get *g = work(t);
    struct vt__get_folder *f = vt_calloc(1, sizeof *f);
    f->remote = remote;
    f->local = local;
    f->mode = mode;
    /* behind the one that is being read */
    struct vt__get_folder **at = g->reading ? &g->folders->next : &g->folders;
    f->next = *at;
    *at = f;
    if (mkdir(local, 0700) && !(errno == EEXIST && !strcmp(local, g->aside)))
        vt__transfer_fail_sys(t, errno, "make the folder", local);
    else if (++g->n_folders > max_waiting || strlen(remote) > path_limit)
        too_many(t);
}

static void add_entry(struct vt__transfer *t, char *remote, char *local,
                      const struct vt__sftp_attrs *attrs)
{
    struct vt__get *g = work(t);
    if (S_ISDIR(attrs->mode)) {
        add_folder(t, remote, local, attrs->mode);
        return;
    }
    if (!S_ISREG(attrs->mode)) {
        t->result.skipped++;
        vt_free(remote);
        vt_free(local);
        return;
    }
    struct vt__get_file *f = vt__get_file_new(t, remote, local, attrs);
    *g->waiting_tail = f;
    g->waiting_tail = &f->next;
    if (++g->n_waiting > max_waiting)
        too_many(t);
}

static void send_readdir(struct vt__transfer *t);

static void take_names(struct vt__transfer *t, const struct vt__sftp_reply *reply)
{
    struct vt__sftp_reply names = *reply;
    struct vt__sftp_attrs attrs;
    const char *name = NULL;
    size_t n = 0;
    int rc;
    while ((rc = vt__sftp_next_name(&names, &name, &n, &attrs)) == 1) {
        const struct vt__get_folder *f = work(t)->folders;
        if ((n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
            continue;
        if (!vt__sftp_name_is_safe(name, n)) {
            vt__get_fail_proto(t, "named an entry that would lead out of the folder", f->remote);
            return;
        }
        if (!attrs.has_mode) {
            vt__get_fail_proto(t, "does not tell files from folders", f->remote);
            return;
        }
        char *base = vt_strndup(name, n);
        add_entry(t, vt_path_join(f->remote, base), vt_path_join(f->local, base), &attrs);
        vt_free(base);
        if (!vt__transfer_alive(t))
            return;
    }
    if (rc < 0)
        vt__get_fail_proto(t, "sent a malformed list of names", t->remote);
    else
        send_readdir(t);
}

static void on_folder_closed(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__transfer *t = user;
    (void)reply;
    if (!vt__transfer_alive(t))
        return;
    struct vt__get *g = work(t);
    struct vt__get_folder *f = g->folders;
    g->folders = f->next;
    g->n_folders--;
    g->reading = false;
    f->next = g->later;
    g->later = f;
}

static void on_names(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__transfer *t = user;
    if (!vt__transfer_alive(t))
        return;
    struct vt__get *g = work(t);
    if (reply->type == VT__SFTP_NAME && reply->count) {
        take_names(t, reply);
    } else if (reply->type == VT__SFTP_STATUS && reply->status == VT__SFTP_EOF) {
        struct vt_buf fields = VT_BUF_INIT;
        vt__sftp_put_string(&fields, g->handle, g->handle_size);
        vt__sftp_send(t->sftp, VT__SFTP_CLOSE, &fields, NULL, 0, on_folder_closed, t);
        vt_buf_free(&fields);
    } else {
        vt__transfer_refused(t, reply, "read the folder", g->folders->remote);
    }
}

static void send_readdir(struct vt__transfer *t)
{
    struct vt__get *g = work(t);
    struct vt_buf fields = VT_BUF_INIT;
    vt__sftp_put_string(&fields, g->handle, g->handle_size);
    vt__sftp_send(t->sftp, VT__SFTP_READDIR, &fields, NULL, 0, on_names, t);
    vt_buf_free(&fields);
}

static void on_folder_opened(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__transfer *t = user;
    if (!vt__transfer_alive(t))
        return;
    struct vt__get *g = work(t);
    if (reply->type != VT__SFTP_HANDLE) {
        vt__transfer_refused(t, reply, "open the folder", g->folders->remote);
        return;
    }
    memcpy(g->handle, reply->data, reply->size);
    g->handle_size = reply->size;
    send_readdir(t);
}

static void read_folder(struct vt__transfer *t)
{
    struct vt__get *g = work(t);
    struct vt_buf fields = VT_BUF_INIT;
    g->reading = true;
    vt__sftp_put_string(&fields, g->folders->remote, strlen(g->folders->remote));
    vt__sftp_send(t->sftp, VT__SFTP_OPENDIR, &fields, NULL, 0, on_folder_opened, t);
    vt_buf_free(&fields);
}

/* ---- the direction ---- */

/* "FOLDER/.vmtest-XXXXXX" beside t->local. */
static char *aside_name(const struct vt__transfer *t)
{
    char *copy = vt_strdup(t->local);
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = '\0';
    char *folder = vt_path_dir(copy), *path = vt_path_join(folder, ".vmtest-XXXXXX");
    vt_free(copy);
    vt_free(folder);
    return path;
}

static void begin_one(struct vt__transfer *t, const struct vt__sftp_attrs *attrs)
{
    struct vt__get *g = work(t);
    t->total = attrs->has_size ? attrs->size : 0;
    char *local = NULL;
    int fd = -1;
    if (t->local) {
        local = aside_name(t);
        fd = mkstemp(local);
        if (fd < 0) {
            vt__transfer_fail_sys(t, errno, "make a file beside", t->local);
            vt_free(local);
            return;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        g->aside = vt_strdup(local);
    }
    struct vt__get_file *f = vt__get_file_new(t, vt_strdup(t->remote), local, attrs);
    f->fd = fd;
    vt__get_file_begin(f);
}

static void begin_folder(struct vt__transfer *t, const struct vt__sftp_attrs *attrs)
{
    struct vt__get *g = work(t);
    struct vt_error why = VT_ERROR_INIT;
    if (!t->local) {
        vt_fail(&why, VT_EINVAL, "transfer",
                "%s in the guest is a folder; it cannot be read as "
                "one file",
                t->remote);
        vt__transfer_fail(t, &why);
        return;
    }
    char *local = aside_name(t);
    if (!mkdtemp(local)) {
        vt__transfer_fail_sys(t, errno, "make a folder beside", t->local);
        vt_free(local);
        return;
    }
    g->aside = vt_strdup(local);
    t->folder = true;
    add_folder(t, vt_strdup(t->remote), local, attrs->mode);
}

static void on_stat(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__transfer *t = user;
    if (!vt__transfer_alive(t))
        return;
    work(t)->looked = true;
    if (reply->type != VT__SFTP_ATTRS) {
        vt__transfer_refused(t, reply, "look at", t->remote);
        return;
    }
    const struct vt__sftp_attrs *attrs = &reply->attrs;
    struct vt_error why = VT_ERROR_INIT;
    if (attrs->has_mode && S_ISDIR(attrs->mode)) {
        begin_folder(t, attrs);
    } else if (!attrs->has_mode || S_ISREG(attrs->mode)) {
        begin_one(t, attrs);
    } else {
        vt_fail(&why, VT_EINVAL, "transfer", "%s in the guest is neither a file nor a folder",
                t->remote);
        vt__transfer_fail(t, &why);
    }
}

static void begin(struct vt__transfer *t)
{
    struct vt_buf fields = VT_BUF_INIT;
    work(t)->begun = true;
    vt__sftp_put_string(&fields, t->remote, strlen(t->remote));
    vt__sftp_send(t->sftp, VT__SFTP_STAT, &fields, NULL, 0, on_stat, t);
    vt_buf_free(&fields);
}

static void get_step(struct vt__transfer *t)
{
    struct vt__get *g = work(t);
    if (!g->begun)
        begin(t);
    struct vt__get_file *next = NULL;
    for (struct vt__get_file *f = g->files; f && vt__transfer_alive(t); f = next) {
        next = f->next;
        vt__get_file_pump(f);
    }
    while (vt__transfer_alive(t) && g->waiting && g->n_files < VT__TRANSFER_FILES &&
           vt__sftp_room(t->sftp)) {
        struct vt__get_file *f = g->waiting;
        g->waiting = f->next;
        g->n_waiting--;
        if (!g->waiting)
            g->waiting_tail = &g->waiting;
        vt__get_file_begin(f);
    }
    /* one folder at a time, and not further ahead than the files */
    if (vt__transfer_alive(t) && g->folders && !g->reading && !g->waiting)
        read_folder(t);
    if (vt__transfer_alive(t) && g->looked && !g->folders && !g->waiting && !g->n_files)
        vt__transfer_complete(t);
}

static enum vt_code get_publish(struct vt__transfer *t, struct vt_error *err)
{
    struct vt__get *g = work(t);
    if (!t->local)
        return VT_OK;
    for (const struct vt__get_folder *f = g->later; f; f = f->next)
        if (chmod(f->local, f->mode & 0777))
            return vt_fail_sys(err, errno, "transfer", "cannot set the mode of %s", f->local);
    if (rename(g->aside, t->local)) {
        vt_fail_sys(err, errno, "transfer", "cannot move what was got to %s", t->local);
        if (t->folder)
            vt_hint(err, "a folder that holds something is not replaced: remove it first");
        return err->code;
    }
    vt_free(g->aside);
    g->aside = NULL;
    return VT_OK;
}

static void free_files(struct vt__get_file *list)
{
    while (list) {
        struct vt__get_file *f = list;
        list = f->next;
        vt__get_file_free(f);
    }
}

static void free_folders(struct vt__get_folder *list)
{
    while (list) {
        struct vt__get_folder *f = list;
        list = f->next;
        free_folder(f);
    }
}

static void get_free(struct vt__transfer *t)
{
    struct vt__get *g = work(t);
    free_files(g->files);
    free_files(g->waiting);
    free_folders(g->folders);
    free_folders(g->later);
    if (g->aside)
        vt_remove_tree(g->aside, NULL);
    vt_free(g->aside);
    vt_free(g);
}

const struct vt__direction vt__transfer_get = {
    .step = get_step, .publish = get_publish, .free = get_free};

enum vt_code vt__get_start(struct vt__transfer *t, struct vt_error *err)
{
    struct vt__get *g = vt_calloc(1, sizeof *g);
    g->waiting_tail = &g->waiting;
    t->work = g;
    if (!t->local)
        return VT_OK;
    char *aside = aside_name(t), *folder = vt_path_dir(aside);
    enum vt_code code = VT_OK;
    if (!vt_is_dir(folder))
        code = vt_fail(err, VT_ENOTFOUND, "transfer", "there is no folder %s to put %s into",
                       folder, vt_path_base(t->local));
    vt_free(aside);
    vt_free(folder);
    return code;
}
