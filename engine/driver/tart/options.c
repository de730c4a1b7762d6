#include "driver/tart/options.h"

#include <stddef.h>

#include "vm/own_options.h"

#define OP "vm.new"
#define EXAMPLE "tart = {vm = \"sequoia-base\", user = \"admin\", key = \"/path/to/key\"}"

static const char *const resolvers[] = {"dhcp", "arp", "agent", NULL};

#define OPTION(field, how)                                                                         \
    {                                                                                              \
        .name = #field, .kind = (how), .offset = offsetof(struct vt_tart_options, field)           \
    }

static const struct vt_own_option table[] = {
    OPTION(vm, VT_OWN_TEXT),
    OPTION(user, VT_OWN_TEXT),
    OPTION(key, VT_OWN_PATH),
    OPTION(password_file, VT_OWN_PATH),
    OPTION(host_key, VT_OWN_TEXT),
    {.name = "resolver",
     .kind = VT_OWN_CHOICE,
     .offset = offsetof(struct vt_tart_options, resolver),
     .wanted = "\"dhcp\", \"arp\" or \"agent\"",
     .choices = resolvers},
    OPTION(suspendable, VT_OWN_FLAG),
    OPTION(same_serial, VT_OWN_FLAG),
    {.name = NULL},
};

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
    enum vt_code code = vt_own_options_read(object, "tart", vm, table, out, err);
    return code ? code : need(out, vm, err);
}

void vt_tart_options_clear(struct vt_tart_options *o)
{
    vt_own_options_clear(table, o);
}
