#include "image/version.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "image/digest.h"
#include "image/layout.h"

#define OP "image.version"
#define FORMAT 1

static const char *const role_names[] = {[VT_ROLE_KEEP] = "",
                                         [VT_ROLE_LEGACY] = "legacy",
                                         [VT_ROLE_CURRENT] = "current",
                                         [VT_ROLE_BETA] = "beta",
                                         [VT_ROLE_NONE] = ""};

const char *vt_image_role_name(enum vt_image_role role)
{
    return (unsigned)role <= VT_ROLE_NONE ? role_names[role] : "";
}

enum vt_code vt_image_role_parse(const char *text, enum vt_image_role *role, struct vt_error *err)
{
    static const char *const words[] = {"legacy", "current", "beta", "none"};
    static const enum vt_image_role roles[] = {VT_ROLE_LEGACY, VT_ROLE_CURRENT, VT_ROLE_BETA,
                                               VT_ROLE_NONE};
    size_t n = sizeof words / sizeof *words;
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(words[i], text)) {
            *role = roles[i];
            return VT_OK;
        }
    }
    enum vt_code code =
        vt_fail(err, VT_EINVAL, OP, "\"%s\" is no role (legacy, current, beta, none)", text);
    const char *near = vt_nearest(text, words, n);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
    return code;
}

/* The members that are text, and whether each must be there. */
struct text {
    const char *key;
    size_t offset;
    bool required;
};

#define TEXT(key_, required_)                                                                      \
    {                                                                                              \
        .key = #key_, .offset = offsetof(struct vt_image_version, key_), .required = (required_)   \
    }

static const struct text texts[] = {
    TEXT(name, true),         TEXT(version, true), TEXT(created, true),
    TEXT(description, false), TEXT(os, true),      TEXT(arch, true),
    TEXT(deprecated, false),  TEXT(recipe, false), TEXT(recipe_sha256, false),
    TEXT(parent, false),      TEXT(sha256, true),
};

static char **field_of(const struct vt_image_version *version, const struct text *text)
{
    union {
        const struct vt_image_version *from;
        char *to;
    } u = {.from = version};
    return (char **)(void *)(u.to + text->offset);
}

static bool is_digest(const char *text)
{
    return text && strlen(text) == VT__HEX_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == VT__HEX_SIZE - 1;
}

static enum vt_code wrong(const char *where, const char *what, struct vt_error *err)
{
    return vt_fail(err, VT_EIMAGE, OP, "%s: %s", where, what);
}

static enum vt_code check_files(const json_t *files, const char *where, struct vt_error *err)
{
    const char *before = "";
    size_t n = json_array_size(files);
    if (!json_is_array(files) || !n || n > VT__FILES_MAX)
        return wrong(where, "\"files\" must be a list of 1 to 64 files", err);
    for (size_t i = 0; i < n; i++) {
        const json_t *file = json_array_get(files, i);
        const char *name = vt_json_str(file, "name", "");
        int64_t mode = vt_json_int(file, "mode", -1);
        if (!vt_is_plain_name(name) || !strcmp(name, VT__VERSION_FILE) || strcmp(before, name) >= 0)
            return wrong(where, "a name in \"files\" is none, or not in order", err);
        if (vt_json_int(file, "size", -1) < 0 || mode < 0 || mode > 0777 ||
            !is_digest(vt_json_str(file, "sha256", NULL)))
            return wrong(where, "a size, mode or digest in \"files\" is none", err);
        before = name;
    }
    return VT_OK;
}

static enum vt_code read_texts(const json_t *object, const char *where,
                               struct vt_image_version *version, struct vt_error *err)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const json_t *value = json_object_get(object, texts[i].key);
        if (!value && !texts[i].required)
            continue;
        const char *text = json_string_value(value);
        if (!text || !*text || strlen(text) != json_string_length(value))
            return vt_fail(err, VT_EIMAGE, OP, "%s: \"%s\" must be text", where, texts[i].key);
        *field_of(version, &texts[i]) = vt_strdup(text);
    }
    return VT_OK;
}

enum vt_code vt__version_from_json(const json_t *object, const char *where,
                                   struct vt_image_version *version, struct vt_error *err)
{
    char hex[VT__HEX_SIZE];
    uint64_t key;
    if (vt_json_int(object, "format", 0) != FORMAT)
        return wrong(where, "\"format\" is not 1, the only one this version knows", err);
    enum vt_code code = read_texts(object, where, version, err);
    if (code)
        return code;
    if (!vt_is_plain_name(version->name) || !vt__version_parse(version->version, &key))
        return wrong(where, "\"name\" and \"version\" are no image's", err);
    const char *role = vt_json_str(object, "role", "none");
    if (vt_image_role_parse(role, &version->role, NULL))
        return wrong(where, "\"role\" is none", err);
    const json_t *files = json_object_get(object, "files");
    code = check_files(files, where, err);
    if (code)
        return code;
    vt__digest_list(files, hex);
    if (strcmp(hex, version->sha256) != 0)
        return wrong(where, "\"sha256\" is not that of \"files\"", err);
    int64_t bytes = vt_json_int(object, "bytes", -1);
    const json_t *contents = json_object_get(object, "contents");
    if (bytes < 0 || (contents && !json_is_object(contents)))
        return wrong(where, "\"bytes\" or \"contents\" is of the wrong type", err);
    version->bytes = (uint64_t)bytes;
    version->files = json_deep_copy(files);
    version->contents = contents ? json_deep_copy(contents) : NULL;
    return VT_OK;
}

json_t *vt__version_to_json(const struct vt_image_version *version)
{
    json_t *object = json_pack("{s:i}", "format", FORMAT);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (*field_of(version, &texts[i]))
            json_object_set_new(object, texts[i].key, json_string(*field_of(version, &texts[i])));
    const char *role = vt_image_role_name(version->role);
    if (*role)
        json_object_set_new(object, "role", json_string(role));
    json_object_set_new(object, "bytes", json_integer((json_int_t)version->bytes));
    if (version->contents)
        json_object_set(object, "contents", version->contents);
    json_object_set(object, "files", version->files);
    return object;
}

enum vt_code vt__version_load(const char *dir, struct vt_image_version *version,
                              struct vt_error *err)
{
    char *path = vt_path_join(dir, VT__VERSION_FILE), *image_dir = vt_path_dir(dir);
    struct vt_error why = VT_ERROR_INIT;
    json_t *object = NULL;
    enum vt_code code = VT_OK;
    *version = (struct vt_image_version){.role = VT_ROLE_NONE};
    if (vt_json_load(path, &object, &why))
        code = wrong("the image store", why.message, err);
    if (!code)
        code = vt__version_from_json(object, path, version, err);
    if (!code && (strcmp(version->version, vt_path_base(dir)) != 0 ||
                  strcmp(version->name, vt_path_base(image_dir)) != 0))
        code = vt_fail(err, VT_EIMAGE, OP, "%s is of %s@%s: the folder was moved or copied by hand",
                       path, version->name, version->version);
    if (!code)
        version->dir = vt_strdup(dir);
    json_decref(object);
    vt_free(image_dir);
    vt_free(path);
    return code;
}

enum vt_code vt__version_save(const char *dir, const struct vt_image_version *version,
                              struct vt_error *err)
{
    char *path = vt_path_join(dir, VT__VERSION_FILE);
    json_t *object = vt__version_to_json(version);
    enum vt_code code = vt_json_save(path, object, 0600, err);
    json_decref(object);
    vt_free(path);
    return code;
}

void vt__version_clear(struct vt_image_version *version)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        vt_free(*field_of(version, &texts[i]));
    vt_free(version->dir);
    vt_free(version->broken);
    json_decref(version->contents);
    json_decref(version->files);
    *version = (struct vt_image_version){0};
}
