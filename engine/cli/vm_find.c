#include "cli/vm_find.h"

#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

static bool matches(const struct vt_registered *vm, const char *name)
{
    const char *slash = strchr(name, '/');
    if (!slash)
        return !strcmp(vm->name, name);
    size_t n = (size_t)(slash - name);
    return strlen(vm->run) == n && !strncmp(vm->run, name, n) && !strcmp(vm->name, slash + 1);
}

static enum vt_code not_found(const char *name, const struct vt_found *found, struct vt_error *err)
{
    if (!found->count) {
        vt_fail(err, VT_ENOTFOUND, "vm", "no VM runs, so none is called \"%s\"", name);
        vt_hint(err, "`vmtest run --keep fail` leaves the VMs of failed tests running");
        return VT_ENOTFOUND;
    }
    struct vt_buf list = VT_BUF_INIT;
    const char **names = vt_calloc(found->count, sizeof *names);
    for (size_t i = 0; i < found->count; i++) {
        names[i] = found->all[i].name;
        vt_buf_printf(&list, "%s%s/%s", i ? ", " : "", found->all[i].run, found->all[i].name);
    }
    vt_fail(err, VT_ENOTFOUND, "vm", "no VM \"%s\"; these run: %s", name, list.data);
    const char *near = vt_nearest(name, names, found->count);
    if (near)
        vt_hint(err, "did you mean %s?", near);
    vt_free(names);
    vt_buf_free(&list);
    return VT_ENOTFOUND;
}

enum vt_code vt_vm_find(const char *name, struct vt_found *found, struct vt_error *err)
{
    *found = (struct vt_found){0};
    enum vt_code code = vt_registry_list(&found->all, &found->count, err);
    if (code)
        return code;
    size_t hits = 0;
    for (size_t i = 0; i < found->count; i++) {
        if (matches(&found->all[i], name)) {
            found->vm = &found->all[i];
            hits++;
        }
    }
    if (hits == 1)
        return VT_OK;
    if (hits > 1) {
        code = vt_fail(err, VT_EINVAL, "vm", "%zu VMs are called \"%s\"", hits, name);
        vt_hint(err, "name it as RUN/NAME: `vmtest vm ls` shows them");
    } else {
        code = not_found(name, found, err);
    }
    vt_found_free(found);
    return code;
}

enum vt_code vt_vm_find_guest(const char *name, struct vt_found *found, struct vt_error *err)
{
    enum vt_code code = vt_vm_find(name, found, err);
    if (code)
        return code;
    const json_t *facts = found->vm->facts, *ssh = json_object_get(facts, "ssh");
    const char *dir = vt_json_str(facts, "image_dir", NULL);
    found->host = vt_json_str(ssh, "host", "127.0.0.1");
    found->port = (int)vt_json_int(ssh, "port", 0);
    if (!found->vm->pid)
        code = vt_fail(err, VT_ESTATE, "vm", "VM %s has ended", found->vm->name);
    else if (!dir || !found->port)
        code = vt_fail(err, VT_EUNSUPPORTED, "vm", "VM %s has no way in by ssh", found->vm->name);
    else
        code = vt_image_open(dir, &found->image, err);
    if (code)
        vt_found_free(found);
    return code;
}

void vt_found_free(struct vt_found *found)
{
    vt_registered_free(found->all, found->count);
    vt_image_free(found->image);
    *found = (struct vt_found){0};
}
