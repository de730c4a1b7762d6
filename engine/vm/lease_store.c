/* The folder of leases: shared by all users, so nothing in it is trusted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vm/lease.h"

#define OP "lease"
#define SUFFIX ".lease"
#define FILE_MAX 4096
#define ENTRIES_MAX 4096
#define LIST_TRIES 200 /* of a millisecond each */

struct vt_lease {
    int fd;
    char name[48];
    char *dir;
};

const char *vt_lease_dir(void)
{
    const char *set = getenv("VMTEST_LEASE_DIR");
    return set && *set ? set : "/var/tmp/vmtest-leases";
}

/* --- the folder --- */

static enum vt_code check_folder(int fd, const char *path, struct vt_error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return vt_fail_sys(err, errno, OP, "cannot read %s", path);
    bool own = st.st_uid == getuid() || st.st_uid == 0;
    bool sticky = st.st_mode & S_ISVTX, open_to_all = st.st_mode & 022;
    if ((own || sticky) && (sticky || !open_to_all))
        return VT_OK;
    vt_fail(err, VT_EIO, OP, "%s can be changed at will by other users", path);
    vt_hint(err, "have root remove it, or set VMTEST_LEASE_DIR to a folder of mode 1777 that all "
                 "users of vmtest share");
    return VT_EIO;
}

/* Another user's, between mkdir() and fchmod() below. */
static bool is_half_made(const char *path)
{
    struct stat st;
    return !lstat(path, &st) && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0700 &&
           st.st_uid != getuid();
}

static enum vt_code open_folder(int *fd, struct vt_error *err)
{
    const char *path = vt_lease_dir();
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    *fd = open(path, flags);
    if (*fd < 0 && errno == ENOENT && !mkdir(path, 0700)) {
        *fd = open(path, flags);
        if (*fd >= 0)
            fchmod(*fd, 01777);              /* whatever the umask says */
    } else if (*fd < 0 && errno == EEXIST) { /* another process made it meanwhile */
        *fd = open(path, flags);
    }
    if (*fd < 0 && errno == EACCES && is_half_made(path))
        return vt_fail(err, VT_EBUSY, OP, "another user has begun to make %s, and not finished",
                       path);
    if (*fd < 0) {
        vt_fail_sys(err, errno, OP, "cannot open the folder of leases %s", path);
        vt_hint(err, "set VMTEST_LEASE_DIR to a folder that all users of vmtest share (mode 1777)");
        return err ? err->code : VT_EIO;
    }
    return check_folder(*fd, path, err);
}

/* --- reading --- */

static void clear_leased(struct vt_leased *l)
{
    vt_free(l->run);
    vt_free(l->vm);
    vt_free(l->user);
    vt_free(l->slot);
    vt_free(l->since);
}

static bool is_lease_name(const char *name)
{
    size_t n = strlen(name), tail = sizeof SUFFIX - 1;
    return n > tail && n < sizeof((struct vt__lease_entry *)NULL)->name && name[0] != '.' &&
           !strcmp(name + n - tail, SUFFIX);
}

static uint64_t amount(const json_t *object, const char *key)
{
    int64_t value = vt_json_int(object, key, 0);
    return value > 0 ? (uint64_t)value : 0;
}

static void take_entry(struct vt__lease_table *t, const char *name, const json_t *facts)
{
    if (t->count == ENTRIES_MAX)
        return;
    t->entries = vt_realloc(t->entries, (t->count + 1) * sizeof *t->entries);
    struct vt__lease_entry *e = &t->entries[t->count++];
    const uint64_t cpus = amount(facts, "cpus");
    *e = (struct vt__lease_entry){.place = vt_strdup(vt_json_str(facts, "place", NULL)),
                                  .leased = {.run = vt_strdup(vt_json_str(facts, "run", "")),
                                             .vm = vt_strdup(vt_json_str(facts, "vm", "")),
                                             .user = vt_strdup(vt_json_str(facts, "user", "?")),
                                             .pid = (long)vt_json_int(facts, "pid", 0),
                                             .memory = amount(facts, "memory"),
                                             .cpus = cpus < 100000 ? (int)cpus : 100000,
                                             .slot = vt_strdup(vt_json_str(facts, "slot", NULL)),
                                             .macos_guest = vt_json_bool(facts, "macos", false),
                                             .since = vt_strdup(vt_json_str(facts, "since", "?")),
                                             .waiting = vt_json_bool(facts, "waiting", false)}};
    snprintf(e->name, sizeof e->name, "%s", name);
}

/* A file that cannot be opened, or is no lease, is nobody's. */
static void read_entry(struct vt__lease_table *t, const char *name)
{
    /* not to wait for a writer, should it be a FIFO */
    int fd = openat(t->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    char text[FILE_MAX];
    json_t *facts = NULL;
    if (fd < 0)
        return;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return;
    }
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) { /* whoever held it is gone */
        if (st.st_uid == getuid() || getuid() == 0)
            unlinkat(t->dir, name, 0);
    } else if (errno == EWOULDBLOCK) {
        ssize_t n = read(fd, text, sizeof text);
        if (n > 0 && vt_json_parse(text, (size_t)n, name, &facts, NULL) == VT_OK)
            take_entry(t, name, facts);
        json_decref(facts);
    }
    close(fd);
}

static int by_name(const void *a, const void *b)
{
    const struct vt__lease_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static enum vt_code read_all(struct vt__lease_table *t, struct vt_error *err)
{
    int fd = openat(t->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int sys = errno;
        if (fd >= 0)
            close(fd);
        return vt_fail_sys(err, sys, OP, "cannot read %s", vt_lease_dir());
    }
    for (const struct dirent *e; (e = readdir(d));)
        if (is_lease_name(e->d_name))
            read_entry(t, e->d_name);
    closedir(d);
    if (t->count)
        qsort(t->entries, t->count, sizeof *t->entries, by_name);
    return VT_OK;
}

enum vt_code vt__lease_table_open(struct vt__lease_table *t, struct vt_error *err)
{
    *t = (struct vt__lease_table){.dir = -1};
    enum vt_code code = open_folder(&t->dir, err);
    if (code)
        return code;
    if (flock(t->dir, LOCK_EX | LOCK_NB) == 0)
        return read_all(t, err);
    if (errno == EWOULDBLOCK)
        return vt_fail(err, VT_EBUSY, OP, "another process has %s locked", vt_lease_dir());
    return vt_fail_sys(err, errno, OP, "cannot lock %s", vt_lease_dir());
}

void vt__lease_table_close(struct vt__lease_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        clear_leased(&t->entries[i].leased);
        vt_free(t->entries[i].place);
    }
    vt_free(t->entries);
    if (t->dir >= 0)
        close(t->dir);
    *t = (struct vt__lease_table){.dir = -1};
}

enum vt_code vt_lease_list(struct vt_leased **out, size_t *count, struct vt_error *err)
{
    struct vt__lease_table t;
    struct vt_error own = VT_ERROR_INIT;
    *out = NULL;
    *count = 0;
    enum vt_code code = vt__lease_table_open(&t, &own);
    for (int i = 0; code == VT_EBUSY && i < LIST_TRIES; i++) {
        vt__lease_table_close(&t);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        own = (struct vt_error)VT_ERROR_INIT;
        code = vt__lease_table_open(&t, &own);
    }
    if (!code && t.count) {
        *out = vt_calloc(t.count, sizeof **out);
        for (; *count < t.count; ++*count) {
            (*out)[*count] = t.entries[*count].leased;
            t.entries[*count].leased = (struct vt_leased){0};
        }
    }
    vt__lease_table_close(&t);
    return vt_error_copy(err, &own);
}

void vt_leased_free(struct vt_leased *leased, size_t count)
{
    for (size_t i = 0; i < count; i++)
        clear_leased(&leased[i]);
    vt_free(leased);
}

/* --- writing --- */

static json_t *describe(const struct vt_lease_request *r, bool waiting)
{
    const struct passwd *me = getpwuid(getuid());
    char since[40], uid[24];
    snprintf(uid, sizeof uid, "%lu", (unsigned long)getuid());
    return json_pack("{s:s, s:s, s:s*, s:s, s:I, s:I, s:i, s:s*, s:b, s:s, s:b}", "run",
                     r->run ? r->run : "", "vm", r->vm, "place", r->place, "user",
                     me ? me->pw_name : uid, "pid", (json_int_t)getpid(), "memory",
                     (json_int_t)r->needs.memory, "cpus", r->needs.cpus, "slot", r->needs.slot,
                     "macos", r->needs.macos_guest, "since",
                     vt_format_time(since, sizeof since, vt_wall()), "waiting", waiting);
}

/* Names sort by the time they were made at; two processes never make one at once. */
static enum vt_code create(struct vt__lease_table *t, struct vt_lease *lease, struct vt_error *err)
{
    struct timespec now;
    char random[9];
    clock_gettime(CLOCK_REALTIME, &now);
    vt_random_hex(random, 8);
    snprintf(lease->name, sizeof lease->name, "%012lld%09ld-%s" SUFFIX, (long long)now.tv_sec,
             now.tv_nsec, random);
    lease->fd =
        openat(t->dir, lease->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (lease->fd < 0)
        return vt_fail_sys(err, errno, OP, "cannot make a file in %s", vt_lease_dir());
    if (fchmod(lease->fd, 0644) || flock(lease->fd, LOCK_EX | LOCK_NB))
        return vt_fail_sys(err, errno, OP, "cannot lock a file in %s", vt_lease_dir());
    return VT_OK;
}

enum vt_code vt__lease_write(struct vt__lease_table *t, struct vt_lease **lease,
                             const struct vt_lease_request *request, bool waiting,
                             struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    if (!*lease) {
        *lease = vt_calloc(1, sizeof **lease);
        (*lease)->fd = -1;
        (*lease)->dir = vt_strdup(vt_lease_dir());
        create(t, *lease, &own);
    }
    json_t *facts = describe(request, waiting);
    char *text = facts ? json_dumps(facts, JSON_COMPACT) : NULL;
    json_decref(facts);
    size_t n = text ? strlen(text) : 0;
    if (!own.code && (!n || n > FILE_MAX))
        vt_fail(&own, VT_EINVAL, OP, "the names of VM %s are too long", request->vm);
    if (!own.code && (lseek((*lease)->fd, 0, SEEK_SET) || ftruncate((*lease)->fd, 0)))
        vt_fail_sys(&own, errno, OP, "cannot write in %s", vt_lease_dir());
    if (!own.code)
        vt_write_all((*lease)->fd, text, n, vt_lease_dir(), &own);
    free(text);
    if (own.code) {
        vt_lease_release(*lease);
        *lease = NULL;
    }
    return vt_error_copy(err, &own);
}

const char *vt__lease_name(const struct vt_lease *lease)
{
    return lease ? lease->name : NULL;
}

int vt_lease_fd(const struct vt_lease *lease)
{
    return lease ? lease->fd : -1;
}

/* Closing alone ends it: unlocking would end it for a hypervisor that still holds it too. */
void vt_lease_release(struct vt_lease *lease)
{
    if (!lease)
        return;
    if (lease->fd >= 0) {
        close(lease->fd);
        char *path = vt_path_join(lease->dir, lease->name);
        int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlink(path);
        if (fd >= 0)
            close(fd);
        vt_free(path);
    }
    vt_free(lease->dir);
    vt_free(lease);
}
