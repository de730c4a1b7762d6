/* The table, and the question put to it. Versions are those of the framework's headers: the first
 * macOS that has the call. What a macOS guest needs is of Apple's documentation of the same calls.
 */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "vmtest/apple.h"

#define OP "vm.supports"
#define TEXT_OF(n) #n
#define TEXT(n) TEXT_OF(n)
#define BOTH .on_arm64 = true, .on_x86_64 = true
#define ARM64 .on_arm64 = true
#define MACOS .of_macos = true
#define LINUX .of_linux = true
#define ANY .of_macos = true, .of_linux = true

static const struct vt_apple_feature_info features[VT_APPLE_FEATURE_COUNT_] = {
    [VT_APPLE_LINUX_GUEST] = {"linux_guest", "running a Linux guest", "11", NULL, BOTH, LINUX},
    [VT_APPLE_MACOS_GUEST] = {"macos_guest", "running a macOS guest", "12", "12", ARM64, MACOS,
                              .also = "at most " TEXT(VT_MACOS_GUESTS_MAX) " at once on a host"},
    [VT_APPLE_PAUSE] = {"pause", "pausing and resuming", "11", NULL, BOTH, ANY},
    [VT_APPLE_REQUEST_STOP] = {"request_stop", "asking a guest to stop", "11", NULL, BOTH, ANY},
    [VT_APPLE_STOP] = {"stop", "powering off hard", "12", NULL, BOTH, ANY},
    [VT_APPLE_SERIAL] = {"serial", "a serial port", "11", NULL, BOTH, ANY},
    [VT_APPLE_VSOCK] = {"vsock", "connections by vsock", "11", NULL, BOTH, ANY},
    [VT_APPLE_NAT] = {"nat", "a network by NAT", "11", NULL, BOTH, ANY},
    [VT_APPLE_BRIDGED] = {"bridged", "a bridged network", "11", NULL, BOTH, ANY,
                          .also = "the restricted entitlement com.apple.vm.networking, with a "
                                  "provisioning profile"},
    [VT_APPLE_RANDOM_MAC] = {"random_mac", "a random MAC address", "11", NULL, BOTH, ANY},
    [VT_APPLE_DISK_MODES] = {"disk_modes", "choosing how a disk caches and synchronizes", "12",
                             NULL, BOTH, ANY},
    [VT_APPLE_DISK_ID] = {"disk_id", "naming a disk to its guest", "12.3", NULL, BOTH, ANY},
    [VT_APPLE_VIRTIOFS] = {"virtiofs", "sharing folders by VirtioFS", "12", "13", BOTH, ANY},
    [VT_APPLE_RESTORE_IMAGE] = {"restore_image", "finding and reading restore images", "12", NULL,
                                ARM64, MACOS},
    [VT_APPLE_INSTALL] = {"install", "installing macOS from a restore image", "12", "12", ARM64,
                          MACOS,
                          .also = "a host that is not much older than the guest; no symbolic link "
                                  "in the image's path"},
    [VT_APPLE_AUTOMOUNT] = {"automount", "mounting shares by themselves", "13", "13", ARM64, MACOS},
    [VT_APPLE_EFI] = {"efi", "booting by EFI", "13", NULL, BOTH, LINUX},
    [VT_APPLE_LINUX_SCREEN] = {"linux_screen", "a screen of a Linux guest", "13", NULL, BOTH,
                               LINUX},
    [VT_APPLE_GENERIC_IDENTIFIER] = {"generic_identifier", "keeping a Linux guest's identity", "13",
                                     NULL, BOTH, LINUX},
    [VT_APPLE_ROSETTA] = {"rosetta", "running x86-64 programs by Rosetta", "13", NULL, ARM64, LINUX,
                          .also = "Rosetta on the host, registered with binfmt_misc in the guest"},
    [VT_APPLE_USB_STORAGE] = {"usb_storage", "a disk on USB", "13", NULL, BOTH, ANY},
    [VT_APPLE_CLIPBOARD] = {"clipboard", "a shared clipboard", "13", NULL, BOTH, ANY,
                            .also = "a Spice agent in the guest"},
    [VT_APPLE_TRACKPAD] = {"trackpad", "a Mac's trackpad", "13", "13", ARM64, MACOS},
    [VT_APPLE_RECOVERY] = {"recovery", "starting into recovery", "13", NULL, ARM64, MACOS},
    [VT_APPLE_NBD] = {"nbd", "a disk of an NBD server", "14", NULL, BOTH, ANY,
                      .also = "the entitlement com.apple.security.network.client"},
    [VT_APPLE_NVME] = {"nvme", "a disk on an NVMe controller", "14", NULL, BOTH, LINUX},
    [VT_APPLE_MAC_KEYBOARD] = {"mac_keyboard", "a Mac's keyboard", "14", "13", ARM64, MACOS},
    [VT_APPLE_SAVE_RESTORE] = {"save_restore", "saving a virtual machine's state", "14", NULL,
                               ARM64, ANY,
                               .also = "no audio stream and no USB input; a Linux guest's identity "
                                       "kept in a file"},
    [VT_APPLE_NESTED] = {"nested", "running virtual machines inside a guest", "15", NULL, ARM64,
                         LINUX, .chip = 3},
    [VT_APPLE_USB_HOTPLUG] = {"usb_hotplug", "plugging in USB disks while a guest runs", "15", NULL,
                              BOTH, ANY},
    [VT_APPLE_APPLE_ACCOUNT] = {"apple_account", "signing in to an Apple Account in a guest", "15",
                                "15", ARM64, MACOS},
    [VT_APPLE_VMNET] = {"vmnet", "a network of vmnet's own topology", "26", NULL, BOTH, ANY},
    [VT_APPLE_ASIF] = {"asif", "a sparse disk image (ASIF)", "26", NULL, BOTH, ANY},
    [VT_APPLE_PROVISIONING] = {"provisioning", "guest provisioning", "27", "27", ARM64, MACOS,
                               .also = "the first start after an installation"},
    [VT_APPLE_OVERLAYS] = {"overlays", "layering ASIF images by DiskImageKit", "27", NULL, BOTH,
                           ANY},
};

const struct vt_apple_feature_info *vt_apple_feature_info(enum vt_apple_feature feature)
{
    return (unsigned)feature < VT_APPLE_FEATURE_COUNT_ ? &features[feature] : NULL;
}

enum vt_code vt_apple_feature_find(const char *name, enum vt_apple_feature *out,
                                   struct vt_error *err)
{
    const char *names[VT_APPLE_FEATURE_COUNT_];
    for (int i = 0; i < VT_APPLE_FEATURE_COUNT_; i++) {
        names[i] = features[i].name;
        if (strcmp(name, names[i]) != 0)
            continue;
        *out = (enum vt_apple_feature)i;
        return VT_OK;
    }
    vt_fail(err, VT_ENOTFOUND, OP, "Apple's Virtualization framework has no \"%s\"", name);
    const char *near = vt_nearest(name, names, VT_APPLE_FEATURE_COUNT_);
    vt_hint(err, near ? "did you mean \"%s\"?" : "`vmtest features` lists what it has%s",
            near ? near : "");
    return VT_ENOTFOUND;
}

/* --- the conditions, one function each --- */

typedef enum vt_code condition_fn(const struct vt_apple_feature_info *f,
                                  const struct vt_apple_place *place, struct vt_error *err);

static enum vt_code check_guest_os(const struct vt_apple_feature_info *f,
                                   const struct vt_apple_place *place, struct vt_error *err)
{
    if (!place->guest_os)
        return VT_OK;
    bool macos = !strcmp(place->guest_os, "macos");
    if (macos ? f->of_macos : f->of_linux)
        return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED, OP, "%s is there for %s guests alone; this one has %s",
                   f->what, f->of_macos ? "macOS" : "Linux", macos ? "macOS" : place->guest_os);
}

static enum vt_code check_arch(const struct vt_apple_feature_info *f,
                               const struct vt_apple_place *place, struct vt_error *err)
{
    if (!place->arch)
        return VT_OK;
    bool arm64 = !strcmp(place->arch, "arm64") || !strcmp(place->arch, "aarch64");
    if (!arm64 && strcmp(place->arch, "x86_64") != 0) {
        vt_fail(err, VT_EINVAL, OP, "\"%s\" is no architecture of a Mac", place->arch);
        vt_hint(err, "it is arm64 or x86_64");
        return VT_EINVAL;
    }
    if (arm64 ? f->on_arm64 : f->on_x86_64)
        return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED, OP, "%s needs a Mac with %s; this one's is %s", f->what,
                   f->on_arm64 ? "Apple silicon (arm64)" : "an Intel processor (x86_64)",
                   place->arch);
}

/* Whether `has` is no older than `least`. */
static enum vt_code is_new_enough(const char *has, const char *least, bool *out,
                                  struct vt_error *err)
{
    struct vt_macos_version a, b;
    enum vt_code code = vt_macos_version_parse(has, &a, err);
    if (!code)
        code = vt_macos_version_parse(least, &b, err);
    *out = !code && vt_macos_version_compare(&a, &b) >= 0;
    return code;
}

static enum vt_code check_host(const struct vt_apple_feature_info *f,
                               const struct vt_apple_place *place, struct vt_error *err)
{
    bool enough = true;
    enum vt_code code =
        place->host_version ? is_new_enough(place->host_version, f->host, &enough, err) : VT_OK;
    if (code || enough)
        return code;
    return vt_fail(err, VT_EUNSUPPORTED, OP, "%s needs macOS %s on the host; this one has %s",
                   f->what, f->host, place->host_version);
}

static enum vt_code check_guest(const struct vt_apple_feature_info *f,
                                const struct vt_apple_place *place, struct vt_error *err)
{
    bool enough = true, macos = !place->guest_os || !strcmp(place->guest_os, "macos");
    if (!place->guest_version || !macos)
        return VT_OK;
    enum vt_code code =
        is_new_enough(place->guest_version, f->guest ? f->guest : f->host, &enough, err);
    if (code || enough || !f->guest)
        return code;
    return vt_fail(err, VT_EUNSUPPORTED, OP, "%s needs macOS %s in the guest; this one has %s",
                   f->what, f->guest, place->guest_version);
}

static enum vt_code check_chip(const struct vt_apple_feature_info *f,
                               const struct vt_apple_place *place, struct vt_error *err)
{
    int generation;
    if (!f->chip || !place->chip || sscanf(place->chip, "Apple M%4d", &generation) != 1 ||
        generation >= f->chip)
        return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED, OP, "%s needs an Apple M%d or later; this host has an %s",
                   f->what, f->chip, place->chip);
}

enum vt_code vt_apple_supports(enum vt_apple_feature feature, const struct vt_apple_place *place,
                               struct vt_error *err)
{
    static condition_fn *const conditions[] = {check_guest_os, check_arch, check_host, check_guest,
                                               check_chip};
    const struct vt_apple_feature_info *f = vt_apple_feature_info(feature);
    if (!f)
        return vt_fail(err, VT_EINVAL, OP, "%d is no feature", (int)feature);
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        enum vt_code code = conditions[i](f, place, err);
        if (code)
            return code;
    }
    return VT_OK;
}
