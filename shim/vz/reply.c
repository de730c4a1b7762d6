#include "vz/reply.h"

#include <string.h>
#include <unistd.h>

#include "core/json.h"

static void set(json_t *object, const char *key, const char *text)
{
    if (text)
        vt_json_set_text(object, key, text, strlen(text));
}

static json_t *error_message(const struct vtz_failure *failure, int depth)
{
    json_t *error = json_object();
    set(error, "domain", failure->domain);
    json_object_set_new(error, "code", json_integer(failure->code));
    set(error, "message", failure->message);
    set(error, "reason", failure->reason);
    set(error, "recovery", failure->recovery);
    if (failure->underlying && depth < VTZ_UNDERLYING_MAX)
        json_object_set_new(error, "underlying", error_message(failure->underlying, depth + 1));
    return error;
}

json_t *vtz_hello(enum vtz_state state, bool fake)
{
    json_t *hello = json_pack("{s:s, s:i, s:s, s:I, s:s}", "event", "hello", "protocol",
                              VTZ_PROTOCOL, "version", VT_VERSION, "pid", (json_int_t)getpid(),
                              "state", vtz_state_name(state));
    if (fake)
        json_object_set_new(hello, "fake", json_true());
    return hello;
}

static json_t *head(const int64_t *id, bool ok, enum vtz_state state)
{
    return json_pack("{s:o, s:b, s:s}", "id", id ? json_integer(*id) : json_null(), "ok", ok,
                     "state", vtz_state_name(state));
}

json_t *vtz_reply_failed(const int64_t *id, const struct vtz_failure *failure, enum vtz_state state)
{
    json_t *reply = head(id, false, state);
    json_object_set_new(reply, "error", error_message(failure, 0));
    return reply;
}

json_t *vtz_host_message(const struct vtz_host *host, bool fake)
{
    json_t *bridges = json_array();
    for (size_t i = 0; i < host->bridge_count; i++) {
        json_t *bridge = json_object();
        set(bridge, "id", host->bridges[i].id);
        set(bridge, "name", host->bridges[i].name);
        json_array_append_new(bridges, bridge);
    }
    json_t *out = json_pack(
        "{s:b, s:s, s:i, s:i, s:I, s:I, s:b, s:s, s:o}", "supported", host->supported, "arch",
        host->arch, "min_cpus", (int)host->min_cpus, "max_cpus", (int)host->max_cpus, "min_memory",
        (json_int_t)host->min_memory, "max_memory", (json_int_t)host->max_memory, "nested",
        host->nested, "rosetta", host->rosetta, "bridges", bridges);
    set(out, "os_version", host->os_version);
    if (fake)
        json_object_set_new(out, "fake", json_true());
    return out;
}

static void add_image(json_t *reply, const struct vtz_image *image)
{
    set(reply, "url", image->url);
    set(reply, "build", image->build);
    set(reply, "os_version", image->os_version);
    set(reply, "hardware_model", image->hardware_model);
    if (image->supported) {
        json_object_set_new(reply, "min_cpus", json_integer((json_int_t)image->min_cpus));
        json_object_set_new(reply, "min_memory", json_integer((json_int_t)image->min_memory));
    }
    json_object_set_new(reply, "supported", json_boolean(image->supported));
}

static void add_made(json_t *reply, const struct vtz_made *made)
{
    json_t *macs = json_array();
    for (size_t i = 0; i < made->mac_count; i++)
        json_array_append_new(macs, json_string(made->macs[i]));
    set(reply, "machine_identifier", made->machine_identifier);
    json_object_set_new(reply, "macs", macs);
}

json_t *vtz_reply(const int64_t *id, enum vtz_op op, const struct vtz_outcome *outcome,
                  enum vtz_state state, bool fake)
{
    if (outcome->failure.message)
        return vtz_reply_failed(id, &outcome->failure, state);
    json_t *reply = head(id, true, state);
    if (op == VTZ_OP_HOST) {
        json_t *host = vtz_host_message(&outcome->host, fake);
        json_object_update(reply, host);
        json_decref(host);
    } else if (op == VTZ_OP_RESTORE_IMAGE) {
        add_image(reply, &outcome->image);
    } else if (op == VTZ_OP_CREATE) {
        add_made(reply, &outcome->made);
    }
    return reply;
}

json_t *vtz_event_message(const struct vtz_event *event)
{
    static const char *const names[] = {[VTZ_EVENT_STATE] = "state",
                                        [VTZ_EVENT_STOPPED] = "stopped",
                                        [VTZ_EVENT_FAILED] = "failed",
                                        [VTZ_EVENT_NETWORK_LOST] = "network_lost",
                                        [VTZ_EVENT_PROGRESS] = "progress"};
    json_t *out = json_pack("{s:s}", "event", names[event->kind]);
    switch (event->kind) {
    case VTZ_EVENT_STATE:
        set(out, "state", vtz_state_name(event->state));
        break;
    case VTZ_EVENT_STOPPED:
        break;
    case VTZ_EVENT_NETWORK_LOST:
        json_object_set_new(out, "nic", json_integer((json_int_t)event->nic));
        json_object_set_new(out, "error", error_message(&event->failure, 0));
        break;
    case VTZ_EVENT_FAILED:
        json_object_set_new(out, "error", error_message(&event->failure, 0));
        break;
    case VTZ_EVENT_PROGRESS:
        set(out, "op", "install");
        json_object_set_new(out, "fraction", json_real(event->fraction));
        break;
    }
    return out;
}
