/* YAML as a rule's settings: read, turned into a property list, merged and written as Lua. */
#include <stddef.h>
#include <stdint.h>

#include "mscp/settings.h"
#include "plist/tree.h"

static void on_conflict(const char *path, void *user)
{
    (void)path;
    (void)user;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vt_yaml *yaml = NULL;
    if (vt_yaml_parse(data, size, "fuzz", &yaml, NULL))
        return 0;
    yaml_node_t *root = vt_yaml_root(yaml);
    plist_t settings = NULL;
    struct vt_buf out = VT_BUF_INIT;
    if (root &&
        !vt_mscp_convert(yaml, root, vt_yaml_member(yaml, root, "odv"), "5", &settings, NULL)) {
        vt_mscp_lua_value(&out, settings);
        if (vt_plist_is(settings, PLIST_DICT)) {
            plist_t into = plist_new_dict();
            vt_mscp_merge(into, settings, "", on_conflict, NULL);
            vt_mscp_merge(into, settings, "", on_conflict, NULL);
            plist_free(into);
        }
    }
    vt_buf_free(&out);
    plist_free(settings);
    vt_yaml_free(yaml);
    return 0;
}
