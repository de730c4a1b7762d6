#include "cli/import_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/making.h"
#include "cli/seed.h"
#include "core/buf.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "image/qcow2.h"
#include "vmtest/run.h"

#define OP "image.import"
#define MEMORY ((uint64_t)1 << 30)
#define KEY_MAX ((size_t)64 << 10)
#define BOOT_DEADLINE "120s" /* systems that set themselves up at their first start take long */

enum content { UNKNOWN, QCOW2, RAW, ISO, FOREIGN };

struct importing {
    const struct vt_import_disk *opts;
    char *path; /* absolute, without links */
    enum content content;
};

static bool has(int fd, off_t at, const void *magic, size_t n)
{
    char found[16];
    return n <= sizeof found && pread(fd, found, n, at) == (ssize_t)n && !memcmp(found, magic, n);
}

/* qcow2: QEMU's docs/interop/qcow2.txt. ISO 9660: ECMA-119, 8.1.2, in the first volume descriptor.
 * Others by the first bytes that their makers document. A raw disk that boots has a boot signature
 * (UEFI specification, 5.2.1: GPT disks too). */
static enum content look(const char *path)
{
    static const struct {
        off_t at;
        const char *magic;
        enum content content;
    } known[] = {
        {0, "QFI\xfb", QCOW2},    {32769, "CD001", ISO},    {0, "KDMV", FOREIGN},
        {0, "vhdxfile", FOREIGN}, {0, "conectix", FOREIGN}, {0, "<<< Oracle VM", FOREIGN},
        {510, "\x55\xaa", RAW},
    };
    enum content content = UNKNOWN;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; fd >= 0 && !content && i < sizeof known / sizeof *known; i++)
        if (has(fd, known[i].at, known[i].magic, strlen(known[i].magic)))
            content = known[i].content;
    if (fd >= 0)
        close(fd);
    return content;
}

bool vt_is_importable_disk(const char *path)
{
    return vt_is_file(path) && look(path) != UNKNOWN;
}

/* A qcow2 file that refers to others would bring them in too: it may name any file of this host. */
static enum vt_code check_alone(const struct importing *i, struct vt_error *err)
{
    struct vt_qcow2 head;
    enum vt_code code = vt_qcow2_read(i->path, &head, err);
    if (code || (!head.backing_len && !head.external_data))
        return code;
    vt_fail(err, VT_EIMAGE, OP, "%s is not a whole disk: it refers to another file", i->path);
    vt_hint(err, "make it one first, if you trust it: qemu-img convert -O qcow2 FILE NEW");
    return VT_EIMAGE;
}

static enum vt_code convert(struct vt_making *m, const struct importing *i, struct vt_error *err)
{
    bool iso = i->content == ISO;
    char *to = vt_path_join(m->build.dir, iso ? "disc.iso" : "disk.qcow2");
    const char *argv[] = {"qemu-img",
                          "convert",
                          "-q",
                          "-f",
                          i->content == QCOW2 ? "qcow2" : "raw",
                          "-O",
                          iso ? "raw" : "qcow2",
                          i->path,
                          to,
                          NULL};
    enum vt_code code = i->content == QCOW2 ? check_alone(i, err) : VT_OK;
    if (!code)
        code = vt_making_qemu_img(m, argv, NULL, err);
    vt_free(to);
    return code;
}

static enum vt_code copy_key(const struct vt_making *m, const char *from, struct vt_error *err)
{
    struct vt_buf key = VT_BUF_INIT;
    char *to = vt_path_join(m->build.dir, "id_user");
    enum vt_code code = vt_read_file(from, KEY_MAX, &key, err);
    if (!code)
        code = vt_write_file_unflushed(to, key.data, key.len, 0600, err);
    vt_free(to);
    vt_buf_free(&key);
    return code;
}

static const char *host_arch(void)
{
    struct utsname u;
    return !uname(&u) && (!strcmp(u.machine, "arm64") || !strcmp(u.machine, "aarch64")) ? "aarch64"
                                                                                        : "x86_64";
}

static json_t *describe(const struct importing *i)
{
    const struct vt_import_disk *o = i->opts;
    char now[40];
    json_t *d = json_pack("{s:i, s:s, s:s, s:I, s:i, s:s, s:s}", "format", 1, "os",
                          o->os ? o->os : "linux", "arch", o->arch ? o->arch : host_arch(),
                          "memory", (json_int_t)(o->memory ? o->memory : MEMORY), "cpus",
                          o->cpus ? o->cpus : 1, "boot_deadline", BOOT_DEADLINE, "created",
                          vt_format_time(now, sizeof now, vt_wall()));
    if (i->content == ISO) {
        json_object_set_new(d, "iso", json_string("disc.iso"));
    } else {
        json_object_set_new(d, "disk", json_string("disk.qcow2"));
        json_object_set_new(d, "disk_format", json_string("qcow2"));
    }
    if (o->firmware)
        json_object_set_new(d, "firmware", json_string(o->firmware));
    if (o->ssh_user && !o->cloud_init) {
        json_t *ssh = json_pack("{s:s}", "user", o->ssh_user);
        if (o->ssh_key)
            json_object_set_new(ssh, "key", json_string("id_user"));
        json_object_set_new(d, "ssh", ssh);
    }
    return d;
}

static enum vt_code fill(struct vt_making *m, struct vt_error *err)
{
    const struct importing *i = m->user;
    enum vt_code code = convert(m, i, err);
    if (!code && i->opts->ssh_key && !i->opts->cloud_init)
        code = copy_key(m, i->opts->ssh_key, err);
    if (code)
        return code;
    json_t *description = describe(i);
    if (i->opts->cloud_init)
        code = vt_seed_make(m, i->opts->ssh_user, description, err);
    char *path = vt_path_join(m->build.dir, "image.json");
    if (!code)
        code = vt_json_save(path, description, 0600, err);
    vt_free(path);
    json_decref(description);
    return code;
}

/* "debian-12-generic" of "/x/debian-12-generic.qcow2". */
static char *name_of(const char *path)
{
    const char *base = vt_path_base(path), *dot = strrchr(base, '.');
    return dot && dot > base ? vt_strndup(base, (size_t)(dot - base)) : vt_strdup(base);
}

static enum vt_code check(const struct importing *i, struct vt_error *err)
{
    const struct vt_import_disk *o = i->opts;
    if (i->content == FOREIGN) {
        vt_fail(err, VT_EUNSUPPORTED, OP, "%s is a disk of another hypervisor's format", i->path);
        vt_hint(err, "convert it first: qemu-img convert -O qcow2 FILE NEW.qcow2");
        return VT_EUNSUPPORTED;
    }
    if (o->cloud_init && i->content == ISO)
        return vt_fail(err, VT_EINVAL, OP, "--cloud-init is for disks: a CD keeps no settings");
    if (o->cloud_init && o->ssh_key)
        return vt_fail(err, VT_EINVAL, OP,
                       "--cloud-init makes a key of its own: --ssh-key is not"
                       " for it");
    if (o->ssh_key && !o->ssh_user)
        return vt_fail(err, VT_EINVAL, OP, "--ssh-key needs --ssh-user");
    return VT_OK;
}

int vt_import_disk(const struct vt_command *self, const char *path,
                   const struct vt_import_disk *opts)
{
    struct vt_error err = VT_ERROR_INIT;
    char *real = realpath(path, NULL);
    struct importing i = {.opts = opts, .path = vt_strdup(real), .content = look(path)};
    struct vt_buf recipe = VT_BUF_INIT;
    free(real);
    int code = VT_EXIT_USAGE;
    if (!i.path)
        vt_fail_sys(&err, errno, OP, "cannot open %s", path);
    if (err.code || check(&i, &err)) {
        vt_cli_error(self, &err);
    } else {
        char *name = opts->name ? vt_strdup(opts->name) : name_of(i.path);
        vt_buf_printf(&recipe, "import %s", i.path);
        struct vt_making m = {.self = self,
                              .build = {.name = name, .timeout = opts->timeout},
                              .made = {.recipe = recipe.data},
                              .fill = fill,
                              .user = &i};
        code = vt_making_run(&m);
        vt_free(name);
    }
    vt_buf_free(&recipe);
    vt_free(i.path);
    return code;
}
