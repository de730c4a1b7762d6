/* Files to and from the simulated guest. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "core/fs.h"
#include "core/mem.h"
#include "driver/sim/instance.h"

#define BYTES_PER_SECOND 1e8
#define DEPTH_MAX 64
#define GET_LIMIT_DEFAULT ((size_t)1 << 20)

/* A file or folder on its way into the guest. */
struct item {
    char *path; /* in the guest */
    bool is_dir;
    unsigned mode;
    struct vt_buf data;
};

struct transfer_op {
    struct vt__sim_op base;
    enum vt_direction direction;
    char *remote, *local; /* local NULL: memory */
    size_t limit;
    struct item *items;
    size_t item_count, item_bytes;
    vt_progress_fn on_progress;
    void *progress_user;
    struct vt_buf data;
    struct vt_transfer_result result;
};

static void transfer_free(struct vt_op *op)
{
    struct transfer_op *self = (struct transfer_op *)(void *)op;
    for (size_t i = 0; i < self->item_count; i++) {
        vt_free(self->items[i].path);
        vt_buf_free(&self->items[i].data);
    }
    vt_free(self->items);
    vt_free(self->remote);
    vt_free(self->local);
    vt_buf_free(&self->data);
}

static const struct vt_op_class transfer_class = {
    .name = "guest.transfer", .abort = vt__sim_op_abort, .free = transfer_free};

static enum vt_code fail_guest(struct vt_error *err, int failed, const char *path)
{
    enum vt_code code = failed == ENOENT || failed == ENOTDIR ? VT_ENOTFOUND
                        : failed == ENOSPC                    ? VT_ENOSPC
                                                              : VT_EIO;
    return vt_fail(err, code, "guest.transfer", "%s in the guest: %s", path, strerror(failed));
}

static void hash(char out[65], const struct vt_buf *data)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_Digest(vt_buf_str(data), data->len, digest, &n, EVP_sha256(), NULL);
    for (unsigned i = 0; i < n && i < 32; i++)
        snprintf(out + 2 * (size_t)i, 3, "%02x", digest[i]);
}

static struct item *add_item(struct transfer_op *self, const char *path, bool is_dir, unsigned mode)
{
    if (!(self->item_count & (self->item_count + 1)))
        self->items = vt_realloc(self->items, (self->item_count * 2 + 1) * sizeof *self->items);
    struct item *item = &self->items[self->item_count++];
    *item = (struct item){.path = vt_strdup(path), .is_dir = is_dir, .mode = mode};
    return item;
}

static enum vt_code collect(struct transfer_op *self, const char *local, const char *path,
                            unsigned depth, struct vt_error *err);

static enum vt_code collect_folder(struct transfer_op *self, const char *local, const char *path,
                                   unsigned depth, struct vt_error *err)
{
    DIR *dir = opendir(local);
    if (!dir)
        return vt_fail_sys(err, errno, "guest.transfer", "cannot read the folder %s", local);
    enum vt_code code = VT_OK;
    for (struct dirent *e; !code && (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        char *from = vt_path_join(local, e->d_name), *to = vt_path_join(path, e->d_name);
        code = collect(self, from, to, depth + 1, err);
        vt_free(from);
        vt_free(to);
    }
    closedir(dir);
    return code;
}

/* Reads what is to be sent: the options are only there for this call. */
static enum vt_code collect(struct transfer_op *self, const char *local, const char *path,
                            unsigned depth, struct vt_error *err)
{
    struct stat st;
    if (depth ? lstat(local, &st) : stat(local, &st))
        return vt_fail_sys(err, errno, "guest.transfer", "cannot read %s", local);
    if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX && self->item_count < VT__SIM_FS_NODES) {
        add_item(self, path, true, 0);
        return collect_folder(self, local, path, depth, err);
    }
    if (S_ISDIR(st.st_mode))
        return vt_fail(err, VT_ELIMIT, "guest.transfer", "%s is too deep or has too many files",
                       local);
    if (!S_ISREG(st.st_mode)) {
        self->result.skipped++;
        return VT_OK;
    }
    struct item *item = add_item(self, path, false, st.st_mode & 0777);
    enum vt_code code = vt_read_file(local, VT__SIM_FS_BYTES - self->item_bytes, &item->data, err);
    self->item_bytes += item->data.len;
    return code;
}

static void progress(struct transfer_op *self, uint64_t total, const char *file)
{
    if (self->on_progress && !vt_op_ended(&self->base.op))
        self->on_progress(self->result.bytes, total, file, self->progress_user);
}

static enum vt_code store_all(struct transfer_op *self, struct vt_error *err)
{
    struct vt__sim_fs *fs = self->base.ch->sim->guest.fs;
    for (size_t i = 0; i < self->item_count; i++) {
        struct item *item = &self->items[i];
        const struct vt__sim_node *node = vt__sim_fs_find(fs, item->path);
        int failed = item->is_dir && node && node->is_dir ? 0
                     : item->is_dir                       ? vt__sim_fs_mkdir(fs, item->path, false)
                                    : vt__sim_fs_write(fs, item->path, vt_buf_str(&item->data),
                                                       item->data.len, false, item->mode);
        if (failed)
            return fail_guest(err, failed, item->path);
        if (item->is_dir)
            continue;
        self->result.files++;
        self->result.bytes += item->data.len;
        if (self->item_count == 1)
            hash(self->result.sha256, &vt__sim_fs_find(fs, item->path)->data);
    }
    return VT_OK;
}

/* Writes the folder's content below `to`, which exists. */
static enum vt_code fetch_folder(struct transfer_op *self, const struct vt__sim_node *dir,
                                 const char *to, struct vt_error *err)
{
    const struct vt__sim_fs *fs = self->base.ch->sim->guest.fs;
    size_t first, n = vt__sim_fs_below(fs, dir->path, &first);
    size_t prefix = strcmp(dir->path, "/") ? strlen(dir->path) + 1 : 1;
    enum vt_code code = VT_OK;
    for (size_t i = first; !code && i < first + n; i++) {
        const struct vt__sim_node *node = vt__sim_fs_at(fs, i);
        char *path = vt_path_join(to, node->path + prefix);
        if (node->is_null) {
            self->result.skipped++;
        } else if (node->is_dir) {
            code = vt_mkdirs(path, err);
        } else {
            code = vt_write_file(path, vt_buf_str(&node->data), node->data.len, node->mode & 0777,
                                 err);
            self->result.files++;
            self->result.bytes += node->data.len;
        }
        vt_free(path);
    }
    return code;
}

static enum vt_code fetch_aside(struct transfer_op *self, const struct vt__sim_node *dir,
                                struct vt_error *err)
{
    struct vt_buf temp = VT_BUF_INIT;
    vt_buf_printf(&temp, "%s.tmp-XXXXXX", self->local);
    enum vt_code code = VT_OK;
    if (!mkdtemp(temp.data)) {
        code = vt_fail_sys(err, errno, "guest.transfer", "cannot make a folder beside %s",
                           self->local);
    } else {
        code = fetch_folder(self, dir, temp.data, err);
        if (!code && rename(temp.data, self->local))
            code = vt_fail_sys(err, errno, "guest.transfer", "cannot make %s", self->local);
        if (code)
            vt_remove_tree(temp.data, NULL);
    }
    vt_buf_free(&temp);
    return code;
}

static enum vt_code fetch(struct transfer_op *self, struct vt_error *err)
{
    const struct vt__sim_guest *guest = &self->base.ch->sim->guest;
    static const struct vt__sim_node empty = {.mode = 0644};
    const struct vt__sim_node *node = vt__sim_fs_find(guest->fs, self->remote);
    if (!node && guest->dry_run)
        node = &empty;
    if (!node)
        return fail_guest(err, ENOENT, self->remote);
    if (node->is_dir && self->local)
        return fetch_aside(self, node, err);
    if (node->is_dir)
        return fail_guest(err, EISDIR, self->remote);
    if (!self->local && node->data.len > self->limit)
        return vt_fail(err, VT_ELIMIT, "guest.transfer", "%s in the guest is larger than %zu bytes",
                       self->remote, self->limit);
    self->result.files = 1;
    self->result.bytes = node->data.len;
    hash(self->result.sha256, &node->data);
    if (self->local)
        return vt_write_file(self->local, vt_buf_str(&node->data), node->data.len,
                             node->mode & 0777, err);
    vt_buf_add(&self->data, vt_buf_str(&node->data), node->data.len);
    self->result.data = self->data.data;
    self->result.size = self->data.len;
    return VT_OK;
}

static void on_moved(struct vt__sim_timer *timer)
{
    struct transfer_op *self = timer->user;
    struct vt_error err = VT_ERROR_INIT;
    enum vt_code code = self->direction == VT_PUT ? store_all(self, &err) : fetch(self, &err);
    self->result.duration = vt_loop_now(self->base.op.loop) - self->base.op.started;
    vt__sim_op_leave(&self->base);
    if (!code)
        progress(self, self->result.bytes, self->remote);
    if (code)
        vt_op_fail(&self->base.op, &err);
    else
        vt_op_succeed(&self->base.op, &self->result);
}

static enum vt_code prepare_put(struct transfer_op *self, const struct vt_transfer_opts *opts,
                                struct vt_error *err)
{
    if (opts->local) {
        enum vt_code code = collect(self, opts->local, self->remote, 0, err);
        if (!code && opts->mode && !self->items[0].is_dir)
            self->items[0].mode = opts->mode;
        return code;
    }
    if (opts->size > VT__SIM_FS_BYTES)
        return vt_fail(err, VT_ENOSPC, "guest.transfer", "%zu bytes do not fit into the guest",
                       opts->size);
    struct item *item = add_item(self, self->remote, false, opts->mode ? opts->mode & 07777 : 0644);
    vt_buf_add(&item->data, opts->data, opts->size);
    self->item_bytes = opts->size;
    return VT_OK;
}

struct vt_op *vt__sim_transfer(struct vt_channel *base, const struct vt_transfer_opts *opts,
                               vt_op_fn done, void *user, struct vt_error *err)
{
    struct vt__sim_channel *ch = (struct vt__sim_channel *)(void *)base;
    bool put = opts->direction == VT_PUT;
    char *remote = opts->remote ? vt__sim_path("/root", opts->remote) : NULL;
    enum vt_code code = VT_OK;
    if (!remote || !(opts->timeout > 0) || (put && opts->size && !opts->local && !opts->data))
        code = vt_fail(err, VT_EINVAL, "guest.transfer",
                       "a transfer needs a path in the guest, something to send, and a time-out");
    else if (!ch->connected)
        code = vt_fail(err, VT_ESTATE, "guest.transfer", "the guest is not connected");
    if (code) {
        vt_free(remote);
        return NULL;
    }
    struct transfer_op *self =
        vt__sim_op_new(ch, sizeof *self, &transfer_class, put ? VT__SIM_AT_PUT : VT__SIM_AT_GET,
                       opts->timeout, done, user);
    self->direction = opts->direction;
    self->remote = remote;
    self->local = vt_strdup(opts->local);
    self->limit = opts->limit ? opts->limit : GET_LIMIT_DEFAULT;
    self->on_progress = opts->on_progress;
    self->progress_user = opts->progress_user;
    struct vt_error why = VT_ERROR_INIT;
    if (put && prepare_put(self, opts, &why)) {
        vt__sim_op_leave(&self->base);
        vt_op_fail(&self->base.op, &why);
        return &self->base.op;
    }
    const struct vt__sim_node *node = put ? NULL : vt__sim_fs_find(ch->sim->guest.fs, remote);
    size_t bytes = put ? self->item_bytes : node ? node->data.len : 0;
    vt__sim_op_run(&self->base, (double)bytes / BYTES_PER_SECOND, on_moved);
    return &self->base.op;
}
