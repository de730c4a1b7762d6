/* The simulated guest's file system: regular files and folders in memory, bounded. Functions that
 * can fail return 0 or an errno. Paths are absolute and plain, as vt__sim_path() makes them. */
#ifndef VT_DRIVER_SIM_FS_H
#define VT_DRIVER_SIM_FS_H

#include "core/buf.h"

#define VT__SIM_FS_BYTES ((size_t)64 << 20) /* of all files together; ENOSPC beyond */
#define VT__SIM_FS_NODES ((size_t)20000)
#define VT__SIM_PATH_MAX ((size_t)4096)

struct vt__sim_node {
    char *path;
    bool is_dir;
    bool is_null; /* /dev/null: reads as empty, takes and drops what is written */
    unsigned mode;
    struct vt_buf data;
};

struct vt__sim_fs;

/* With the usual folders, /etc/hostname, and /etc/os-release of a simulated system. */
struct vt__sim_fs *vt__sim_fs_new(const char *hostname);
void vt__sim_fs_free(struct vt__sim_fs *fs);

/* `path` seen from `cwd`, without ".", ".." and double slashes; vt_free() it. NULL where it is
 * empty or longer than VT__SIM_PATH_MAX. */
char *vt__sim_path(const char *cwd, const char *path);

/* NULL where there is none. Valid until the next change. */
const struct vt__sim_node *vt__sim_fs_find(const struct vt__sim_fs *fs, const char *path);

/* Writes or appends. `mode` 0: 0644 for a new file, unchanged for one that exists. */
int vt__sim_fs_write(struct vt__sim_fs *fs, const char *path, const void *data, size_t n,
                     bool append, unsigned mode);

/* EEXIST where the path exists, unless `parents` is set and it is a folder. */
int vt__sim_fs_mkdir(struct vt__sim_fs *fs, const char *path, bool parents);

/* Nothing where there is no such path. */
void vt__sim_fs_set_mode(struct vt__sim_fs *fs, const char *path, unsigned mode);

/* EISDIR for a folder without `recursive`; "/" is never removed (EBUSY). */
int vt__sim_fs_remove(struct vt__sim_fs *fs, const char *path, bool recursive);

/* The nodes strictly below the folder `path`, sorted by path, at all depths: nodes *first to
 * *first + the result - 1 of vt__sim_fs_at(). */
size_t vt__sim_fs_below(const struct vt__sim_fs *fs, const char *path, size_t *first);
const struct vt__sim_node *vt__sim_fs_at(const struct vt__sim_fs *fs, size_t i);

#endif
