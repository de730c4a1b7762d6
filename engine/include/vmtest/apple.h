/* What Apple's Virtualization framework can do where, and what its errors mean: the one table that
 * drivers, commands and docs/mac.md have it from. Nothing here needs a Mac. */
#ifndef VMTEST_APPLE_H
#define VMTEST_APPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtest/error.h"

/* How many macOS guests macOS runs at once on a host, all programs together. */
#define VT_MACOS_GUESTS_MAX 2

/* --- versions of macOS --- */

struct vt_macos_version {
    int part[3]; /* major, minor, patch; what was not given is 0 */
};

/* Reads "26", "15.10", "13.6.1", also after "macOS " and with what Apple sets behind it: "27.0 beta
 * 3", "27.0 RC", "13.4.1 (a)". A beta counts as its release: it has the same features. */
enum vt_code vt_macos_version_parse(const char *text, struct vt_macos_version *out,
                                    struct vt_error *err);

/* < 0, 0 or > 0 as a is older than, the same as, or newer than b. */
int vt_macos_version_compare(const struct vt_macos_version *a, const struct vt_macos_version *b);

/* --- features --- */

enum vt_apple_feature {
    VT_APPLE_LINUX_GUEST,
    VT_APPLE_MACOS_GUEST,
    VT_APPLE_PAUSE,
    VT_APPLE_REQUEST_STOP,
    VT_APPLE_STOP,
    VT_APPLE_SERIAL,
    VT_APPLE_VSOCK,
    VT_APPLE_NAT,
    VT_APPLE_BRIDGED,
    VT_APPLE_RANDOM_MAC,
    VT_APPLE_DISK_MODES,
    VT_APPLE_DISK_ID,
    VT_APPLE_VIRTIOFS,
    VT_APPLE_RESTORE_IMAGE,
    VT_APPLE_INSTALL,
    VT_APPLE_AUTOMOUNT,
    VT_APPLE_EFI,
    VT_APPLE_LINUX_SCREEN,
    VT_APPLE_GENERIC_IDENTIFIER,
    VT_APPLE_ROSETTA,
    VT_APPLE_USB_STORAGE,
    VT_APPLE_CLIPBOARD,
    VT_APPLE_TRACKPAD,
    VT_APPLE_RECOVERY,
    VT_APPLE_NBD,
    VT_APPLE_NVME,
    VT_APPLE_MAC_KEYBOARD,
    VT_APPLE_SAVE_RESTORE,
    VT_APPLE_NESTED,
    VT_APPLE_USB_HOTPLUG,
    VT_APPLE_APPLE_ACCOUNT,
    VT_APPLE_VMNET,
    VT_APPLE_ASIF,
    VT_APPLE_PROVISIONING,
    VT_APPLE_OVERLAYS,
    VT_APPLE_FEATURE_COUNT_
};

struct vt_apple_feature_info {
    const char *name;         /* "save_restore" */
    const char *what;         /* "saving a virtual machine's state" */
    const char *host;         /* least macOS of the host */
    const char *guest;        /* least macOS of a macOS guest; NULL: any that runs */
    bool on_arm64, on_x86_64; /* the host's processor, and so the guest's */
    bool of_macos, of_linux;  /* guests */
    int chip;                 /* least Apple chip: 3 for M3; 0: any */
    const char *also;         /* what else it takes, which no version tells; NULL: nothing */
};

/* Where a feature is wanted. NULL: not known, and then not looked at. */
struct vt_apple_place {
    const char *host_version;  /* macOS of the host */
    const char *arch;          /* "arm64" (also "aarch64") or "x86_64" */
    const char *chip;          /* "Apple M2 Pro" */
    const char *guest_os;      /* "macos"; all else is a Linux guest */
    const char *guest_version; /* of a macOS guest */
};

/* NULL for a number that is no feature. */
const struct vt_apple_feature_info *vt_apple_feature_info(enum vt_apple_feature feature);

/* The feature of that name. VT_ENOTFOUND, with the nearest name as the hint. */
enum vt_code vt_apple_feature_find(const char *name, enum vt_apple_feature *out,
                                   struct vt_error *err);

/* VT_OK; VT_EUNSUPPORTED with the reason ("saving a virtual machine's state needs macOS 14 on the
 * host; this one has 13.6"); VT_EINVAL where a version or an architecture cannot be read. */
enum vt_code vt_apple_supports(enum vt_apple_feature feature, const struct vt_apple_place *place,
                               struct vt_error *err);

/* The host this program runs on, in static memory. VT_EUNSUPPORTED where it is no Mac. */
enum vt_code vt_apple_host(struct vt_apple_place *out, struct vt_error *err);

/* --- errors --- */

/* Turns an NSError into *err (what was wrong, and what to do) and returns its code, never VT_OK.
 * `domain` and `code` are the error's own, or of the error beneath it where that tells more;
 * `text` its description and, where there is one, failure reason. domain and text may be NULL. */
enum vt_code vt_apple_fail(struct vt_error *err, const char *op, const char *domain, long code,
                           const char *text);

#endif
