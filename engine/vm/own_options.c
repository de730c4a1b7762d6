#include "vm/own_options.h"

#include <string.h>

#include "core/mem.h"
#include "core/text.h"

#define OP "vm.new"
#define OPTIONS_MAX 32

struct reader {
    const char *table, *vm;
    void *out;
    struct vt_error *err;
};

static enum vt_code wrong(const struct reader *r, const char *key, const char *wanted)
{
    return vt_fail(r->err, VT_EINVAL, OP, "VM %s: \"%s\" of \"%s\" is to be %s", r->vm, key,
                   r->table, wanted);
}

static enum vt_code unknown(const struct reader *r, const struct vt_own_option *options,
                            const char *name)
{
    const char *names[OPTIONS_MAX];
    size_t n = 0;
    bool password_file = false;
    for (; options[n].name && n < OPTIONS_MAX; n++) {
        names[n] = options[n].name;
        password_file = password_file || !strcmp(names[n], "password_file");
    }
    vt_fail(r->err, VT_EINVAL, OP, "VM %s: there is no option \"%s\" in \"%s\"", r->vm, name,
            r->table);
    const char *near = vt_nearest(name, names, n);
    if (near)
        vt_hint(r->err, "did you mean \"%s\"?", near);
    else if (password_file && !strcmp(name, "password"))
        vt_hint(r->err, "a password stands in a file of its own (mode 0600): password_file");
    return VT_EINVAL;
}

static bool is_choice(const struct vt_own_option *option, const char *text)
{
    for (size_t i = 0; option->choices[i]; i++)
        if (!strcmp(option->choices[i], text))
            return true;
    return false;
}

static enum vt_code read_text(const struct reader *r, const struct vt_own_option *option,
                              const json_t *value, char **to)
{
    const char *text = json_string_value(value);
    bool usual = option->kind == VT_OWN_USUAL;
    if (usual && json_is_boolean(value)) {
        *to = json_is_true(value) ? vt_strdup(option->usual) : NULL;
        return VT_OK;
    }
    if (!text || !*text || strlen(text) != json_string_length(value))
        return wrong(r, option->name, usual ? option->wanted : "text that is not empty");
    if (option->kind == VT_OWN_PATH && text[0] != '/')
        return wrong(r, option->name, "an absolute path");
    if (option->kind == VT_OWN_CHOICE && !is_choice(option, text))
        return wrong(r, option->name, option->wanted);
    *to = vt_strdup(text);
    return VT_OK;
}

static enum vt_code read_all(const struct reader *r, const struct vt_own_option *options,
                             const json_t *object);

static enum vt_code read_one(const struct reader *r, const struct vt_own_option *option,
                             const json_t *value)
{
    void *to = (char *)r->out + option->offset;
    json_int_t n = json_integer_value(value);
    switch (option->kind) {
    case VT_OWN_TEXT:
    case VT_OWN_PATH:
    case VT_OWN_CHOICE:
    case VT_OWN_USUAL:
        return read_text(r, option, value, to);
    case VT_OWN_FLAG:
        if (!json_is_boolean(value))
            return wrong(r, option->name, "true or false");
        *(bool *)to = json_is_true(value);
        return VT_OK;
    case VT_OWN_NUMBER:
        if (!json_is_integer(value) || n < option->min || n > option->max)
            return wrong(r, option->name, option->wanted);
        *(int *)to = (int)n;
        return VT_OK;
    case VT_OWN_GROUP:
        *(bool *)to = true;
        if (json_is_object(value))
            return read_all(r, option->members, value);
        if (option->from_text && json_is_string(value) &&
            option->from_text(json_string_value(value), r->out))
            return VT_OK;
        return wrong(r, option->name, option->wanted);
    }
    return VT_OK;
}

static enum vt_code read_all(const struct reader *r, const struct vt_own_option *options,
                             const json_t *object)
{
    json_t *copy = json_deep_copy(object); /* which jansson may walk */
    const char *name;
    json_t *value;
    enum vt_code code = VT_OK;
    json_object_foreach(copy, name, value)
    {
        const struct vt_own_option *option = options;
        while (option->name && strcmp(option->name, name) != 0)
            option++;
        if (!code)
            code = option->name ? read_one(r, option, value) : unknown(r, options, name);
    }
    json_decref(copy);
    return code;
}

enum vt_code vt_own_options_read(const json_t *object, const char *table, const char *vm,
                                 const struct vt_own_option *options, void *out,
                                 struct vt_error *err)
{
    const struct reader reader = {.table = table, .vm = vm, .out = out, .err = err};
    return read_all(&reader, options, object);
}

void vt_own_options_clear(const struct vt_own_option *options, void *out)
{
    for (; options->name; options++) {
        if (options->kind == VT_OWN_GROUP)
            vt_own_options_clear(options->members, out);
        if (options->kind > VT_OWN_USUAL)
            continue;
        char **text = (char **)(void *)((char *)out + options->offset);
        vt_free(*text);
        *text = NULL;
    }
}
