#include "driver/qemu/qmp.h"

#include "core/buf.h"
#include "core/json.h"

#define OP "qmp"

static const json_t *version_of(const json_t *greeting)
{
    const json_t *version = json_object_get(json_object_get(greeting, "QMP"), "version");
    return json_object_get(version, "qemu");
}

char *vt_qmp_version(const json_t *greeting)
{
    const json_t *qemu = version_of(greeting);
    struct vt_buf out = VT_BUF_INIT;
    vt_buf_printf(&out, "%d.%d.%d", (int)vt_json_int(qemu, "major", 0),
                  (int)vt_json_int(qemu, "minor", 0), (int)vt_json_int(qemu, "micro", 0));
    return out.data;
}

static void request(json_t *line, const char *name, json_t *arguments)
{
    json_object_set_new(line, "execute", json_string(name));
    if (arguments)
        json_object_set(line, "arguments", arguments);
}

static bool greeting(const json_t *message, struct vt_error *why)
{
    (void)why; /* any version will do */
    return json_is_object(version_of(message));
}

static const json_t *result(const json_t *message, const char *name, struct vt_error *why)
{
    const json_t *error = json_object_get(message, "error");
    if (!error)
        return json_object_get(message, "return");
    vt_fail(why, VT_EHYPERVISOR, OP, "QEMU refused %s: %s", name,
            vt_json_str(error, "desc", "no reason given"));
    return NULL;
}

const struct vt_monitor_dialect vt_qmp = {
    .op = OP,
    .peer = "QEMU",
    .line_max = VT_QMP_LINE_MAX,
    .request = request,
    .greeting = greeting,
    .result = result,
};
