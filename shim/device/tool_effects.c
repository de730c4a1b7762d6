#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "device/convert.h"
#include "device/device.h"
#include "device/store.h"
#include "device/tools.h"
#include "plist/tree.h"

static plist_t all_effects(const struct vtd *d)
{
    plist_t records = vtd_store_all(d), list = plist_new_array();
    for (uint32_t i = 0; i < plist_array_get_size(records); i++) {
        plist_t record = plist_array_get_item(records, i);
        plist_t effects = vt_plist_array(record, "Effects");
        for (uint32_t k = 0; effects && k < plist_array_get_size(effects); k++) {
            plist_t one = plist_copy(plist_array_get_item(effects, k));
            vt_plist_set_str(one, "ProfileIdentifier", vtd_record_identifier(record));
            plist_array_append_item(list, one);
        }
    }
    plist_free(records);
    return list;
}

int vtd_tool_effects(const char *root, int argc, char **argv)
{
    struct vtd d;
    struct vt_error err = VT_ERROR_INIT;
    bool json = argc == 1 && !strcmp(argv[0], "--json");
    if (argc > 0 && !json) {
        fputs("usage: vmtest-device effects [--json]\n", stderr);
        return 2;
    }
    if (vtd_open(&d, root, false, 0, &err)) {
        fprintf(stderr, "vmtest-device: %s\n", err.message);
        vtd_close(&d);
        return 1;
    }
    plist_t list = all_effects(&d);
    if (json) {
        json_t *tree = vtd_to_json(list);
        json_dumpf(tree, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
        putchar('\n');
        json_decref(tree);
    }
    for (uint32_t i = 0; !json && i < plist_array_get_size(list); i++) {
        plist_t one = plist_array_get_item(list, i);
        printf("%-8s %s  %s  %s\n", vt_plist_str(one, "State", ""),
               vt_plist_str(one, "ProfileIdentifier", ""), vt_plist_str(one, "PayloadType", ""),
               vt_plist_str(one, "Reason", ""));
    }
    plist_free(list);
    vtd_close(&d);
    return 0;
}
