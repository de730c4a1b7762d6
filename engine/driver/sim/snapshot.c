/* Snapshots of the simulated guest: its files, and how far its boot had come. Commands that ran are
 * not part of it: like those over a lost connection, they have ended. */
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/sim/instance.h"

#define INDEX "files.json"
#define BYTES "files"
#define BYTES_LIMIT (VT__SIM_FS_BYTES + VT__SIM_FS_NODES * VT__SIM_PATH_MAX)

/* files.json lists the nodes; their paths and bytes (which need not be text) lie one behind the
 * other in `files`. */
enum vt_code vt__sim_snapshot_write(const struct vt__sim *sim, const char *dir,
                                    struct vt_error *err)
{
    json_t *nodes = json_array();
    struct vt_buf bytes = VT_BUF_INIT;
    const struct vt__sim_node *node;
    for (size_t i = 0; (node = vt__sim_fs_at(sim->guest.fs, i)); i++) {
        json_t *entry = json_object();
        json_object_set_new(entry, "path", json_integer((json_int_t)strlen(node->path)));
        json_object_set_new(entry, "mode", json_integer(node->mode));
        if (node->is_dir)
            json_object_set_new(entry, "folder", json_true());
        else if (node->is_null)
            json_object_set_new(entry, "null", json_true());
        else
            json_object_set_new(entry, "size", json_integer((json_int_t)node->data.len));
        json_array_append_new(nodes, entry);
        vt_buf_puts(&bytes, node->path);
        vt_buf_add(&bytes, node->data.data, node->data.len);
    }
    json_t *index = json_pack("{s:o}", "nodes", nodes);
    char *path = vt_path_join(dir, INDEX), *data = vt_path_join(dir, BYTES);
    enum vt_code code = vt_json_save(path, index, 0600, err);
    if (!code)
        code = vt_write_file_unflushed(data, vt_buf_str(&bytes), bytes.len, 0600, err);
    json_decref(index);
    vt_buf_free(&bytes);
    vt_free(path);
    vt_free(data);
    return code;
}

static enum vt_code broken(const char *dir, struct vt_error *err)
{
    return vt_fail(err, VT_EIO, "vm.restore", "the files of the snapshot %s are damaged", dir);
}

static int add_node(struct vt__sim_fs *fs, const json_t *entry, const char *path, const char *data,
                    size_t size)
{
    unsigned mode = (unsigned)vt_json_int(entry, "mode", 0644);
    if (vt_json_bool(entry, "null", false))
        return 0; /* there is one */
    if (!vt_json_bool(entry, "folder", false))
        return vt__sim_fs_write(fs, path, data, size, false, mode);
    int failed = vt__sim_fs_mkdir(fs, path, true);
    if (!failed)
        vt__sim_fs_set_mode(fs, path, mode);
    return failed;
}

/* The next `size` bytes, or NULL. */
static const char *take(const struct vt_buf *bytes, size_t *at, int64_t size)
{
    if (size < 0 || (uint64_t)size > bytes->len - *at)
        return NULL;
    *at += (size_t)size;
    return bytes->data + *at - size;
}

static enum vt_code fill(struct vt__sim_fs *fs, const json_t *nodes, const struct vt_buf *bytes,
                         const char *dir, struct vt_error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *entry = json_array_get(nodes, i);
        int64_t path_size = vt_json_int(entry, "path", -1), size = vt_json_int(entry, "size", 0);
        const char *name = take(bytes, &at, path_size),
                   *data = name ? take(bytes, &at, size) : NULL;
        if (!data || *name != '/')
            return broken(dir, err);
        char *path = vt_strndup(name, (size_t)path_size);
        int failed = add_node(fs, entry, path, data, (size_t)size);
        vt_free(path);
        if (failed)
            return broken(dir, err);
    }
    return VT_OK;
}

/* What was there and is not in the snapshot goes first: a file may be in the way of a folder. */
static void clear(struct vt__sim_fs *fs)
{
    const struct vt__sim_node *node;
    for (size_t i = 1; (node = vt__sim_fs_at(fs, i));) {
        char *path = vt_strdup(node->path);
        if (vt__sim_fs_remove(fs, path, true))
            i++;
        vt_free(path);
    }
}

enum vt_code vt__sim_snapshot_read(struct vt__sim *sim, const char *dir, struct vt_error *err)
{
    struct vt_buf bytes = VT_BUF_INIT;
    json_t *index = NULL;
    char *path = vt_path_join(dir, INDEX), *data = vt_path_join(dir, BYTES);
    enum vt_code code = vt_json_load(path, &index, err);
    if (!code)
        code = vt_read_file(data, BYTES_LIMIT, &bytes, err);
    if (!code) {
        clear(sim->guest.fs);
        code = fill(sim->guest.fs, json_object_get(index, "nodes"), &bytes, dir, err);
    }
    json_decref(index);
    vt_buf_free(&bytes);
    vt_free(path);
    vt_free(data);
    return code;
}

enum vt_code vt__sim_restore_check(void *instance, const char *dir, const json_t *facts,
                                   struct vt_error *err)
{
    static const char *const needed[] = {INDEX, BYTES};
    (void)instance;
    (void)facts;
    enum vt_code code = VT_OK;
    for (size_t i = 0; !code && i < sizeof needed / sizeof *needed; i++)
        code = vt_snapshot_check_file(dir, needed[i], -1, err);
    return code;
}
