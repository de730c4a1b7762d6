/* Reads image.json, strictly: a misspelled key must not silently change what a test runs on. */
#include "image/describe.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "vmtest/units.h"

#define OP "image.open"
#define FORMAT 1
#define MEMORY_MIN ((uint64_t)16 << 20)
#define MEMORY_MAX ((uint64_t)4 << 40)
#define CPUS_MAX 512

enum kind { TEXT, PATH, SIZE, COUNT, DURATION, FORMAT_NUMBER, OBJECT, CHANNELS, IGNORED };

struct key {
    const char *name;
    enum kind kind;
    size_t offset; /* in struct vt_image */
};

static const struct key keys[] = {
    {.name = "format", .kind = FORMAT_NUMBER},
    {.name = "os", .kind = TEXT, .offset = offsetof(struct vt_image, os)},
    {.name = "arch", .kind = TEXT, .offset = offsetof(struct vt_image, arch)},
    {.name = "os_version", .kind = TEXT, .offset = offsetof(struct vt_image, os_version)},
    {.name = "description", .kind = IGNORED},
    {.name = "kernel", .kind = PATH, .offset = offsetof(struct vt_image, kernel)},
    {.name = "initrd", .kind = PATH, .offset = offsetof(struct vt_image, initrd)},
    {.name = "append", .kind = TEXT, .offset = offsetof(struct vt_image, append)},
    {.name = "disk", .kind = PATH, .offset = offsetof(struct vt_image, disk)},
    {.name = "disk_format", .kind = TEXT, .offset = offsetof(struct vt_image, disk_format)},
    {.name = "iso", .kind = PATH, .offset = offsetof(struct vt_image, iso)},
    {.name = "seed", .kind = PATH, .offset = offsetof(struct vt_image, seed)},
    {.name = "firmware", .kind = TEXT, .offset = offsetof(struct vt_image, firmware)},
    {.name = "auxiliary", .kind = PATH, .offset = offsetof(struct vt_image, auxiliary)},
    {.name = "hardware_model", .kind = TEXT, .offset = offsetof(struct vt_image, hardware_model)},
    {.name = "memory", .kind = SIZE, .offset = offsetof(struct vt_image, memory)},
    {.name = "cpus", .kind = COUNT, .offset = offsetof(struct vt_image, cpus)},
    {.name = "ready", .kind = TEXT, .offset = offsetof(struct vt_image, ready)},
    {.name = "shutdown", .kind = TEXT, .offset = offsetof(struct vt_image, shutdown)},
    {.name = "reboot", .kind = TEXT, .offset = offsetof(struct vt_image, reboot)},
    {.name = "update", .kind = TEXT, .offset = offsetof(struct vt_image, update)},
    {.name = "boot_deadline", .kind = DURATION, .offset = offsetof(struct vt_image, boot_deadline)},
    {.name = "channels", .kind = CHANNELS},
    {.name = "ssh", .kind = OBJECT},
    {.name = "created", .kind = TEXT, .offset = offsetof(struct vt_image, created)},
};

static const struct key ssh_keys[] = {
    {.name = "user", .kind = TEXT, .offset = offsetof(struct vt_image, ssh_user)},
    {.name = "key", .kind = PATH, .offset = offsetof(struct vt_image, ssh_key)},
    {.name = "password", .kind = TEXT, .offset = offsetof(struct vt_image, ssh_password)},
    {.name = "host_key", .kind = TEXT, .offset = offsetof(struct vt_image, ssh_host_key)},
};

static enum vt_code wrong(const struct vt_image *image, const char *key, const char *wanted,
                          struct vt_error *err)
{
    return vt_fail(err, VT_EIMAGE, OP, "%s/image.json: \"%s\" must be %s", image->dir, key, wanted);
}

static enum vt_code read_text(const struct vt_image *image, const struct key *key,
                              const json_t *value, char **out, struct vt_error *err)
{
    const char *text = json_string_value(value);
    if (!text || !*text)
        return wrong(image, key->name, "a string that is not empty", err);
    if (json_string_length(value) != strlen(text) || strpbrk(text, "\n\r"))
        return wrong(image, key->name, "a string of one line", err);
    vt_free(*out);
    *out = key->kind == PATH ? vt_path_join(image->dir, text) : vt_strdup(text);
    return VT_OK;
}

static enum vt_code read_size(const struct vt_image *image, const struct key *key,
                              const json_t *value, uint64_t *out, struct vt_error *err)
{
    struct vt_error why = VT_ERROR_INIT;
    if (json_is_integer(value) && json_integer_value(value) > 0)
        *out = (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) || vt_parse_size(json_string_value(value), out, &why))
        return wrong(image, key->name, "a size like \"256M\"", err);
    if (*out < MEMORY_MIN || *out > MEMORY_MAX)
        return wrong(image, key->name, "between 16M and 4T", err);
    return VT_OK;
}

static enum vt_code read_duration(const struct vt_image *image, const struct key *key,
                                  const json_t *value, double *out, struct vt_error *err)
{
    struct vt_error why = VT_ERROR_INIT;
    if (json_is_number(value))
        *out = json_number_value(value);
    else if (!json_is_string(value) || vt_parse_duration(json_string_value(value), out, &why))
        return wrong(image, key->name, "a duration like \"30s\"", err);
    if (!isfinite(*out) || !(*out > 0) || *out > 86400)
        return wrong(image, key->name, "more than 0 and at most a day", err);
    return VT_OK;
}

static enum vt_code read_count(const struct vt_image *image, const struct key *key,
                               const json_t *value, int *out, struct vt_error *err)
{
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 1 || n > CPUS_MAX)
        return wrong(image, key->name, "a whole number from 1 to 512", err);
    *out = (int)n;
    return VT_OK;
}

static enum vt_code read_channels(struct vt_image *image, const json_t *value, struct vt_error *err)
{
    static const char *const known[] = {"agent", "ssh", "qga"};
    size_t n = json_array_size(value);
    if (!n || n > sizeof known / sizeof *known)
        return wrong(image, "channels", "a list of \"agent\", \"ssh\", \"qga\"", err);
    image->channels = vt_calloc(n + 1, sizeof *image->channels);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(value, i));
        size_t k = 0;
        while (name && k < sizeof known / sizeof *known && strcmp(known[k], name) != 0)
            k++;
        if (!name || k == sizeof known / sizeof *known)
            return wrong(image, "channels", "a list of \"agent\", \"ssh\", \"qga\"", err);
        image->channels[i] = vt_strdup(name);
    }
    return VT_OK;
}

static enum vt_code read_object(struct vt_image *image, const json_t *object,
                                const struct key *known, size_t count, const char *prefix,
                                struct vt_error *err);

static enum vt_code read_key(struct vt_image *image, const struct key *key, const json_t *value,
                             struct vt_error *err)
{
    void *field = (char *)image + key->offset;
    switch (key->kind) {
    case TEXT:
    case PATH:
        return read_text(image, key, value, field, err);
    case SIZE:
        return read_size(image, key, value, field, err);
    case COUNT:
        return read_count(image, key, value, field, err);
    case DURATION:
        return read_duration(image, key, value, field, err);
    case FORMAT_NUMBER:
        return json_integer_value(value) == FORMAT
                   ? VT_OK
                   : wrong(image, key->name, "1, the only format this version knows", err);
    case OBJECT:
        if (!json_is_object(value))
            return wrong(image, key->name, "an object", err);
        return read_object(image, value, ssh_keys, sizeof ssh_keys / sizeof *ssh_keys, "ssh.", err);
    case CHANNELS:
        return read_channels(image, value, err);
    case IGNORED:
        return VT_OK;
    }
    return VT_OK;
}

static const struct key *find_key(const struct key *known, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(known[i].name, name))
            return &known[i];
    return NULL;
}

static enum vt_code unknown(const struct vt_image *image, const struct key *known, size_t count,
                            const char *prefix, const char *name, struct vt_error *err)
{
    const char *names[sizeof keys / sizeof *keys];
    for (size_t i = 0; i < count; i++)
        names[i] = known[i].name;
    const char *near = vt_nearest(name, names, count);
    enum vt_code code = vt_fail(err, VT_EIMAGE, OP, "%s/image.json: unknown key \"%s%s\"",
                                image->dir, prefix, name);
    if (near)
        vt_hint(err, "did you mean \"%s%s\"?", prefix, near);
    return code;
}

static enum vt_code read_object(struct vt_image *image, const json_t *object,
                                const struct key *known, size_t count, const char *prefix,
                                struct vt_error *err)
{
    /* jansson iterates over objects that it will not change, by a pointer that is not const */
    union {
        const json_t *from;
        json_t *to;
    } mutable = {.from = object};
    for (void *at = json_object_iter(mutable.to); at; at = json_object_iter_next(mutable.to, at)) {
        const struct key *key = find_key(known, count, json_object_iter_key(at));
        enum vt_code code =
            key ? read_key(image, key, json_object_iter_value(at), err)
                : unknown(image, known, count, prefix, json_object_iter_key(at), err);
        if (code)
            return code;
    }
    return VT_OK;
}

static enum vt_code missing(const struct vt_image *image, const char *key, const char *why,
                            struct vt_error *err)
{
    return vt_fail(err, VT_EIMAGE, OP, "%s/image.json: \"%s\" is missing%s", image->dir, key, why);
}

static enum vt_code check_whole(const struct vt_image *image, const json_t *description,
                                struct vt_error *err)
{
    static const char *const required[] = {"format", "os", "arch", "memory"};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++)
        if (!json_object_get(description, required[i]))
            return missing(image, required[i], "", err);
    if (strcmp(image->arch, "x86_64") != 0 && strcmp(image->arch, "aarch64") != 0)
        return wrong(image, "arch", "\"x86_64\" or \"aarch64\"", err);
    if (!image->kernel && !image->disk && !image->iso)
        return missing(image, "kernel",
                       ", and so are \"disk\" and \"iso\": an image needs one of them", err);
    if (!image->kernel && (image->initrd || image->append))
        return missing(image, "kernel", ", but \"initrd\" or \"append\" is given", err);
    if (image->disk && !image->disk_format)
        return missing(image, "disk_format", ", but \"disk\" is given", err);
    if (image->disk_format && strcmp(image->disk_format, "qcow2") != 0 &&
        strcmp(image->disk_format, "raw") != 0)
        return wrong(image, "disk_format", "\"qcow2\" or \"raw\"", err);
    if (image->firmware && strcmp(image->firmware, "bios") != 0 &&
        strcmp(image->firmware, "efi") != 0)
        return wrong(image, "firmware", "\"bios\" or \"efi\"", err);
    if (image->firmware && image->kernel && !strcmp(image->firmware, "efi"))
        return wrong(image, "firmware", "absent where \"kernel\" is given: no firmware boots it",
                     err);
    if (image->firmware && !strcmp(image->firmware, "bios") && strcmp(image->arch, "x86_64") != 0)
        return wrong(image, "firmware", "\"efi\": there is no other for this architecture", err);
    if (!image->auxiliary != !image->hardware_model || (image->auxiliary && !image->disk))
        return missing(image,
                       image->auxiliary ? image->hardware_model ? "disk" : "hardware_model"
                                        : "auxiliary",
                       ": of macOS there are \"disk\", \"auxiliary\" and \"hardware_model\"", err);
    if ((image->ssh_key || image->ssh_password || image->ssh_host_key) && !image->ssh_user)
        return missing(image, "ssh.user", "", err);
    return VT_OK;
}

enum vt_code vt__image_from_json(struct vt_image *image, const json_t *description,
                                 struct vt_error *err)
{
    image->cpus = 1;
    image->boot_deadline = 60;
    enum vt_code code = read_object(image, description, keys, sizeof keys / sizeof *keys, "", err);
    if (!image->channels) {
        image->channels = vt_calloc(2, sizeof *image->channels);
        image->channels[0] = image->ssh_user ? vt_strdup("ssh") : NULL;
    }
    return code ? code : check_whole(image, description, err);
}

static enum vt_code check_files(const struct vt_image *image, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    if (image->kernel)
        code = vt__image_check_kernel(image->kernel, image->arch, err);
    if (!code && image->initrd)
        code = vt__image_check_file(image->initrd, "initrd", err);
    if (!code && image->disk)
        code = vt__image_check_disk(image->disk, image->disk_format, err);
    if (!code && image->iso)
        code = vt__image_check_file(image->iso, "iso", err);
    if (!code && image->seed)
        code = vt__image_check_file(image->seed, "seed", err);
    if (!code && image->auxiliary)
        code = vt__image_check_file(image->auxiliary, "auxiliary", err);
    if (!code && image->ssh_key)
        code = vt__image_check_file(image->ssh_key, "ssh.key", err);
    return code;
}

enum vt_code vt__image_describe(struct vt_image *image, struct vt_error *err)
{
    char *path = vt_path_join(image->dir, "image.json");
    json_t *description = NULL;
    struct vt_error why = VT_ERROR_INIT;
    enum vt_code code = VT_OK;
    if (vt_json_load(path, &description, &why))
        code = vt_fail(err, VT_EIMAGE, OP, "image \"%s\": %s", image->name, why.message);
    if (!code)
        code = vt__image_from_json(image, description, err);
    if (!code)
        code = check_files(image, err);
    json_decref(description);
    vt_free(path);
    return code;
}
