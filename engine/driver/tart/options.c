#include "driver/tart/options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

#define OP "vm.new"
#define EXAMPLE "tart = {vm = \"sequoia-base\", user = \"admin\", key = \"/path/to/key\"}"

enum kind { TEXT, PATH, FLAG, RESOLVER };

#define OPTION(field, how)                                                                         \
    {                                                                                              \
        .name = #field, .kind = (how), .offset = offsetof(struct vt_tart_options, field)           \
    }

static const struct {
    const char *name;
    enum kind kind;
    size_t offset;
} table[] = {
    OPTION(vm, TEXT),          OPTION(user, TEXT),
    OPTION(key, PATH),         OPTION(password_file, PATH),
    OPTION(host_key, TEXT),    OPTION(resolver, RESOLVER),
    OPTION(suspendable, FLAG), OPTION(same_serial, FLAG),
};
#define OPTIONS (sizeof table / sizeof *table)

static enum vt_code wrong(const char *vm, const char *key, const char *wanted, struct vt_error *err)
{
    return vt_fail(err, VT_EINVAL, OP, "VM %s: \"%s\" of \"tart\" is to be %s", vm, key, wanted);
}

static enum vt_code read_one(size_t i, const json_t *value, const char *vm,
                             struct vt_tart_options *out, struct vt_error *err)
{
    const char *text = json_string_value(value), *name = table[i].name;
    void *to = (char *)out + table[i].offset;
    if (table[i].kind == FLAG) {
        if (!json_is_boolean(value))
            return wrong(vm, name, "true or false", err);
        *(bool *)to = json_is_true(value);
        return VT_OK;
    }
    if (!text || !*text || strlen(text) != json_string_length(value))
        return wrong(vm, name, "text that is not empty", err);
    if (table[i].kind == PATH && text[0] != '/')
        return wrong(vm, name, "an absolute path", err);
    if (table[i].kind == RESOLVER && strcmp(text, "dhcp") != 0 && strcmp(text, "arp") != 0 &&
        strcmp(text, "agent") != 0)
        return wrong(vm, name, "\"dhcp\", \"arp\" or \"agent\"", err);
    *(char **)to = vt_strdup(text);
    return VT_OK;
}

static enum vt_code unknown(const char *name, const char *vm, struct vt_error *err)
{
    const char *names[OPTIONS];
    for (size_t i = 0; i < OPTIONS; i++)
        names[i] = table[i].name;
    vt_fail(err, VT_EINVAL, OP, "VM %s: there is no option \"%s\" in \"tart\"", vm, name);
    const char *near = vt_nearest(name, names, OPTIONS);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
    return VT_EINVAL;
}

static enum vt_code need(const struct vt_tart_options *o, const char *vm, struct vt_error *err)
{
    if (!o->vm)
        vt_fail(err, VT_EINVAL, OP, "VM %s: \"tart\" does not say which \"vm\" to clone", vm);
    else if (o->vm[0] == '-')
        vt_fail(err, VT_EINVAL, OP, "VM %s: \"%s\" cannot be the name of a VM of tart", vm, o->vm);
    else if (o->user && !o->key && !o->password_file)
        vt_fail(err, VT_EINVAL, OP, "VM %s: \"tart\" has a user, but nothing to log in with", vm);
    else if (!o->user && (o->key || o->password_file))
        vt_fail(err, VT_EINVAL, OP, "VM %s: \"tart\" has no \"user\" to log in as", vm);
    else
        return VT_OK;
    vt_hint(err, EXAMPLE);
    return VT_EINVAL;
}

enum vt_code vt_tart_options_read(const json_t *object, const char *vm, struct vt_tart_options *out,
                                  struct vt_error *err)
{
    *out = (struct vt_tart_options){.vm = NULL};
    json_t *copy = json_deep_copy(object); /* which jansson may walk */
    const char *name;
    json_t *value;
    enum vt_code code = VT_OK;
    json_object_foreach(copy, name, value)
    {
        size_t i = 0;
        while (i < OPTIONS && strcmp(table[i].name, name) != 0)
            i++;
        if (!code)
            code = i < OPTIONS ? read_one(i, value, vm, out, err) : unknown(name, vm, err);
    }
    json_decref(copy);
    return code ? code : need(out, vm, err);
}

void vt_tart_options_clear(struct vt_tart_options *o)
{
    char *texts[] = {o->vm, o->user, o->key, o->password_file, o->host_key, o->resolver};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        vt_free(texts[i]);
    *o = (struct vt_tart_options){.vm = NULL};
}
