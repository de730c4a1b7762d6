#include "driver/ssh/options.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "guest/password.h"

#define OP "vm.new"

enum kind { TEXT, PATH, PORT, FLAG };

#define OPTION(field, how)                                                                         \
    {                                                                                              \
#field, how, offsetof(struct vt_ssh_options, field)                                        \
    }
#define NOWHERE ((size_t)-1)

static const struct {
    const char *name;
    enum kind kind;
    size_t offset;
} table[] = {
    OPTION(host, TEXT),          OPTION(port, PORT),
    OPTION(user, TEXT),          OPTION(key, PATH),
    OPTION(password_file, PATH), OPTION(agent, FLAG),
    OPTION(host_key, TEXT),      {"known_hosts", PATH, NOWHERE},
    OPTION(accept_new, FLAG),    OPTION(reboot, TEXT),
};
#define OPTIONS (sizeof table / sizeof *table)

static enum vt_code wrong(const char *vm, const char *key, const char *wanted, struct vt_error *err)
{
    return vt_fail(err, VT_EINVAL, OP, "VM %s: \"%s\" of \"ssh\" is to be %s", vm, key, wanted);
}

static enum vt_code read_one(size_t i, const json_t *value, const char *vm,
                             struct vt_ssh_options *out, struct vt_error *err)
{
    const char *text = json_string_value(value), *name = table[i].name;
    char *base = (char *)out;
    switch (table[i].kind) {
    case TEXT:
    case PATH:
        if (!text || !*text || strlen(text) != json_string_length(value))
            return wrong(vm, name, "text that is not empty", err);
        if (table[i].kind == PATH && text[0] != '/')
            return wrong(vm, name, "an absolute path", err);
        if (table[i].offset != NOWHERE)
            *(char **)(void *)(base + table[i].offset) = vt_strdup(text);
        return VT_OK;
    case PORT:
        if (!json_is_integer(value) || json_integer_value(value) < 1 ||
            json_integer_value(value) > 65535)
            return wrong(vm, name, "a port, 1 to 65535", err);
        out->port = (int)json_integer_value(value);
        return VT_OK;
    case FLAG:
        if (!json_is_boolean(value))
            return wrong(vm, name, "true or false", err);
        *(bool *)(void *)(base + table[i].offset) = json_is_true(value);
        return VT_OK;
    }
    return VT_OK;
}

static enum vt_code unknown(const char *name, const char *vm, struct vt_error *err)
{
    const char *names[OPTIONS];
    for (size_t i = 0; i < OPTIONS; i++)
        names[i] = table[i].name;
    vt_fail(err, VT_EINVAL, OP, "VM %s: there is no option \"%s\" in \"ssh\"", vm, name);
    const char *near = vt_nearest(name, names, OPTIONS);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
    else if (!strcmp(name, "password"))
        vt_hint(err, "a password stands in a file of its own (mode 0600): password_file");
    return VT_EINVAL;
}

static enum vt_code read_all(const json_t *object, const char *vm, struct vt_ssh_options *out,
                             struct vt_error *err)
{
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
    return code;
}

static enum vt_code need(const struct vt_ssh_options *o, const char *vm, struct vt_error *err)
{
    if (!o->host || !o->user) {
        vt_fail(err, VT_EINVAL, OP, "VM %s: \"ssh\" has no \"%s\"", vm, o->host ? "user" : "host");
        vt_hint(err, "ssh = {host = \"mac1.example\", user = \"admin\", key = \"/path/to/key\", "
                     "host_key = \"ssh-ed25519 AAAA...\"}");
        return VT_EINVAL;
    }
    if (!o->key && !o->password_file && !o->agent) {
        vt_fail(err, VT_EINVAL, OP, "VM %s: \"ssh\" says nothing to log in with", vm);
        vt_hint(err, "give a key, a password_file, or agent = true");
        return VT_EINVAL;
    }
    return VT_OK;
}

enum vt_code vt_ssh_options_read(const json_t *object, const char *vm, struct vt_ssh_options *out,
                                 struct vt_error *err)
{
    *out = (struct vt_ssh_options){.port = 22};
    enum vt_code code = read_all(object, vm, out, err);
    if (!code)
        code = need(out, vm, err);
    const char *known = vt_json_str(object, "known_hosts", NULL);
    if (!code && known && !out->host_key)
        code = vt_ssh_known_key(known, out->host, out->port, &out->host_key, err);
    if (!code && out->password_file) { /* a wrong one is told at once, not by a failing login */
        char *password = NULL;
        code = vt_password_read(out->password_file, &password, err);
        vt_password_free(password);
    }
    return code;
}

void vt_ssh_options_clear(struct vt_ssh_options *o)
{
    char *texts[] = {o->host, o->user, o->key, o->password_file, o->host_key, o->reboot};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        vt_free(texts[i]);
    *o = (struct vt_ssh_options){.port = 0};
}
