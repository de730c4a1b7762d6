#include "driver/ssh/options.h"

#include <stddef.h>

#include "guest/password.h"
#include "vm/own_options.h"

#define OP "vm.new"

#define OPTION(field, how)                                                                         \
    {                                                                                              \
        .name = #field, .kind = (how), .offset = offsetof(struct vt_ssh_options, field)            \
    }

static const struct vt_own_option table[] = {
    OPTION(host, VT_OWN_TEXT),
    {.name = "port",
     .kind = VT_OWN_NUMBER,
     .offset = offsetof(struct vt_ssh_options, port),
     .wanted = "a port, 1 to 65535",
     .min = 1,
     .max = 65535},
    OPTION(user, VT_OWN_TEXT),
    OPTION(key, VT_OWN_PATH),
    OPTION(password_file, VT_OWN_PATH),
    OPTION(agent, VT_OWN_FLAG),
    OPTION(host_key, VT_OWN_TEXT),
    OPTION(known_hosts, VT_OWN_PATH),
    OPTION(accept_new, VT_OWN_FLAG),
    OPTION(reboot, VT_OWN_TEXT),
    {.name = NULL},
};

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
    enum vt_code code = vt_own_options_read(object, "ssh", vm, table, out, err);
    if (!code)
        code = need(out, vm, err);
    if (!code && out->known_hosts && !out->host_key)
        code = vt_ssh_known_key(out->known_hosts, out->host, out->port, &out->host_key, err);
    if (!code && out->password_file) { /* a wrong one is told at once, not by a failing login */
        char *password = NULL;
        code = vt_password_read(out->password_file, &password, err);
        vt_password_free(password);
    }
    return code;
}

void vt_ssh_options_clear(struct vt_ssh_options *o)
{
    vt_own_options_clear(table, o);
}
