#include "driver/sim/script.h"

#include <limits.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

#define SECONDS_MAX 1e9
#define SLOW_S 60.0 /* what a "slow" fault adds where it does not say */

static const char *const point_names[VT__SIM_POINT_COUNT_] = {
    [VT__SIM_AT_START] = "start",       [VT__SIM_AT_READY] = "ready",
    [VT__SIM_AT_RUNNING] = "running",   [VT__SIM_AT_EXEC] = "exec",
    [VT__SIM_AT_PUT] = "put",           [VT__SIM_AT_GET] = "get",
    [VT__SIM_AT_STOP] = "stop",         [VT__SIM_AT_PAUSE] = "pause",
    [VT__SIM_AT_SNAPSHOT] = "snapshot", [VT__SIM_AT_RESTORE] = "restore",
};

static const char *const kind_names[VT__SIM_FAULT_COUNT_] = {
    [VT__SIM_FAIL] = "fail", [VT__SIM_HANG] = "hang", [VT__SIM_CRASH] = "crash",
    [VT__SIM_DROP] = "drop", [VT__SIM_SLOW] = "slow", [VT__SIM_AUTH] = "auth",
};

#define KIND(name) (1u << VT__SIM_##name)

/* Which faults there are at which point. */
static const unsigned possible[VT__SIM_POINT_COUNT_] = {
    [VT__SIM_AT_START] = KIND(FAIL) | KIND(HANG) | KIND(CRASH) | KIND(SLOW),
    [VT__SIM_AT_READY] = KIND(FAIL) | KIND(HANG) | KIND(CRASH) | KIND(SLOW) | KIND(AUTH),
    [VT__SIM_AT_RUNNING] = KIND(HANG) | KIND(CRASH) | KIND(DROP),
    [VT__SIM_AT_EXEC] = KIND(FAIL) | KIND(HANG) | KIND(CRASH) | KIND(DROP) | KIND(SLOW),
    [VT__SIM_AT_PUT] = KIND(FAIL) | KIND(HANG) | KIND(CRASH) | KIND(DROP) | KIND(SLOW),
    [VT__SIM_AT_GET] = KIND(FAIL) | KIND(HANG) | KIND(CRASH) | KIND(DROP) | KIND(SLOW),
    [VT__SIM_AT_STOP] = KIND(FAIL) | KIND(HANG) | KIND(CRASH) | KIND(SLOW),
    [VT__SIM_AT_PAUSE] = KIND(FAIL) | KIND(HANG) | KIND(CRASH) | KIND(SLOW),
    [VT__SIM_AT_SNAPSHOT] = KIND(FAIL) | KIND(HANG) | KIND(CRASH) | KIND(SLOW),
    [VT__SIM_AT_RESTORE] = KIND(FAIL) | KIND(HANG) | KIND(CRASH) | KIND(SLOW),
};

/* What is read, for messages: sim of VM web, or sim.faults[2] of VM web. */
struct place {
    const char *vm;
    const char *list; /* "commands", or NULL: the script itself */
    size_t index;
    struct vt_error *err;
};

static enum vt_code wrong(const struct place *p, const char *key, const char *expected)
{
    if (!p->list)
        return vt_fail(p->err, VT_EINVAL, "vm.new", "VM %s: sim.%s must be %s", p->vm, key,
                       expected);
    return vt_fail(p->err, VT_EINVAL, "vm.new", "VM %s: sim.%s[%zu].%s must be %s", p->vm, p->list,
                   p->index + 1, key, expected);
}

static enum vt_code check_keys(const struct place *p, const json_t *object,
                               const char *const *known, size_t n)
{
    union {
        const json_t *from;
        json_t *to;
    } u = {.from = object}; /* jansson's iterators know no const */
    const char *key;
    json_t *value;
    json_object_foreach(u.to, key, value)
    {
        size_t i = 0;
        while (i < n && strcmp(key, known[i]) != 0)
            i++;
        if (i < n)
            continue;
        vt_fail(p->err, VT_EINVAL, "vm.new", "VM %s: sim%s%s has no \"%s\"", p->vm,
                p->list ? "." : "", p->list ? p->list : "", key);
        const char *near = vt_nearest(key, known, n);
        if (near)
            vt_hint(p->err, "did you mean \"%s\"?", near);
        return VT_EINVAL;
    }
    return VT_OK;
}

static enum vt_code get_seconds(const struct place *p, const json_t *object, const char *key,
                                double *out)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return VT_OK;
    double seconds = json_is_number(value) ? json_number_value(value) : -1;
    if (!(seconds >= 0) || seconds > SECONDS_MAX)
        return wrong(p, key, "a number of seconds, 0 or more");
    *out = seconds;
    return VT_OK;
}

static enum vt_code get_bool(const struct place *p, const json_t *object, const char *key,
                             bool *out)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return VT_OK;
    if (!json_is_boolean(value))
        return wrong(p, key, "true or false");
    *out = json_is_true(value);
    return VT_OK;
}

static enum vt_code get_int(const struct place *p, const json_t *object, const char *key, int low,
                            int high, const char *expected, int *out)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return VT_OK;
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < low || n > high)
        return wrong(p, key, expected);
    *out = (int)n;
    return VT_OK;
}

static enum vt_code get_text(const struct place *p, const json_t *object, const char *key,
                             const char **out, size_t *size)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return VT_OK;
    if (!json_is_string(value))
        return wrong(p, key, "a string");
    *out = json_string_value(value);
    if (size)
        *size = json_string_length(value);
    return VT_OK;
}

/* The index of a name in a table; n with *err set where it is none. */
static size_t get_name(const struct place *p, const json_t *object, const char *key,
                       const char *const *names, size_t n)
{
    const char *text = json_string_value(json_object_get(object, key));
    size_t i = 0;
    while (text && i < n && strcmp(text, names[i]) != 0)
        i++;
    if (text && i < n)
        return i;
    struct vt_buf list = VT_BUF_INIT;
    for (i = 0; i < n; i++)
        vt_buf_printf(&list, "%s%s", i ? ", " : "one of ", names[i]);
    wrong(p, key, list.data);
    vt_buf_free(&list);
    const char *near = text ? vt_nearest(text, names, n) : NULL;
    if (near)
        vt_hint(p->err, "did you mean \"%s\"?", near);
    return n;
}

static enum vt_code read_command(const struct place *p, const json_t *object,
                                 struct vt__sim_scripted *c)
{
    static const char *const keys[] = {"match", "status", "stdout", "stderr", "seconds"};
    *c = (struct vt__sim_scripted){.out = "", .err = ""};
    if (check_keys(p, object, keys, sizeof keys / sizeof *keys) ||
        get_text(p, object, "match", &c->match, NULL) ||
        get_int(p, object, "status", 0, 255, "an exit status from 0 to 255", &c->status) ||
        get_text(p, object, "stdout", &c->out, &c->out_size) ||
        get_text(p, object, "stderr", &c->err, &c->err_size) ||
        get_seconds(p, object, "seconds", &c->seconds))
        return VT_EINVAL;
    return c->match ? VT_OK : wrong(p, "match", "the command line it answers");
}

static enum vt_code read_fault(const struct place *p, const json_t *object, struct vt__sim_fault *f)
{
    static const char *const keys[] = {"at", "nth", "after", "kind", "message"};
    *f = (struct vt__sim_fault){.message = "a simulated fault"};
    if (check_keys(p, object, keys, sizeof keys / sizeof *keys))
        return VT_EINVAL;
    size_t at = get_name(p, object, "at", point_names, VT__SIM_POINT_COUNT_);
    if (at == VT__SIM_POINT_COUNT_)
        return VT_EINVAL;
    size_t kind = get_name(p, object, "kind", kind_names, VT__SIM_FAULT_COUNT_);
    if (kind == VT__SIM_FAULT_COUNT_)
        return VT_EINVAL;
    if (!(possible[at] & 1u << kind)) {
        struct vt_buf list = VT_BUF_INIT;
        for (unsigned i = 0; i < VT__SIM_FAULT_COUNT_; i++)
            if (possible[at] & 1u << i)
                vt_buf_printf(&list, "%s%s", list.len ? ", " : "one of ", kind_names[i]);
        vt_buf_printf(&list, " at %s", point_names[at]);
        wrong(p, "kind", list.data);
        vt_buf_free(&list);
        return VT_EINVAL;
    }
    f->at = (enum vt__sim_point)at;
    f->kind = (enum vt__sim_fault_kind)kind;
    if (f->kind == VT__SIM_SLOW)
        f->after = SLOW_S;
    int nth = 1;
    if (get_int(p, object, "nth", 1, INT_MAX, "a count from 1", &nth) ||
        get_seconds(p, object, "after", &f->after) ||
        get_text(p, object, "message", &f->message, NULL))
        return VT_EINVAL;
    f->nth = (unsigned)nth;
    return VT_OK;
}

static enum vt_code read_without(const struct place *p, const json_t *list, bool *without)
{
    const char *names[VT_CAP_COUNT_];
    for (int i = 0; i < VT_CAP_COUNT_; i++)
        names[i] = vt_capability_name((enum vt_capability)i);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct place at = {p->vm, "without", i, p->err};
        json_t *one = json_pack("{s:O}", "name", json_array_get(list, i));
        size_t cap = get_name(&at, one, "name", names, VT_CAP_COUNT_);
        json_decref(one);
        if (cap == VT_CAP_COUNT_)
            return VT_EINVAL;
        without[cap] = true;
    }
    return VT_OK;
}

/* The member `key` where it is a list of objects (or of strings); *failed tells of anything else.
 */
static const json_t *get_list(const struct place *p, const json_t *object, const char *key,
                              bool of_objects, bool *failed)
{
    const json_t *list = json_object_get(object, key);
    /* an empty table of Lua is a list too */
    bool good = !list || json_is_array(list) || (json_is_object(list) && !json_object_size(list));
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = of_objects ? json_is_object(json_array_get(list, i))
                          : json_is_string(json_array_get(list, i));
    if (!good) {
        wrong(p, key, of_objects ? "a list of tables" : "a list of names");
        *failed = true;
    }
    return list;
}

static enum vt_code read_lists(const struct place *p, const json_t *object,
                               struct vt__sim_script *s)
{
    bool failed = false;
    const json_t *commands = get_list(p, object, "commands", true, &failed);
    const json_t *faults = get_list(p, object, "faults", true, &failed);
    const json_t *without = get_list(p, object, "without", false, &failed);
    if (failed)
        return VT_EINVAL;
    s->commands = vt_calloc(json_array_size(commands) + 1, sizeof *s->commands);
    s->faults = vt_calloc(json_array_size(faults) + 1, sizeof *s->faults);
    for (size_t i = 0; i < json_array_size(commands); i++) {
        struct place at = {p->vm, "commands", i, p->err};
        if (read_command(&at, json_array_get(commands, i), &s->commands[s->command_count++]))
            return VT_EINVAL;
    }
    for (size_t i = 0; i < json_array_size(faults); i++) {
        struct place at = {p->vm, "faults", i, p->err};
        if (read_fault(&at, json_array_get(faults, i), &s->faults[s->fault_count++]))
            return VT_EINVAL;
    }
    return read_without(p, without, s->without);
}

enum vt_code vt__sim_script_read(const json_t *object, const char *vm,
                                 struct vt__sim_script *script, struct vt_error *err)
{
    static const char *const keys[] = {"boot_seconds", "latency",  "ready",  "dry_run",
                                       "macos_guest",  "commands", "faults", "without"};
    *script = (struct vt__sim_script){.boot_seconds = 5, .latency = 0.01, .ready = true};
    if (!object)
        return VT_OK;
    struct place p = {.vm = vm, .err = err};
    enum vt_code code = json_is_object(object)
                            ? check_keys(&p, object, keys, sizeof keys / sizeof *keys)
                            : vt_fail(err, VT_EINVAL, "vm.new", "VM %s: sim must be a table", vm);
    if (!code && (get_seconds(&p, object, "boot_seconds", &script->boot_seconds) ||
                  get_seconds(&p, object, "latency", &script->latency) ||
                  get_bool(&p, object, "ready", &script->ready) ||
                  get_bool(&p, object, "dry_run", &script->dry_run) ||
                  get_bool(&p, object, "macos_guest", &script->macos_guest) ||
                  read_lists(&p, object, script)))
        code = VT_EINVAL;
    if (code)
        vt__sim_script_clear(script);
    return code;
}

void vt__sim_script_clear(struct vt__sim_script *script)
{
    vt_free(script->commands);
    vt_free(script->faults);
    *script = (struct vt__sim_script){0};
}

const struct vt__sim_fault *vt__sim_script_pass(struct vt__sim_script *script,
                                                enum vt__sim_point at)
{
    unsigned nth = ++script->passed[at];
    for (size_t i = 0; i < script->fault_count; i++)
        if (script->faults[i].at == at && script->faults[i].nth == nth)
            return &script->faults[i];
    return NULL;
}

const struct vt__sim_scripted *vt__sim_script_find(const struct vt__sim_script *script,
                                                   const char *line)
{
    for (size_t i = 0; i < script->command_count; i++)
        if (!strcmp(script->commands[i].match, line))
            return &script->commands[i];
    return NULL;
}
