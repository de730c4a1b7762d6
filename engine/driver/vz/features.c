#include "driver/vz/features.h"

#include <string.h>

#include "core/json.h"
#include "vmtest/apple.h"

#define OP "vm.start"

/* What every macOS with virtual machines has (NAT, a serial port, …) needs no asking. */
struct wanted {
    bool of[VT_APPLE_FEATURE_COUNT_];
};

static void add_boot(struct wanted *w, const struct vt_image *image)
{
    bool macos = !strcmp(image->os, "macos");
    w->of[macos ? VT_APPLE_MACOS_GUEST : VT_APPLE_LINUX_GUEST] = true;
    w->of[VT_APPLE_EFI] = !macos && !image->kernel;
    w->of[VT_APPLE_USB_STORAGE] = image->iso != NULL;
}

static void add_disk(struct wanted *w, const struct vt_disk *disk)
{
    static const enum vt_apple_feature of_bus[] = {[VT_DISK_VIRTIO] = VT_APPLE_DISK_ID,
                                                   [VT_DISK_NVME] = VT_APPLE_NVME,
                                                   [VT_DISK_USB] = VT_APPLE_USB_STORAGE};
    w->of[of_bus[disk->bus]] = true;
    if (disk->url)
        w->of[VT_APPLE_NBD] = true;
}

static void add_options(struct wanted *w, const struct vt_vz_options *o, bool macos)
{
    const struct {
        enum vt_apple_feature feature;
        bool wanted;
    } all[] = {
        {VT_APPLE_ROSETTA, o->rosetta != NULL},
        {VT_APPLE_NESTED, o->nested},
        {VT_APPLE_CLIPBOARD, o->clipboard},
        {VT_APPLE_LINUX_SCREEN, o->screen && !macos},
        {VT_APPLE_VMNET, o->vmnet},
        {VT_APPLE_AUTOMOUNT, o->automount},
        {VT_APPLE_RECOVERY, o->recovery},
        {VT_APPLE_DISK_MODES, o->disk_caching || o->disk_sync},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        w->of[all[i].feature] = w->of[all[i].feature] || all[i].wanted;
}

/* What no version tells: the host's own word. */
static enum vt_code ask_host(const struct vt_vm_config *config, const struct vt_vz_options *o,
                             const json_t *host, struct vt_error *err)
{
    const char *rosetta = vt_json_str(host, "rosetta", "");
    if (o->nested && !vt_json_bool(host, "nested", false)) {
        vt_fail(err, VT_EUNSUPPORTED, OP, "VM %s: this host runs no virtual machines inside guests",
                config->name);
        vt_hint(err, "nested virtualization needs an Apple M%d or later",
                vt_apple_feature_info(VT_APPLE_NESTED)->chip);
        return VT_EUNSUPPORTED;
    }
    if (!o->rosetta || !strcmp(rosetta, "installed"))
        return VT_OK;
    vt_fail(err, VT_EUNSUPPORTED, OP, "VM %s: Rosetta %s", config->name,
            !strcmp(rosetta, "not_installed") ? "is not installed on this host"
                                              : "is not there for guests of this host");
    if (!strcmp(rosetta, "not_installed"))
        vt_hint(err, "softwareupdate --install-rosetta installs it");
    return VT_EUNSUPPORTED;
}

static enum vt_code check(const struct vt_vm_config *config, const json_t *host,
                          enum vt_apple_feature feature, const char *op, struct vt_error *err)
{
    const struct vt_apple_place place = {.host_version = vt_json_str(host, "os_version", NULL),
                                         .arch = vt_json_str(host, "arch", NULL),
                                         .guest_os = config->image->os,
                                         .guest_version = config->image->os_version};
    struct vt_error why = VT_ERROR_INIT;
    if (vt_apple_supports(feature, &place, &why) == VT_OK)
        return VT_OK;
    vt_fail(err, why.code, op, "VM %s: %s", config->name, why.message);
    if (why.hint[0])
        vt_hint(err, "%s", why.hint);
    return why.code;
}

enum vt_code vt_vz_hot_disk_check(const struct vt_vz *vz, struct vt_error *err)
{
    return check(vz->config, vz->host, VT_APPLE_USB_HOTPLUG, "vm.attach_disk", err);
}

enum vt_code vt_vz_features_check(const struct vt_vm_config *config,
                                  const struct vt_vz_options *options, const json_t *host,
                                  struct vt_error *err)
{
    struct wanted wanted = {.of = {false}};
    enum vt_code code = VT_OK;
    add_boot(&wanted, config->image);
    for (size_t i = 0; i < config->disk_count; i++)
        add_disk(&wanted, &config->disks[i]);
    wanted.of[VT_APPLE_VIRTIOFS] = config->share_count > 0;
    add_options(&wanted, options, !strcmp(config->image->os, "macos"));
    for (enum vt_apple_feature f = 0; !code && f < VT_APPLE_FEATURE_COUNT_; f++)
        if (wanted.of[f])
            code = check(config, host, f, OP, err);
    return !code && host ? ask_host(config, options, host, err) : code;
}
