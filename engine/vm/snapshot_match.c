/* What a snapshot says of where it was made, and whether it can go on here. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <openssl/evp.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vm/internal.h"
#include "vm/snapshot.h"

#define OP "vm.restore"

/* Part of a configuration that its guest cannot see. */
static const char *const unseen[] = {"name", "forwards", "accel", "channel"};

/* The configuration as far as a guest sees it. */
static json_t *seen_config(const json_t *config)
{
    json_t *seen = json_deep_copy(config);
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++)
        json_object_del(seen, unseen[i]);
    return seen;
}

static void hash(const json_t *config, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    json_t *seen = seen_config(config);
    char *text = json_dumps(seen, JSON_COMPACT | JSON_SORT_KEYS);
    EVP_Digest(text, strlen(text), digest, &n, EVP_sha256(), NULL);
    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
    free(text);
    json_decref(seen);
}

/* Which file of an image it is, without reading all of it. */
static void add_stamp(json_t *files, const char *key, const char *path)
{
    struct stat st;
    if (path && stat(path, &st) == 0)
        json_object_set_new(files, key,
                            json_pack("{s:I, s:I}", "size", (json_int_t)st.st_size, "mtime",
                                      (json_int_t)st.st_mtime));
}

static json_t *image_facts(const struct vt_image *image)
{
    json_t *facts = json_pack("{s:s, s:s}", "name", image->name, "dir", image->dir);
    json_t *files = json_object(), *version = NULL;
    if (image->version)
        json_object_set_new(facts, "version", json_string(image->version));
    char *path = vt_path_join(image->dir, "version.json");
    if (vt_is_file(path) && vt_json_load(path, &version, NULL) == VT_OK &&
        vt_json_str(version, "sha256", NULL))
        json_object_set(facts, "sha256", json_object_get(version, "sha256"));
    json_decref(version);
    vt_free(path);
    add_stamp(files, "kernel", image->kernel);
    add_stamp(files, "initrd", image->initrd);
    add_stamp(files, "disk", image->disk);
    json_object_set_new(facts, "files", files);
    return facts;
}

json_t *vt__snapshot_facts(const struct vt_vm *vm, const char *name)
{
    bool memory = vm->state == VT_VM_RUNNING || vm->state == VT_VM_PAUSED;
    char created[40], config_hash[65];
    struct utsname host;
    uname(&host);
    json_t *config = vt_vm_config_to_json(&vm->config);
    hash(config, config_hash);
    json_t *facts =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:o, s:{s:s, s:s}}", "format", 1,
                  "name", name, "created", vt_format_time(created, sizeof created, vt_wall()), "vm",
                  vm->config.name, "state", vt_vm_state_name(vm->state), "memory", (int)memory,
                  "driver", vm->driver->name, "config_hash", config_hash, "config", config, "host",
                  "system", host.sysname, "arch", host.machine);
    if (vm->came_from && vt_is_dir(vm->came_from)) /* not removed since */
        json_object_set_new(facts, "parent", json_string(vt_path_base(vm->came_from)));
    if (vm->config.image)
        json_object_set_new(facts, "image", image_facts(vm->config.image));
    return facts;
}

/* Names the keys of two objects whose values differ. */
static void name_differences(const json_t *a, const json_t *b, struct vt_buf *out)
{
    json_t *both = json_deep_copy(a), *others = json_deep_copy(b);
    json_object_update_missing(both, others);
    json_decref(others);
    const char *key;
    json_t *value;
    json_object_foreach(both, key, value)
    {
        if (!json_equal(json_object_get(a, key), json_object_get(b, key)))
            vt_buf_printf(out, "%s\"%s\"", out->len ? ", " : "", key);
    }
    json_decref(both);
}

static enum vt_code check_config(const struct vt_vm *vm, const char *name, const json_t *facts,
                                 struct vt_error *err)
{
    enum vt_code code = VT_OK;
    json_t *own = vt_vm_config_to_json(&vm->config);
    char own_hash[65];
    hash(own, own_hash);
    if (strcmp(own_hash, vt_json_str(facts, "config_hash", "")) != 0) {
        struct vt_buf keys = VT_BUF_INIT;
        json_t *now = seen_config(own), *then = seen_config(json_object_get(facts, "config"));
        name_differences(now, then, &keys);
        code = vt_fail(err, VT_ESTATE, OP,
                       "the snapshot \"%s\" is of another configuration than that of VM %s: they "
                       "differ in %s",
                       name, vm->config.name, keys.len ? keys.data : "the snapshot's own hash");
        vt_hint(err, "make a VM of the snapshot's own configuration to restore it into");
        vt_buf_free(&keys);
        json_decref(now);
        json_decref(then);
    }
    json_decref(own);
    return code;
}

static enum vt_code check_image(const struct vt_vm *vm, const char *name, const json_t *facts,
                                struct vt_error *err)
{
    const json_t *then = json_object_get(facts, "image");
    if (!vm->config.image || !then)
        return VT_OK; /* the configuration tells whether there is to be one */
    json_t *now = image_facts(vm->config.image);
    const char *a = vt_json_str(now, "sha256", NULL), *b = vt_json_str(then, "sha256", NULL);
    bool same = a && b ? !strcmp(a, b)
                       : json_equal(json_object_get(now, "files"), json_object_get(then, "files"));
    json_decref(now);
    if (same)
        return VT_OK;
    vt_fail(err, VT_ESTATE, OP,
            "the snapshot \"%s\" was taken on another content of the image \"%s\" than %s has now",
            name, vm->config.image->name, vm->config.image->dir);
    vt_hint(err, "bring that version of the image back, or take the snapshot anew");
    return VT_ESTATE;
}

enum vt_code vt__snapshot_matches(const struct vt_vm *vm, const char *name, const json_t *facts,
                                  struct vt_error *err)
{
    const char *driver = vt_json_str(facts, "driver", "");
    const json_t *host = json_object_get(facts, "host");
    struct utsname here;
    uname(&here);
    if (strcmp(driver, vm->driver->name) != 0)
        return vt_fail(err, VT_ESTATE, OP,
                       "the snapshot \"%s\" was made by the driver \"%s\"; VM %s has \"%s\"", name,
                       driver, vm->config.name, vm->driver->name);
    if (vt_json_bool(facts, "memory", false) &&
        (strcmp(vt_json_str(host, "arch", ""), here.machine) != 0 ||
         strcmp(vt_json_str(host, "system", ""), here.sysname) != 0))
        return vt_fail(err, VT_ESTATE, OP,
                       "the snapshot \"%s\" holds the memory of a VM on %s %s; this host is %s %s",
                       name, vt_json_str(host, "system", "?"), vt_json_str(host, "arch", "?"),
                       here.sysname, here.machine);
    enum vt_code code = check_config(vm, name, facts, err);
    return code ? code : check_image(vm, name, facts, err);
}
