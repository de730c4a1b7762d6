#include "driver/qemu/accel_cache.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"
#include "vmtest/log.h"

#define FORMAT 1
#define FAILURE_KEPT_S 3600

static char *cache_path(void)
{
    char *dir = vt_home_dir("cache", NULL);
    if (!dir)
        return NULL;
    char *path = vt_path_join(dir, "accel.json");
    vt_free(dir);
    return path;
}

/* This boot of this kernel: after an update or a reboot everything is asked anew. */
static void host_id(struct vt_buf *out)
{
    struct utsname name;
    if (uname(&name) == 0)
        vt_buf_printf(out, "%s %s ", name.release, name.machine);
    struct vt_buf boot = VT_BUF_INIT;
    if (vt_read_file("/proc/sys/kernel/random/boot_id", 256, &boot, NULL) == VT_OK)
        vt_buf_add(out, boot.data, strcspn(boot.data, "\n"));
    vt_buf_free(&boot);
}

static void file_id(const char *path, struct vt_buf *out)
{
    struct stat st;
    if (stat(path, &st) == 0)
        vt_buf_printf(out, "%lld %lld %llu", (long long)st.st_mtime, (long long)st.st_size,
                      (unsigned long long)st.st_ino);
}

/* The cache as it is now, or an empty one for this host. */
static json_t *load(void)
{
    char *path = cache_path();
    json_t *cache = NULL;
    struct vt_buf host = VT_BUF_INIT;
    host_id(&host);
    if (path && vt_is_file(path))
        vt_json_load(path, &cache, NULL);
    if (!cache || vt_json_int(cache, "format", 0) != FORMAT ||
        strcmp(vt_json_str(cache, "host", ""), vt_buf_str(&host)) != 0 ||
        !json_is_object(json_object_get(cache, "qemu"))) {
        json_decref(cache);
        cache = json_pack("{s:i, s:s, s:{}}", "format", FORMAT, "host", vt_buf_str(&host), "qemu");
    }
    vt_buf_free(&host);
    vt_free(path);
    return cache;
}

/* The entry for this program, or NULL where another file is there now. Borrowed. */
static json_t *entry_for(const json_t *cache, const char *qemu)
{
    json_t *entry = json_object_get(json_object_get(cache, "qemu"), qemu);
    struct vt_buf file = VT_BUF_INIT;
    file_id(qemu, &file);
    bool same = strcmp(vt_json_str(entry, "file", ""), vt_buf_str(&file)) == 0;
    vt_buf_free(&file);
    return same ? entry : NULL;
}

void vt_accel_cache_get(const char *qemu, const char *accel, struct vt_accel_known *out)
{
    *out = (struct vt_accel_known){.version = NULL};
    json_t *cache = load();
    const json_t *entry = entry_for(cache, qemu);
    const json_t *probe = json_object_get(json_object_get(entry, "probes"), accel);
    out->version = vt_strdup(vt_json_str(entry, "version", NULL));
    double age = vt_wall() - vt_json_num(probe, "at", 0);
    const char *reason = vt_json_str(probe, "reason", NULL);
    bool works = vt_json_bool(probe, "works", false);
    if (reason && (works || (age >= 0 && age < FAILURE_KEPT_S))) {
        out->probed = true;
        out->works = works;
        out->reason = vt_strdup(reason);
    }
    json_decref(cache);
}

void vt_accel_cache_put(const char *qemu, const char *accel, const struct vt_accel_known *known)
{
    char *path = cache_path();
    if (!path)
        return;
    json_t *cache = load(), *entry = entry_for(cache, qemu);
    if (!json_is_object(json_object_get(entry, "probes"))) {
        struct vt_buf file = VT_BUF_INIT;
        file_id(qemu, &file);
        entry = json_pack("{s:s, s:{}}", "file", vt_buf_str(&file), "probes");
        json_object_set_new(json_object_get(cache, "qemu"), qemu, entry);
        vt_buf_free(&file);
    }
    if (known->version)
        json_object_set_new(entry, "version", json_string(known->version));
    if (known->probed)
        json_object_set_new(json_object_get(entry, "probes"), accel,
                            json_pack("{s:b, s:s, s:f}", "works", known->works, "reason",
                                      known->reason, "at", vt_wall()));
    struct vt_error err = VT_ERROR_INIT;
    if (vt_json_save(path, cache, 0600, &err))
        vt_log(VT_LOG_DEBUG, "the acceleration probe is not cached: %s", err.message);
    json_decref(cache);
    vt_free(path);
}

void vt_accel_known_clear(struct vt_accel_known *known)
{
    vt_free(known->version);
    vt_free(known->reason);
    *known = (struct vt_accel_known){.version = NULL};
}
