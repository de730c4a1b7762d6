#include "cli/seed.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"

#define OP "image.import"
#define READY "vmtest: ready"
#define KEY_MAX ((size_t)16 << 10)

static enum vt_code call(struct vt_making *m, const char *const *argv, const char *package,
                         struct vt_error *err)
{
    char *log = vt_path_join(m->build.work, "seed.log");
    const struct vt_program program = {
        .op = OP, .what = argv[0], .argv = argv, .log = log, .timeout = m->build.timeout};
    enum vt_code code = vt_program_run(&program, &m->signal, err);
    if (code == VT_ENOTFOUND)
        vt_hint(err, "%s is in Debian's package %s", argv[0], package);
    vt_free(log);
    return code;
}

static enum vt_code make_key(struct vt_making *m, const char *path, struct vt_error *err)
{
    const char *argv[] = {"ssh-keygen", "-q",     "-t", "ed25519", "-N", "",
                          "-C",         "vmtest", "-f", path,      NULL};
    return call(m, argv, "openssh-client", err);
}

/* One line of a file, without its end. */
static enum vt_code read_line(const char *path, struct vt_buf *out, struct vt_error *err)
{
    enum vt_code code = vt_read_file(path, KEY_MAX, out, err);
    if (!code && out->len)
        out->data[out->len = strcspn(out->data, "\n")] = '\0';
    return code;
}

static json_t *user_entry(const char *user, const char *key)
{
    json_t *entry =
        json_pack("{s:s, s:[s], s:b}", "name", user, "ssh_authorized_keys", key, "lock_passwd", 1);
    if (strcmp(user, "root") != 0) {
        json_object_set_new(entry, "sudo", json_string("ALL=(ALL) NOPASSWD:ALL"));
        json_object_set_new(entry, "shell", json_string("/bin/sh"));
    }
    return entry;
}

/* user-data is YAML, of which JSON is a part. The script runs at each start, last of all. The
 * locale stays the image's: to make one takes long in a guest that is emulated. */
static char *user_data(const char *user, const char *key, const char *host_key,
                       const char *host_key_private)
{
    static const char script[] = "#!/bin/sh\n"
                                 "for console in /dev/ttyS0 /dev/ttyAMA0; do\n"
                                 "    [ ! -c $console ] || echo '" READY "' >$console\n"
                                 "done\n";
    json_t *data = json_pack(
        "{s:b, s:b, s:b, s:b, s:[o], s:{s:s, s:s}, s:[s], s:[{s:s, s:s, s:s}]}", "disable_root", 0,
        "ssh_pwauth", 0, "ssh_deletekeys", 1, "locale", 0, "users", user_entry(user, key),
        "ssh_keys", "ed25519_private", host_key_private, "ed25519_public", host_key,
        "ssh_genkeytypes", "ed25519", "write_files", "path",
        "/var/lib/cloud/scripts/per-boot/vmtest-ready", "permissions", "0755", "content", script);
    char *json = json_dumps(data, JSON_INDENT(1));
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "#cloud-config\n%s\n", json);
    free(json);
    json_decref(data);
    return vt_buf_steal(&text);
}

static enum vt_code write_text(const struct vt_making *m, const char *name, const char *text,
                               struct vt_error *err)
{
    char *path = vt_path_join(m->build.work, name);
    enum vt_code code = vt_write_file_unflushed(path, text, strlen(text), 0600, err);
    vt_free(path);
    return code;
}

static enum vt_code make_disk(struct vt_making *m, struct vt_error *err)
{
    char *disk = vt_path_join(m->build.dir, "seed.img");
    char *user = vt_path_join(m->build.work, "user-data");
    char *meta = vt_path_join(m->build.work, "meta-data");
    const char *format[] = {"mformat", "-C", "-i", disk, "-f", "1440", "-v", "cidata", "::", NULL};
    const char *copy[] = {"mcopy", "-i", disk, user, meta, "::", NULL};
    enum vt_code code = call(m, format, "mtools", err);
    if (!code)
        code = call(m, copy, "mtools", err);
    vt_free(disk);
    vt_free(user);
    vt_free(meta);
    return code;
}

static enum vt_code write_files(const struct vt_making *m, const char *user, const char *key,
                                const char *host, const char *private, struct vt_error *err)
{
    char id[9], *data = user_data(user, key, host, private);
    struct vt_buf meta = VT_BUF_INIT;
    vt_random_hex(id, sizeof id - 1);
    vt_buf_printf(&meta, "{\"instance-id\": \"vmtest-%s\", \"local-hostname\": \"%s\"}\n", id,
                  m->build.name);
    enum vt_code code = write_text(m, "user-data", data, err);
    if (!code)
        code = write_text(m, "meta-data", meta.data, err);
    vt_buf_free(&meta);
    vt_free(data);
    return code;
}

static void describe(json_t *description, const char *user, const char *host_key)
{
    bool root = !strcmp(user, "root");
    json_object_set_new(description, "seed", json_string("seed.img"));
    json_object_set_new(description, "ready", json_string(READY));
    json_object_set_new(description, "shutdown", json_string(root ? "poweroff" : "sudo poweroff"));
    json_object_set_new(description, "reboot", json_string(root ? "reboot" : "sudo reboot"));
    json_object_set_new(
        description, "ssh",
        json_pack("{s:s, s:s, s:s}", "user", user, "key", "id_ed25519", "host_key", host_key));
}

enum vt_code vt_seed_make(struct vt_making *m, const char *user, json_t *description,
                          struct vt_error *err)
{
    char *key = vt_path_join(m->build.dir, "id_ed25519"), *key_pub = NULL;
    char *host = vt_path_join(m->build.work, "host_key"), *host_pub = NULL;
    struct vt_buf public = VT_BUF_INIT, host_public = VT_BUF_INIT, host_private = VT_BUF_INIT;
    user = user ? user : "root";
    enum vt_code code = make_key(m, key, err);
    if (!code)
        code = make_key(m, host, err);
    if (!code) {
        struct vt_buf path = VT_BUF_INIT;
        vt_buf_printf(&path, "%s.pub", key);
        key_pub = vt_buf_steal(&path);
        vt_buf_printf(&path, "%s.pub", host);
        host_pub = vt_buf_steal(&path);
        code = read_line(key_pub, &public, err);
    }
    if (!code)
        code = read_line(host_pub, &host_public, err);
    if (!code)
        code = vt_read_file(host, KEY_MAX, &host_private, err);
    if (!code)
        code = write_files(m, user, public.data, host_public.data, host_private.data, err);
    if (!code)
        code = make_disk(m, err);
    if (!code)
        code = vt_remove_tree(key_pub, err);
    if (!code) {
        char *space = strrchr(host_public.data, ' '); /* its comment */
        *space = '\0';
        describe(description, user, host_public.data);
    }
    struct vt_buf *const texts[] = {&public, &host_public, &host_private};
    for (size_t i = 0; i < 3; i++)
        vt_buf_free(texts[i]);
    char *const paths[] = {key, key_pub, host, host_pub};
    for (size_t i = 0; i < 4; i++)
        vt_free(paths[i]);
    return code;
}
