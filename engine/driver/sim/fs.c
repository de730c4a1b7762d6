#include "driver/sim/fs.h"

#include <errno.h>
#include <string.h>

#include "core/mem.h"

struct vt__sim_fs {
    struct vt__sim_node *nodes; /* sorted by path */
    size_t count, cap;
    size_t bytes; /* of all files */
};

/* The first node whose path is not less than `path`. */
static size_t position(const struct vt__sim_fs *fs, const char *path)
{
    size_t low = 0, high = fs->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(fs->nodes[mid].path, path) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct vt__sim_node *find(const struct vt__sim_fs *fs, const char *path)
{
    size_t at = position(fs, path);
    return at < fs->count && !strcmp(fs->nodes[at].path, path) ? &fs->nodes[at] : NULL;
}

const struct vt__sim_node *vt__sim_fs_find(const struct vt__sim_fs *fs, const char *path)
{
    return find(fs, path);
}

const struct vt__sim_node *vt__sim_fs_at(const struct vt__sim_fs *fs, size_t i)
{
    return i < fs->count ? &fs->nodes[i] : NULL;
}

size_t vt__sim_fs_below(const struct vt__sim_fs *fs, const char *path, size_t *first)
{
    struct vt_buf prefix = VT_BUF_INIT;
    vt_buf_puts(&prefix, path);
    if (strcmp(path, "/") != 0)
        vt_buf_putc(&prefix, '/');
    size_t at = position(fs, vt_buf_str(&prefix));
    if (at < fs->count && !strcmp(fs->nodes[at].path, vt_buf_str(&prefix)))
        at++; /* "/" itself */
    size_t end = at;
    while (end < fs->count && !strncmp(fs->nodes[end].path, prefix.data, prefix.len))
        end++;
    vt_buf_free(&prefix);
    *first = at;
    return end - at;
}

char *vt__sim_path(const char *cwd, const char *path)
{
    if (!*path || strlen(path) + strlen(cwd) + 1 > VT__SIM_PATH_MAX)
        return NULL;
    struct vt_buf whole = VT_BUF_INIT, out = VT_BUF_INIT;
    if (*path != '/')
        vt_buf_printf(&whole, "%s/", cwd);
    vt_buf_puts(&whole, path);
    for (const char *p = vt_buf_str(&whole); *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && !strncmp(p, "..", 2)) {
            while (out.len && out.data[--out.len] != '/')
                ;
        } else if (n && !(n == 1 && *p == '.')) {
            vt_buf_putc(&out, '/');
            vt_buf_add(&out, p, n);
        }
        p += n + (p[n] == '/');
    }
    vt_buf_free(&whole);
    if (!out.len)
        vt_buf_putc(&out, '/');
    return vt_buf_steal(&out);
}

/* 0 where the folder that holds `path` exists. */
static int check_parent(const struct vt__sim_fs *fs, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash == path ? vt_strdup("/") : vt_strndup(path, (size_t)(slash - path));
    const struct vt__sim_node *node = find(fs, parent);
    vt_free(parent);
    if (!node)
        return ENOENT;
    return node->is_dir ? 0 : ENOTDIR;
}

static struct vt__sim_node *insert(struct vt__sim_fs *fs, const char *path, bool is_dir,
                                   unsigned mode)
{
    if (fs->count >= VT__SIM_FS_NODES)
        return NULL;
    if (fs->count == fs->cap) {
        fs->cap = fs->cap ? fs->cap * 2 : 32;
        fs->nodes = vt_realloc(fs->nodes, fs->cap * sizeof *fs->nodes);
    }
    size_t at = position(fs, path);
    memmove(fs->nodes + at + 1, fs->nodes + at, (fs->count - at) * sizeof *fs->nodes);
    fs->count++;
    fs->nodes[at] = (struct vt__sim_node){.path = vt_strdup(path), .is_dir = is_dir, .mode = mode};
    return &fs->nodes[at];
}

int vt__sim_fs_write(struct vt__sim_fs *fs, const char *path, const void *data, size_t n,
                     bool append, unsigned mode)
{
    struct vt__sim_node *node = find(fs, path);
    if (node && node->is_null)
        return 0;
    if (node && node->is_dir)
        return EISDIR;
    size_t kept = fs->bytes - (node && !append ? node->data.len : 0);
    if (n > VT__SIM_FS_BYTES - kept)
        return ENOSPC;
    if (!node) {
        int failed = check_parent(fs, path);
        if (failed)
            return failed;
        node = insert(fs, path, false, mode ? mode : 0644);
        if (!node)
            return ENOSPC;
    } else if (mode) {
        node->mode = mode;
    }
    if (!append)
        vt_buf_clear(&node->data);
    vt_buf_add(&node->data, data, n);
    fs->bytes = kept + n;
    return 0;
}

void vt__sim_fs_set_mode(struct vt__sim_fs *fs, const char *path, unsigned mode)
{
    struct vt__sim_node *node = find(fs, path);
    if (node)
        node->mode = mode;
}

int vt__sim_fs_mkdir(struct vt__sim_fs *fs, const char *path, bool parents)
{
    const struct vt__sim_node *node = find(fs, path);
    if (node)
        return node->is_dir && parents ? 0 : EEXIST;
    if (!parents) {
        int failed = check_parent(fs, path);
        if (failed)
            return failed;
        return insert(fs, path, true, 0755) ? 0 : ENOSPC;
    }
    char *part = vt_strdup(path);
    int failed = 0;
    for (char *p = part + 1; !failed; p++) {
        if (*p && *p != '/')
            continue;
        char was = *p;
        *p = '\0';
        node = find(fs, part);
        if (node && !node->is_dir)
            failed = was ? ENOTDIR : EEXIST;
        else if (!node && !insert(fs, part, true, 0755))
            failed = ENOSPC;
        *p = was;
        if (!was)
            break;
    }
    vt_free(part);
    return failed;
}

/* Takes the nodes [first, first + n) out. */
static void take_out(struct vt__sim_fs *fs, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++) {
        fs->bytes -= fs->nodes[i].data.len;
        vt_buf_free(&fs->nodes[i].data);
        vt_free(fs->nodes[i].path);
    }
    memmove(fs->nodes + first, fs->nodes + first + n, (fs->count - first - n) * sizeof *fs->nodes);
    fs->count -= n;
}

int vt__sim_fs_remove(struct vt__sim_fs *fs, const char *path, bool recursive)
{
    const struct vt__sim_node *node = find(fs, path);
    if (!node)
        return ENOENT;
    if (!strcmp(path, "/") || node->is_null)
        return EBUSY;
    if (node->is_dir && !recursive)
        return EISDIR;
    size_t first, below = vt__sim_fs_below(fs, path, &first);
    for (size_t i = first; i < first + below; i++)
        if (fs->nodes[i].is_null)
            return EBUSY;
    take_out(fs, first, below);
    take_out(fs, position(fs, path), 1);
    return 0;
}

struct vt__sim_fs *vt__sim_fs_new(const char *hostname)
{
    static const char *const folders[] = {"/",    "/dev", "/etc", "/home", "/opt",     "/root",
                                          "/srv", "/tmp", "/usr", "/var",  "/var/log", "/var/tmp"};
    static const char release[] = "NAME=\"vmtest simulated guest\"\nID=vmtest-sim\n";
    struct vt__sim_fs *fs = vt_calloc(1, sizeof *fs);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        insert(fs, folders[i], true, 0755);
    find(fs, "/tmp")->mode = find(fs, "/var/tmp")->mode = 01777;
    insert(fs, "/dev/null", false, 0666)->is_null = true;
    vt__sim_fs_write(fs, "/etc/os-release", release, sizeof release - 1, false, 0);
    vt__sim_fs_write(fs, "/etc/hostname", hostname, strlen(hostname), false, 0);
    vt__sim_fs_write(fs, "/etc/hostname", "\n", 1, true, 0);
    return fs;
}

void vt__sim_fs_free(struct vt__sim_fs *fs)
{
    if (!fs)
        return;
    take_out(fs, 0, fs->count);
    vt_free(fs->nodes);
    vt_free(fs);
}
