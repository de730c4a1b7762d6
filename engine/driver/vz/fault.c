#include "driver/vz/fault.h"

#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "vmtest/apple.h"

#define UNDERLYING_MAX 4

/* The helper's own codes: shim/vz/protocol.md. */
static const enum vt_code own_codes[] = {
    VT_EHYPERVISOR, VT_EINVAL, VT_ESTATE, VT_EUNSUPPORTED, VT_EIO, VT_EBUSY, VT_EHYPERVISOR,
};

static void fail_own(struct vt_error *err, const char *op, json_int_t code, const char *text)
{
    bool known = code > 0 && code < (json_int_t)(sizeof own_codes / sizeof *own_codes);
    vt_fail(err, own_codes[known ? code : 0], "vz", "vmtest-vz refused \"%s\": %.400s", op, text);
}

/* Apple's own, by what is known of its numbers. */
static void fail_apple(struct vt_error *err, const char *op, const char *domain, json_int_t code,
                       const char *text, const char *reason)
{
    struct vt_buf said = VT_BUF_INIT;
    vt_buf_printf(&said, "%.400s%s%.200s", text, *reason ? " " : "", reason);
    vt_apple_fail(err, op, domain, (long)code, vt_buf_str(&said));
    vt_buf_free(&said);
}

enum vt_code vt_vz_fault(const json_t *error, const char *op, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    const char *domain = vt_json_str(error, "domain", "vmtest");
    const char *text = vt_json_str(error, "message", "it gave no reason");
    json_int_t code = vt_json_int(error, "code", 0);
    if (!strcmp(domain, "vmtest"))
        fail_own(&own, op, code, text);
    else
        fail_apple(&own, op, domain, code, text, vt_json_str(error, "reason", ""));
    const json_t *under = json_object_get(error, "underlying");
    for (int i = 0; i < UNDERLYING_MAX && json_is_object(under); i++) {
        vt_error_append(&own, "; because: %.200s (%.60s %lld)",
                        vt_json_str(under, "message", "no reason given"),
                        vt_json_str(under, "domain", "?"),
                        (long long)vt_json_int(under, "code", 0));
        under = json_object_get(under, "underlying");
    }
    const char *recovery = vt_json_str(error, "recovery", "");
    if (!own.hint[0] && *recovery)
        vt_hint(&own, "%.300s", recovery);
    return vt_error_copy(err, &own);
}
