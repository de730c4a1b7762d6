#include "core/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"

#define LOCK_TRIES 50

char *vt_path_join(const char *a, const char *b)
{
    struct vt_buf out = VT_BUF_INIT;
    if (b[0] != '/' && a[0]) {
        vt_buf_puts(&out, a);
        if (out.data[out.len - 1] != '/')
            vt_buf_putc(&out, '/');
    }
    vt_buf_puts(&out, b);
    return vt_buf_steal(&out);
}

char *vt_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return vt_strdup(".");
    if (slash == path)
        return vt_strdup("/");
    return vt_strndup(path, (size_t)(slash - path));
}

const char *vt_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

enum vt_code vt_mkdirs(const char *path, struct vt_error *err)
{
    if (mkdir(path, 0700) == 0 || (errno == EEXIST && vt_is_dir(path)))
        return VT_OK;
    if (errno != ENOENT || !strchr(path, '/'))
        return vt_fail_sys(err, errno, "mkdir", "cannot make the folder %s", path);
    char *parent = vt_path_dir(path);
    enum vt_code code = strcmp(parent, path) ? vt_mkdirs(parent, err) : VT_OK;
    vt_free(parent);
    if (code)
        return code;
    if (mkdir(path, 0700) && !(errno == EEXIST && vt_is_dir(path)))
        return vt_fail_sys(err, errno, "mkdir", "cannot make the folder %s", path);
    return VT_OK;
}

/* Removes `name` in the folder `at`; goes down by descriptors, so a swapped link leads nowhere. */
static int remove_at(int at, const char *name)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -1;
    }
    int result = 0, failed = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (remove_at(fd, e->d_name)) {
            result = -1;
            failed = errno;
        }
    }
    closedir(dir);
    if (result) {
        errno = failed;
        return -1;
    }
    return unlinkat(at, name, AT_REMOVEDIR) && errno != ENOENT ? -1 : 0;
}

enum vt_code vt_remove_tree(const char *path, struct vt_error *err)
{
    if (remove_at(AT_FDCWD, path))
        return vt_fail_sys(err, errno, "remove", "cannot remove %s", path);
    return VT_OK;
}

enum vt_code vt_read_file(const char *path, size_t limit, struct vt_buf *out, struct vt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vt_fail_sys(err, errno, "read", "cannot open %s", path);
    enum vt_code code = VT_OK;
    size_t total = 0;
    for (;;) {
        vt_buf_reserve(out, 16384);
        ssize_t n = read(fd, out->data + out->len, 16384);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = vt_fail_sys(err, errno, "read", "cannot read %s", path);
        if (n <= 0)
            break;
        total += (size_t)n;
        if (total > limit) {
            code = vt_fail(err, VT_ELIMIT, "read", "%s is larger than %zu bytes", path, limit);
            break;
        }
        out->len += (size_t)n;
    }
    out->data[out->len] = '\0';
    close(fd);
    return code;
}

enum vt_code vt_write_all(int fd, const void *data, size_t n, const char *what,
                          struct vt_error *err)
{
    const char *p = data;
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return vt_fail_sys(err, errno, "write", "cannot write %s", what);
        p += w;
        n -= (size_t)w;
    }
    return VT_OK;
}

static enum vt_code replace_file(const char *path, const void *data, size_t n, unsigned mode,
                                 bool flush, struct vt_error *err)
{
    struct vt_buf temp = VT_BUF_INIT;
    vt_buf_printf(&temp, "%s.tmp-XXXXXX", path);
    int fd = mkstemp(temp.data);
    if (fd < 0) {
        vt_fail_sys(err, errno, "write", "cannot make a file beside %s", path);
        vt_buf_free(&temp);
        return err ? err->code : VT_EIO;
    }
    enum vt_code code = vt_write_all(fd, data, n, path, err);
    if (!code && (fchmod(fd, (mode_t)mode) || (flush && fsync(fd))))
        code = vt_fail_sys(err, errno, "write", "cannot write %s", path);
    close(fd);
    if (!code && rename(temp.data, path))
        code = vt_fail_sys(err, errno, "write", "cannot replace %s", path);
    if (code)
        unlink(temp.data);
    vt_buf_free(&temp);
    return code;
}

enum vt_code vt_write_file(const char *path, const void *data, size_t n, unsigned mode,
                           struct vt_error *err)
{
    return replace_file(path, data, n, mode, true, err);
}

enum vt_code vt_write_file_unflushed(const char *path, const void *data, size_t n, unsigned mode,
                                     struct vt_error *err)
{
    return replace_file(path, data, n, mode, false, err);
}

enum vt_code vt_lock_file(const char *path, int *fd, struct vt_error *err)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return vt_fail_sys(err, errno, "lock", "cannot open %s", path);
    /* one who only looks (vt_lock_held) has it for a moment */
    int rc = flock(*fd, LOCK_EX | LOCK_NB);
    for (int tries = 0; rc && errno == EWOULDBLOCK && tries < LOCK_TRIES; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        rc = flock(*fd, LOCK_EX | LOCK_NB);
    }
    if (rc) {
        int sys = errno;
        close(*fd);
        *fd = -1;
        if (sys == EWOULDBLOCK)
            return vt_fail(err, VT_EBUSY, "lock", "%s is held by another process", path);
        return vt_fail_sys(err, sys, "lock", "cannot lock %s", path);
    }
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(*fd, 0) || pwrite(*fd, pid, (size_t)n, 0) != n) {
        int sys = errno;
        close(*fd);
        *fd = -1;
        return vt_fail_sys(err, sys, "lock", "cannot write %s", path);
    }
    return VT_OK;
}

bool vt_lock_held(const char *path, long *pid)
{
    if (pid)
        *pid = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    char text[32] = "";
    if (pid && read(fd, text, sizeof text - 1) > 0)
        *pid = strtol(text, NULL, 10);
    close(fd);
    return held;
}

bool vt_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool vt_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool vt_disk_free(const char *path, uint64_t *bytes)
{
    struct statvfs st;
    if (statvfs(path, &st))
        return false;
    *bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_frsize;
    return true;
}
