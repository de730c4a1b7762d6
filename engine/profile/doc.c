#include "profile/doc.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "plist/base64.h"

#define OP "profile.read"
#define APPLE_EPOCH 978307200

static enum vt_code read_stdin(struct vt_buf *out, struct vt_error *err)
{
    for (;;) {
        vt_buf_reserve(out, 65536);
        ssize_t n = read(STDIN_FILENO, out->data + out->len, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vt_fail_sys(err, errno, OP, "cannot read standard input");
        if (n == 0)
            return VT_OK;
        out->len += (size_t)n;
        if (out->len > VT_PLIST_MAX_BYTES)
            return vt_fail(err, VT_ELIMIT, OP, "standard input: larger than %u MiB",
                           VT_PLIST_MAX_BYTES >> 20);
    }
}

enum vt_code vt_profile_parse(const void *data, size_t n, const char *name, struct vt_profile **out,
                              struct vt_error *err)
{
    struct vt_profile *p = vt_calloc(1, sizeof *p);
    struct vt_buf content = VT_BUF_INIT;
    enum vt_code code = VT_OK;
    *out = NULL;
    p->name = vt_strdup(name);
    p->is_signed = vt_cms_is_signed(data, n);
    if (p->is_signed) {
        code = vt_cms_unwrap(data, n, name, &content, &p->signature, err);
        data = vt_buf_str(&content);
        n = content.len;
    }
    if (!code)
        code = vt_plist_parse(data, n, name, &p->root, &p->info, err);
    vt_buf_free(&content);
    if (code)
        vt_profile_free(p);
    else
        *out = p;
    return code;
}

enum vt_code vt_profile_read(const char *path, struct vt_profile **out, struct vt_error *err)
{
    struct vt_buf bytes = VT_BUF_INIT;
    bool standard = !strcmp(path, "-");
    *out = NULL;
    enum vt_code code =
        standard ? read_stdin(&bytes, err) : vt_read_file(path, VT_PLIST_MAX_BYTES, &bytes, err);
    if (!code)
        code =
            vt_profile_parse(vt_buf_str(&bytes), bytes.len, standard ? "<stdin>" : path, out, err);
    vt_buf_free(&bytes);
    return code;
}

const char *vt_profile_name(const struct vt_profile *p)
{
    return p->name;
}

void vt_profile_free(struct vt_profile *p)
{
    if (!p)
        return;
    plist_free(p->root);
    vt_plist_places_free(p->info.places);
    vt_cms_signature_free(&p->signature);
    vt_free(p->name);
    vt_free(p);
}

size_t vt_profile_payloads(const struct vt_profile *p)
{
    plist_t list = vt_plist_array(p->root, "PayloadContent");
    return list ? plist_array_get_size(list) : 0;
}

plist_t vt_profile_payload(const struct vt_profile *p, size_t i)
{
    plist_t list = vt_plist_array(p->root, "PayloadContent");
    plist_t payload = list ? plist_array_get_item(list, (uint32_t)i) : NULL;
    return vt_plist_is(payload, PLIST_DICT) ? payload : NULL;
}

bool vt_is_payload_key(const char *key)
{
    static const char *const keys[] = {
        "PayloadIdentifier", "PayloadUUID",        "PayloadType",
        "PayloadVersion",    "PayloadDescription", "PayloadDisplayName",
        "PayloadEnabled",    "PayloadScope",       "PayloadOrganization",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i], key))
            return true;
    return false;
}

bool vt_starts_uuid(const char *text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    size_t i = 0;
    for (; form[i]; i++)
        if (form[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != form[i])
            return false;
    return true;
}

struct walk {
    void (*each)(const struct vt_setting *setting, void *user);
    void *user;
    struct vt_setting setting;
};

static void settings_of(struct walk *w, plist_t dict, const char *path, bool all)
{
    w->setting.path = path;
    for (struct vt_plist_walk it = vt_plist_walk(dict); vt_plist_next(&it);)
        if (all || !vt_is_payload_key(it.key)) {
            w->setting.key = it.key;
            w->setting.value = it.value;
            w->each(&w->setting, w->user);
        }
}

/* PayloadContent: domain → Forced or Set-Once → [{mcx_preference_settings}]. */
static void preferences_of(struct walk *w, plist_t payload, const char *path)
{
    static const char *const kinds[] = {"Forced", "Set-Once", "Often"};
    plist_t domains = vt_plist_dict(payload, "PayloadContent");
    for (struct vt_plist_walk it = vt_plist_walk(domains); vt_plist_next(&it);)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            plist_t list = vt_plist_array(it.value, kinds[k]);
            for (uint32_t i = 0; list && i < plist_array_get_size(list); i++) {
                struct vt_buf where = VT_BUF_INIT;
                vt_buf_printf(&where, "%s.PayloadContent.%s.%s[%u].mcx_preference_settings", path,
                              it.key, kinds[k], i);
                w->setting.domain = it.key;
                settings_of(w,
                            vt_plist_dict(plist_array_get_item(list, i), "mcx_preference_settings"),
                            vt_buf_str(&where), true);
                vt_buf_free(&where);
            }
        }
}

void vt_profile_settings(const struct vt_profile *p,
                         void (*each)(const struct vt_setting *setting, void *user), void *user)
{
    struct walk w = {.each = each, .user = user};
    for (size_t i = 0; i < vt_profile_payloads(p); i++) {
        char path[48];
        snprintf(path, sizeof path, "PayloadContent[%zu]", i);
        w.setting.payload = vt_profile_payload(p, i);
        w.setting.domain = vt_plist_str(w.setting.payload, "PayloadType", NULL);
        if (w.setting.domain && !strcmp(w.setting.domain, "com.apple.ManagedClient.preferences"))
            preferences_of(&w, w.setting.payload, path);
        else if (w.setting.domain)
            settings_of(&w, w.setting.payload, path, false);
    }
}

static json_t *text_json(const char *text, size_t n)
{
    struct vt_buf valid = VT_BUF_INIT;
    vt_utf8_append(&valid, text, n);
    json_t *value = json_stringn(vt_buf_str(&valid), valid.len);
    vt_buf_free(&valid);
    return value;
}

static json_t *date_json(plist_t value)
{
    int32_t sec = 0, usec = 0;
    char text[40];
    time_t when;
    struct tm tm;
    plist_get_date_val(value, &sec, &usec);
    when = (time_t)sec + APPLE_EPOCH;
    gmtime_r(&when, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static json_t *data_json(plist_t value)
{
    uint64_t n = 0;
    const char *data = plist_get_data_ptr(value, &n);
    struct vt_buf text = VT_BUF_INIT;
    vt_base64_encode(&text, data, (size_t)n);
    json_t *json = json_stringn(vt_buf_str(&text), text.len);
    vt_buf_free(&text);
    return json;
}

json_t *vt_profile_value_json(plist_t value)
{
    json_t *json;
    if (vt_plist_is(value, PLIST_DICT)) {
        json = json_object();
        for (struct vt_plist_walk it = vt_plist_walk(value); vt_plist_next(&it);) {
            struct vt_buf key = VT_BUF_INIT;
            vt_utf8_append(&key, it.key, strlen(it.key));
            json_object_set_new(json, vt_buf_str(&key), vt_profile_value_json(it.value));
            vt_buf_free(&key);
        }
        return json;
    }
    if (vt_plist_is(value, PLIST_ARRAY)) {
        json = json_array();
        for (uint32_t i = 0; i < plist_array_get_size(value); i++)
            json_array_append_new(json, vt_profile_value_json(plist_array_get_item(value, i)));
        return json;
    }
    if (vt_plist_is(value, PLIST_BOOLEAN))
        return json_boolean(vt_plist_true(value));
    if (vt_plist_is(value, PLIST_UINT))
        return json_integer(vt_plist_integer(value));
    if (vt_plist_is(value, PLIST_REAL)) {
        json = json_real(vt_plist_number(value));
        return json ? json : json_null(); /* infinity and NaN are no JSON */
    }
    if (vt_plist_is(value, PLIST_DATE))
        return date_json(value);
    if (vt_plist_is(value, PLIST_DATA))
        return data_json(value);
    const char *text = vt_plist_text(value);
    return text ? text_json(text, strlen(text)) : json_null();
}

#define SHOWN 80

void vt_profile_value_text(struct vt_buf *out, plist_t value)
{
    if (vt_plist_is(value, PLIST_DATA)) {
        uint64_t n = 0;
        plist_get_data_ptr(value, &n);
        vt_buf_printf(out, "%llu bytes of data", (unsigned long long)n);
        return;
    }
    json_t *json = vt_profile_value_json(value);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t n = text ? strlen(text) : 0;
    size_t shown = n > SHOWN ? vt_utf8_prefix(text, SHOWN) : n;
    if (text)
        vt_buf_add(out, text, shown);
    if (shown < n)
        vt_buf_puts(out, "…");
    free(text);
    json_decref(json);
}
