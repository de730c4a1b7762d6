#include "driver/vz/fault.h"

#include <errno.h>
#include <string.h>

#include "core/json.h"

#define UNDERLYING_MAX 4

struct fault {
    const char *domain;
    int code; /* 0: any */
    enum vt_code ours;
    const char *hint;
};

/* Codes of VZErrorDomain: VZError.h of the macOS SDK. */
static const struct fault faults[] = {
    {"vmtest", 1, VT_EINVAL, NULL},
    {"vmtest", 2, VT_ESTATE, NULL},
    {"vmtest", 3, VT_EUNSUPPORTED, NULL},
    {"vmtest", 4, VT_EIO, NULL},
    {"vmtest", 5, VT_EBUSY, NULL},
    {"VZErrorDomain", 1, VT_EHYPERVISOR,
     "on a Mac without a session, unlock the login keychain: from macOS 15 a VM needs it"},
    {"VZErrorDomain", 2, VT_EINVAL, NULL},
    {"VZErrorDomain", 3, VT_ESTATE, NULL},
    {"VZErrorDomain", 4, VT_ESTATE, NULL},
    {"VZErrorDomain", 5, VT_EIMAGE, "the image is to be raw or ASIF, and in use by nobody else"},
    {"VZErrorDomain", 6, VT_ELIMIT,
     "a Mac runs two macOS guests at a time: end one, also of other programs; a slot that nothing "
     "seems to hold is free again after the host restarts"},
    {"VZErrorDomain", 7, VT_EHYPERVISOR, NULL},
    {"VZErrorDomain", 8, VT_ENOSPC, NULL},
    {"VZErrorDomain", 9, VT_ECANCELED, NULL},
    {"VZErrorDomain", 10, VT_EUNSUPPORTED, NULL},
    {"VZErrorDomain", 12, VT_EHYPERVISOR,
     "a saved state can be used on the Mac that made it alone, by the same or a later macOS: take "
     "the snapshot anew"},
    {"VZErrorDomain", 10007, VT_EHYPERVISOR,
     "a guest newer than its host can fail so: update the host, or install an older macOS"},
    {"NSPOSIXErrorDomain", ENOSPC, VT_ENOSPC, NULL},
    {"NSPOSIXErrorDomain", ENOENT, VT_ENOTFOUND, NULL},
    {"NSPOSIXErrorDomain", EACCES, VT_EIO,
     "macOS may keep vmtest-vz out of that folder: see Privacy & Security in its settings"},
    {"NSPOSIXErrorDomain", 0, VT_EIO, NULL},
};

static const struct fault *find(const char *domain, json_int_t code)
{
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (!strcmp(faults[i].domain, domain) && (!faults[i].code || faults[i].code == code))
            return &faults[i];
    return NULL;
}

enum vt_code vt_vz_fault(const json_t *error, const char *op, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    const char *domain = vt_json_str(error, "domain", "");
    json_int_t code = vt_json_int(error, "code", 0);
    const struct fault *known = find(domain, code);
    vt_fail(&own, known ? known->ours : VT_EHYPERVISOR, "vz", "vmtest-vz refused \"%s\": %.400s",
            op, vt_json_str(error, "message", "it gave no reason"));
    const char *reason = vt_json_str(error, "reason", "");
    if (*reason)
        vt_error_append(&own, " %.200s", reason);
    if (*domain && strcmp(domain, "vmtest") != 0)
        vt_error_append(&own, " (%.60s %lld)", domain, (long long)code);
    const json_t *under = json_object_get(error, "underlying");
    for (int i = 0; i < UNDERLYING_MAX && json_is_object(under); i++) {
        vt_error_append(&own, "; because: %.200s (%.60s %lld)",
                        vt_json_str(under, "message", "no reason given"),
                        vt_json_str(under, "domain", "?"),
                        (long long)vt_json_int(under, "code", 0));
        under = json_object_get(under, "underlying");
    }
    const char *recovery = vt_json_str(error, "recovery", "");
    if (known && known->hint)
        vt_hint(&own, "%s", known->hint);
    else if (*recovery)
        vt_hint(&own, "%.300s", recovery);
    return vt_error_copy(err, &own);
}
