#include "driver/vz/client.h"

#include <string.h>

#include "core/json.h"
#include "driver/vz/fault.h"

#define OP "vz"

static void request(json_t *line, const char *name, json_t *arguments)
{
    json_object_set_new(line, "op", json_string(name));
    if (arguments)
        json_object_update(line, arguments);
}

static bool greeting(const json_t *message, struct vt_error *why)
{
    const json_t *protocol = json_object_get(message, "protocol");
    if (strcmp(vt_json_str(message, "event", ""), "hello") != 0 || !json_is_integer(protocol))
        return false;
    if (json_integer_value(protocol) == VT_VZ_PROTOCOL)
        return true;
    vt_fail(why, VT_EPROTO, OP,
            "vmtest-vz %.40s speaks version %lld of its protocol; this vmtest speaks version %d",
            vt_json_str(message, "version", "(of no version)"),
            (long long)json_integer_value(protocol), VT_VZ_PROTOCOL);
    vt_hint(why, "install vmtest-vz of the same release as vmtest; VMTEST_VZ names the one to use");
    return false;
}

static const json_t *result(const json_t *message, const char *name, struct vt_error *why)
{
    const json_t *ok = json_object_get(message, "ok");
    if (json_is_true(ok))
        return message;
    if (json_is_false(ok))
        vt_vz_fault(json_object_get(message, "error"), name, why);
    return NULL;
}

const struct vt_monitor_dialect vt_vz_client = {
    .op = OP,
    .peer = "vmtest-vz",
    .line_max = VT_VZ_LINE_MAX,
    .request = request,
    .greeting = greeting,
    .result = result,
};
