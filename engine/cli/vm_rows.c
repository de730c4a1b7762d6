#include "cli/vm_rows.h"

#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "vmtest/registry.h"

static void set_text(json_t *row, const char *key, const char *text)
{
    if (text)
        json_object_set_new(row, key, json_string(text));
}

static json_t *load_facts(const struct vt_named *n)
{
    json_t *facts = NULL;
    char *path = vt_path_join(n->state_dir, "vm.json");
    if (!vt_is_file(path) || vt_json_load(path, &facts, NULL))
        facts = json_object();
    vt_free(path);
    return facts;
}

static const char *state_of(const struct vt_named *n, long pid, const json_t *facts)
{
    if (!pid)
        return n->dir ? "stopped" : "ended";
    /* its hypervisor runs from before its state is told */
    return vt_json_str(facts, "state", "starting");
}

json_t *vt_vm_row(const struct vt_named *n)
{
    long pid = vt_named_pid(n), user = 0;
    json_t *facts = pid ? load_facts(n) : json_object();
    char *lock = vt_path_join(n->dir ? n->dir : n->state_dir, n->dir ? "lock" : "in-use");
    json_t *row = json_pack("{s:s, s:s, s:b, s:s, s:I, s:b}", "name", n->name, "run", n->run,
                            "named", n->dir != NULL, "state", state_of(n, pid, facts), "pid",
                            (json_int_t)pid, "run_alive", (int)vt_named_in_run(n));
    set_text(row, "image", vt_json_str(n->config_json, "image", NULL));
    set_text(row, "created", n->created);
    set_text(row, "source", n->source);
    set_text(row, "base", n->base);
    set_text(row, "dir", n->dir ? n->dir : n->state_dir);
    if (vt_lock_held(lock, &user) && user)
        json_object_set_new(row, "in_use_by", json_integer(user));
    json_object_set_new(row, "facts", facts);
    vt_free(lock);
    return row;
}

/* Of a VM that wrote down too little to be opened. */
static json_t *bare_row(const struct vt_registered *vm)
{
    return json_pack("{s:s, s:s, s:b, s:s, s:I, s:b, s:s*, s:s, s:O}", "name", vm->name, "run",
                     vm->run, "named", 0, "state",
                     vm->pid ? vt_json_str(vm->facts, "state", "running") : "ended", "pid",
                     (json_int_t)vm->pid, "run_alive", (int)vm->run_alive, "image",
                     vt_json_str(vm->facts, "image", NULL), "dir", vm->dir, "facts", vm->facts);
}

enum vt_code vt_vm_rows(json_t **rows, struct vt_error *err)
{
    struct vt_named **named;
    struct vt_registered *vms;
    size_t n;
    *rows = json_array();
    enum vt_code code = vt_named_list(&named, &n, err);
    for (size_t i = 0; !code && i < n; i++)
        json_array_append_new(*rows, vt_vm_row(named[i]));
    if (!code)
        vt_named_list_free(named, n);
    if (!code)
        code = vt_registry_list(&vms, &n, err);
    for (size_t i = 0; !code && i < n; i++)
        if (strcmp(vms[i].run, VT_NAMED_RUN) != 0)
            json_array_append_new(*rows, bare_row(&vms[i]));
    if (!code)
        vt_registered_free(vms, n);
    return code;
}
