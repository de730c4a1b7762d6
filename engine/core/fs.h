/* Files and folders. Paths are NUL-terminated strings in the host's encoding. */
#ifndef VT_CORE_FS_H
#define VT_CORE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "vmtest/error.h"

/* "a/b" of "a" and "b" (an absolute b is taken as it is). vt_free() the result. */
char *vt_path_join(const char *a, const char *b);

/* The folder part of a path ("." where it has none). vt_free() the result. */
char *vt_path_dir(const char *path);

/* The last part of a path; points into it. */
const char *vt_path_base(const char *path);

/* Makes `path` and its missing parents, each with mode 0700. Existing folders are left alone. */
enum vt_code vt_mkdirs(const char *path, struct vt_error *err);

/* Removes a file or a whole folder; never follows symbolic links out of it. A path that does not
 * exist is no error. */
enum vt_code vt_remove_tree(const char *path, struct vt_error *err);

/* Reads a whole file of at most `limit` bytes (VT_ELIMIT beyond). Appends to `out`. */
enum vt_code vt_read_file(const char *path, size_t limit, struct vt_buf *out, struct vt_error *err);

/* Writes a file so that readers see the old or the whole new content: a new file of this mode in
 * the same folder, flushed to disk, renamed over `path`. */
enum vt_code vt_write_file(const char *path, const void *data, size_t n, unsigned mode,
                           struct vt_error *err);

/* As vt_write_file(), but not flushed to disk: for what can be made anew after a power cut. */
enum vt_code vt_write_file_unflushed(const char *path, const void *data, size_t n, unsigned mode,
                                     struct vt_error *err);

/* Writes all of data to fd, whatever write() takes at once. VT_OK or the error's code. */
enum vt_code vt_write_all(int fd, const void *data, size_t n, const char *what,
                          struct vt_error *err);

/* Takes the kernel's exclusive lock on the file `path` (made where missing, mode 0600) and writes
 * this process's id into it. *fd holds the lock till it is closed, in whatever process has it.
 * VT_EBUSY where another process holds it. */
enum vt_code vt_lock_file(const char *path, int *fd, struct vt_error *err);

/* True where some process holds the lock on `path`; *pid (may be NULL) gets the id written in the
 * file, 0 where there is none. */
bool vt_lock_held(const char *path, long *pid);

bool vt_is_dir(const char *path);
bool vt_is_file(const char *path);

/* Free bytes for this user on the file system of `path`; false where it cannot be told. */
bool vt_disk_free(const char *path, uint64_t *bytes);

#endif
