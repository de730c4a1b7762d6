#include "driver/vz/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <uuid/uuid.h>
#endif

#include "core/fs.h"
#include "core/json.h"
#include "driver/vz/digest.h"
#include "driver/vz/features.h"
#include "driver/vz/machine.h"

#define OP "vm.start"

void vt_vz_host_take(struct vt_vz *vz, const json_t *reply)
{
    json_decref(vz->host);
    vz->host = json_deep_copy(reply);
    vz->fake = vz->fake || vt_json_bool(reply, "fake", false);
}

const char *vt_vz_host_version(const struct vt_vz *vz)
{
    return vt_json_str(vz->host, "os_version", "?");
}

/* Of its guests, as images call it. Behind the fake framework they are of this host's kind, which
 * it may tell otherwise. */
static void guests_arch(const struct vt_vz *vz, char out[32])
{
    struct utsname here;
    const char *name = vt_json_str(vz->host, "arch", "?");
    if (vz->fake && uname(&here) == 0)
        name = here.machine;
    snprintf(out, 32, "%.31s", !strcmp(name, "arm64") ? "aarch64" : name);
}

static enum vt_code check_bridges(const struct vt_vz *vz, struct vt_error *err)
{
    const json_t *bridges = json_object_get(vz->host, "bridges");
    struct vt_buf names = VT_BUF_INIT;
    const char *missing = NULL;
    for (size_t k = 0; k < json_array_size(bridges); k++)
        vt_buf_printf(&names, "%s%s", k ? ", " : "",
                      vt_json_str(json_array_get(bridges, k), "id", "?"));
    for (size_t i = 0; !missing && i < vz->config->nic_count; i++) {
        const struct vt_nic *n = &vz->config->nics[i];
        size_t k = 0;
        while (n->kind == VT_NIC_BRIDGED && k < json_array_size(bridges) &&
               strcmp(vt_json_str(json_array_get(bridges, k), "id", ""), n->network) != 0)
            k++;
        if (n->kind == VT_NIC_BRIDGED && k == json_array_size(bridges))
            missing = n->network;
    }
    if (missing) {
        vt_fail(err, VT_ENOTFOUND, OP,
                "VM %s: this host offers no interface \"%s\" to bridge to%s%s", vz->config->name,
                missing, names.len ? "; there are: " : "", vt_buf_str(&names));
        vt_hint(err, "bridging needs a helper that is signed with Apple's entitlement "
                     "com.apple.vm.networking");
    }
    vt_buf_free(&names);
    return missing ? VT_ENOTFOUND : VT_OK;
}

enum vt_code vt_vz_host_check(const struct vt_vz *vz, struct vt_error *err)
{
    const struct vt_image *image = vz->config->image;
    char arch[32];
    guests_arch(vz, arch);
    if (!vt_json_bool(vz->host, "supported", false)) {
        vt_fail(err, VT_EUNSUPPORTED, OP, "this host (macOS %s) cannot run virtual machines",
                vt_vz_host_version(vz));
        vt_hint(err, "a virtual Mac cannot either, unless its host allows it; `vmtest-vz --check` "
                     "tells what there is");
        return VT_EUNSUPPORTED;
    }
    if (strcmp(image->arch, arch) != 0)
        return vt_fail(err, VT_EUNSUPPORTED, OP,
                       "VM %s: the image \"%s\" is for %s; the Virtualization framework runs "
                       "guests of its host's architecture alone, %s",
                       vz->config->name, image->name, image->arch, arch);
    enum vt_code code = vt_vz_features_check(vz->config, &vz->options, vz->host, err);
    return code ? code : check_bridges(vz, err);
}

void vt_vz_host_id(char out[65])
{
    struct vt_buf id = VT_BUF_INIT;
    vt_buf_puts(&id, "vmtest host ");
#ifdef __APPLE__
    uuid_t uuid = {0};
    const struct timespec patience = {.tv_sec = 5};
    if (gethostuuid(uuid, &patience) == 0)
        vt_buf_add(&id, uuid, sizeof uuid);
#else
    vt_read_file("/etc/machine-id", 4096, &id, NULL);
#endif
    vt_vz_digest(id.data, id.len, out);
    vt_buf_free(&id);
}

int vt_vz_compare_versions(const char *a, const char *b)
{
    while (*a || *b) {
        char *end_a, *end_b;
        long x = strtol(a, &end_a, 10), y = strtol(b, &end_b, 10);
        if (x != y)
            return x < y ? -1 : 1;
        if (end_a == a && end_b == b)
            return strcmp(a, b);
        a = *end_a == '.' ? end_a + 1 : end_a;
        b = *end_b == '.' ? end_b + 1 : end_b;
    }
    return 0;
}
