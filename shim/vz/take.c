#include "vz/take.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "core/text.h"

void vtz_take_begin(struct vtz_take *take, json_t *value, struct vtz_failure *failure,
                    const char *fmt, ...)
{
    va_list args;
    *take = (struct vtz_take){.failure = failure};
    va_start(args, fmt);
    vsnprintf(take->place, sizeof take->place, fmt, args);
    va_end(args);
    if (json_is_object(value))
        take->object = value;
    else
        vtz_fail(failure, VTZ_BAD_REQUEST, "%s%snot an object", take->place,
                 *take->place ? ": " : "");
}

void vtz_take_fail(struct vtz_take *take, const char *key, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    vtz_fail(take->failure, VTZ_BAD_REQUEST, "%s%s%s: %s", take->place, *take->place ? "." : "",
             key, text);
}

json_t *vtz_take_value(struct vtz_take *take, const char *key, enum vtz_need need)
{
    if (take->count < VTZ_TAKE_MEMBERS)
        take->known[take->count++] = key;
    json_t *value = json_object_get(take->object, key);
    if (!value && need == VTZ_REQUIRED && take->object)
        vtz_take_fail(take, key, "is missing");
    return value;
}

const char *vtz_take_text(struct vtz_take *take, const char *key, enum vtz_need need)
{
    json_t *value = vtz_take_value(take, key, need);
    const char *text = json_string_value(value);
    if (!value)
        return NULL;
    if (!text || !*text) {
        vtz_take_fail(take, key, "has to be a text that is not empty");
        return NULL;
    }
    return text;
}

const char *vtz_take_path(struct vtz_take *take, const char *key, enum vtz_need need)
{
    const char *path = vtz_take_text(take, key, need);
    if (path && (*path != '/' || strlen(path) > VTZ_PATH_MAX)) {
        vtz_take_fail(take, key, "has to be an absolute path of at most %d bytes", VTZ_PATH_MAX);
        return NULL;
    }
    return path;
}

const char *vtz_take_socket(struct vtz_take *take, const char *key, size_t suffix)
{
    const size_t max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    const char *path = vtz_take_path(take, key, VTZ_REQUIRED);
    if (path && strlen(path) + suffix > max) {
        vtz_take_fail(take, key, "too long for a Unix socket, which may have %zu bytes",
                      max - suffix);
        return NULL;
    }
    return path;
}

const char *vtz_take_base64(struct vtz_take *take, const char *key, enum vtz_need need)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *text = vtz_take_text(take, key, need);
    if (!text)
        return NULL;
    size_t n = strlen(text), body = strspn(text, digits), pad = strspn(text + body, "=");
    if (n % 4 || body + pad != n || pad > 2) {
        vtz_take_fail(take, key, "is no BASE64");
        return NULL;
    }
    return text;
}

bool vtz_take_bool(struct vtz_take *take, const char *key, bool fallback)
{
    json_t *value = vtz_take_value(take, key, VTZ_OPTIONAL);
    if (value && !json_is_boolean(value))
        vtz_take_fail(take, key, "has to be true or false");
    return value ? json_is_true(value) : fallback;
}

bool vtz_take_required_bool(struct vtz_take *take, const char *key)
{
    if (take->object && !json_object_get(take->object, key))
        vtz_take_fail(take, key, "is missing");
    return vtz_take_bool(take, key, false);
}

static uint64_t number(struct vtz_take *take, const char *key, const json_t *value, uint64_t min,
                       uint64_t max)
{
    json_int_t n = json_integer_value(value);
    if (json_is_integer(value) && n >= 0 && (uint64_t)n >= min && (uint64_t)n <= max)
        return (uint64_t)n;
    vtz_take_fail(take, key, "has to be an integer from %" PRIu64 " to %" PRIu64, min, max);
    return 0;
}

uint64_t vtz_take_uint(struct vtz_take *take, const char *key, uint64_t min, uint64_t max)
{
    json_t *value = vtz_take_value(take, key, VTZ_REQUIRED);
    return value ? number(take, key, value, min, max) : 0;
}

uint64_t vtz_take_uint_or(struct vtz_take *take, const char *key, uint64_t min, uint64_t max,
                          uint64_t fallback)
{
    json_t *value = vtz_take_value(take, key, VTZ_OPTIONAL);
    return value ? number(take, key, value, min, max) : fallback;
}

int vtz_take_word(struct vtz_take *take, const char *key, const char *const *words, size_t n,
                  int fallback)
{
    const char *text = vtz_take_text(take, key, fallback < 0 ? VTZ_REQUIRED : VTZ_OPTIONAL);
    char all[320] = "";
    for (size_t i = 0; text && i < n; i++)
        if (!strcmp(text, words[i]))
            return (int)i;
    for (size_t i = 0; text && i < n; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s\"%s\"", i ? ", " : "", words[i]);
    }
    if (text)
        vtz_take_fail(take, key, "\"%.60s\" is none of %s", text, all);
    return fallback < 0 ? 0 : fallback;
}

json_t *vtz_take_array(struct vtz_take *take, const char *key, size_t max)
{
    json_t *value = vtz_take_value(take, key, VTZ_OPTIONAL);
    if (!value)
        return NULL;
    if (!json_is_array(value) || json_array_size(value) > max) {
        vtz_take_fail(take, key, "has to be an array of at most %zu", max);
        return NULL;
    }
    return value;
}

void vtz_take_end(struct vtz_take *take)
{
    const char *key;
    json_t *value;
    json_object_foreach(take->object, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < take->count && !known; i++)
            known = !strcmp(key, take->known[i]);
        if (known)
            continue;
        const char *near = vt_nearest(key, take->known, take->count);
        char name[80];
        snprintf(name, sizeof name, "%.70s", key);
        vt_text_printable(name);
        vtz_take_fail(take, name, "is unknown here%s%s%s", near ? "; is \"" : "", near ? near : "",
                      near ? "\" meant?" : "");
        return;
    }
}
