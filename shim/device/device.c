#include "device/device.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "plist/tree.h"

#define APPLE_EPOCH 978307200 /* 2001-01-01, which libplist's dates count from */

static VT_PRINTF(2, 0) char *vpath(const char *base, const char *fmt, va_list args)
{
    struct vt_buf out = VT_BUF_INIT;
    char name[1024];
    vsnprintf(name, sizeof name, fmt, args);
    vt_buf_printf(&out, "%s/%s", base, name);
    return vt_buf_steal(&out);
}

char *vtd_state_path(const struct vtd *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *path = vpath(d->state, fmt, args);
    va_end(args);
    return path;
}

char *vtd_root_path(const struct vtd *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *path = vpath(d->root, fmt, args);
    va_end(args);
    return path;
}

plist_t vtd_date(double wall)
{
    return plist_new_date((int32_t)(wall - APPLE_EPOCH), 0);
}

void vtd_sha256_hex(const void *data, size_t n, char *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(data, n, digest, &size, EVP_sha256(), NULL);
    for (unsigned i = 0; i < 32; i++)
        snprintf(out + 2 * (size_t)i, 3, "%02x", digest[i]);
}

void vtd_payload_key(const char *profile, const char *uuid, char *out)
{
    struct vt_buf text = VT_BUF_INIT;
    char hex[65];
    vt_buf_printf(&text, "%s\n%s", profile, uuid);
    vtd_sha256_hex(text.data, text.len, hex);
    vt_buf_free(&text);
    memcpy(out, hex, 16);
    out[16] = '\0';
}

plist_t vtd_state_load(const struct vtd *d, const char *name)
{
    struct vt_buf text = VT_BUF_INIT;
    plist_t tree = NULL;
    char *path = vtd_state_path(d, "%s", name);
    if (!vt_read_file(path, VT_PLIST_MAX_BYTES, &text, NULL))
        vt_plist_parse(text.data, text.len, name, &tree, NULL, NULL);
    vt_buf_free(&text);
    vt_free(path);
    return tree;
}

enum vt_code vtd_state_save(const struct vtd *d, const char *name, plist_t tree,
                            struct vt_error *err)
{
    struct vt_buf text = VT_BUF_INIT;
    char *path = vtd_state_path(d, "%s", name);
    char *dir = vt_path_dir(path);
    enum vt_code code = vt_mkdirs(dir, err);
    if (!code)
        code = vt_plist_write(tree, VT_PLIST_XML, &text, err);
    if (!code)
        code = vt_write_file(path, text.data, text.len, 0600, err);
    vt_buf_free(&text);
    vt_free(path);
    vt_free(dir);
    return code;
}

void vtd_state_drop(const struct vtd *d, const char *name)
{
    char *path = vtd_state_path(d, "%s", name);
    vt_remove_tree(path, NULL);
    vt_free(path);
}

static void random_uuid(char *out, size_t size)
{
    char hex[33];
    vt_random_hex(hex, 32);
    for (char *p = hex; *p; p++)
        *p = (char)(*p >= 'a' ? *p - 'a' + 'A' : *p);
    snprintf(out, size, "%.8s-%.4s-4%.3s-A%.3s-%.12s", hex, hex + 8, hex + 13, hex + 17, hex + 20);
}

/* Made once: a device stays who it is. */
static enum vt_code make_self(struct vtd *d, struct vt_error *err)
{
    char uuid[40], serial[16], host[256] = "";
    random_uuid(uuid, sizeof uuid);
    snprintf(serial, sizeof serial, "VT%.10s", uuid + 24);
    gethostname(host, sizeof host - 1);
    d->self = plist_new_dict();
    vt_plist_set_str(d->self, "UDID", uuid);
    vt_plist_set_str(d->self, "SerialNumber", serial);
    vt_plist_set_str(d->self, "DeviceName", host[0] ? host : "vmtest");
    return vtd_state_save(d, "self.plist", d->self, err);
}

static enum vt_code take_lock(struct vtd *d, double seconds, struct vt_error *err)
{
    char *path = vtd_state_path(d, "lock");
    double until = vt_monotonic() + seconds;
    enum vt_code code;
    for (;;) {
        struct vt_error e = VT_ERROR_INIT;
        code = vt_lock_file(path, &d->lock, &e);
        if (code != VT_EBUSY || vt_monotonic() >= until) {
            vt_error_copy(err, &e);
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    vt_free(path);
    return code;
}

enum vt_code vtd_open(struct vtd *d, const char *root, bool write, double seconds,
                      struct vt_error *err)
{
    *d = (struct vtd){.lock = -1};
    d->root = vt_strdup(strcmp(root, "/") ? root : "");
    d->state = vtd_root_path(d, "var/lib/vmtest-device");
    enum vt_code code = VT_OK;
    if (write) {
        code = vt_mkdirs(d->state, err);
        if (!code)
            code = take_lock(d, seconds, err);
    }
    if (!code)
        d->self = vtd_state_load(d, "self.plist");
    if (!code && !vt_plist_is(d->self, PLIST_DICT)) {
        plist_free(d->self);
        d->self = NULL;
        if (write)
            code = make_self(d, err);
        else
            d->self = plist_new_dict();
    }
    return code;
}

void vtd_close(struct vtd *d)
{
    plist_free(d->self);
    if (d->lock >= 0)
        close(d->lock);
    vt_free(d->root);
    vt_free(d->state);
    *d = (struct vtd){.lock = -1};
}
