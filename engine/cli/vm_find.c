#include "cli/vm_find.h"

#include <string.h>
#include <time.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"

#define PATIENCE_S 5.0
#define LOOK_NS 50000000

enum vt_code vt_vm_take(const char *name, struct vt_named **named, struct vt_error *err)
{
    double patience = vt_monotonic() + PATIENCE_S;
    enum vt_code code = vt_named_find(name, named, err);
    while (!code) {
        struct vt_error why = VT_ERROR_INIT;
        if (!vt_named_lock(*named, &why))
            return VT_OK;
        if (why.code != VT_EBUSY || vt_named_in_run(*named) || vt_monotonic() > patience)
            code = vt_error_copy(err, &why);
        else
            nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    vt_named_free(*named);
    *named = NULL;
    return code;
}

static void read_guest(struct vt_found *found, struct vt_error *err)
{
    const char *name = found->named->name;
    char *path = vt_path_join(found->named->state_dir, "vm.json");
    if (!vt_named_pid(found->named)) {
        vt_fail(err, VT_ESTATE, "vm", "VM %s does not run", name);
        if (found->named->dir)
            vt_hint(err, "`vmtest vm start %s` starts it", name);
    } else if (!vt_json_load(path, &found->facts, err)) {
        const json_t *ssh = json_object_get(found->facts, "ssh");
        const char *image = vt_json_str(found->facts, "image_dir", NULL);
        const char *kind = vt_json_str(found->named->config_json, "channel", NULL);
        found->host = vt_json_str(ssh, "host", "127.0.0.1");
        found->port = (int)vt_json_int(ssh, "port", 0);
        if (!strcmp(vt_json_str(found->facts, "state", ""), "paused"))
            vt_fail(err, VT_ESTATE, "vm", "VM %s is paused", name);
        else if (!image || !found->port)
            vt_fail(err, VT_EUNSUPPORTED, "vm", "VM %s has no way in by ssh", name);
        else if (!vt_image_open(image, &found->image, err)) {
            if (!kind && found->image->channels)
                kind = found->image->channels[0];
            found->prefers_ssh = !kind || !strcmp(kind, "ssh");
        }
    }
    vt_free(path);
}

enum vt_code vt_vm_find_guest(const char *name, struct vt_found *found, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *found = (struct vt_found){0};
    if (!vt_named_find(name, &found->named, &own))
        read_guest(found, &own);
    if (own.code)
        vt_found_free(found);
    return vt_error_copy(err, &own);
}

void vt_found_free(struct vt_found *found)
{
    vt_named_free(found->named);
    json_decref(found->facts);
    vt_image_free(found->image);
    *found = (struct vt_found){0};
}
