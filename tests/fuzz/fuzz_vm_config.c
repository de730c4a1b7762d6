/* A VM's configuration of any content: an error, or one that is written and read again the same. */
#include <stddef.h>
#include <stdint.h>

#include "core/json.h"
#include "vmtest/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *object = NULL;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_vm_config config, again;
    if (vt_json_parse((const char *)data, size, "config", &object, &err))
        return 0;
    enum vt_code code = vt_vm_config_from_json(object, false, &config, &err);
    json_decref(object);
    if (code) {
        if (code != VT_EINVAL || !err.message[0])
            __builtin_trap();
        return 0;
    }
    json_t *first = vt_vm_config_to_json(&config);
    if (vt_vm_config_from_json(first, false, &again, &err))
        __builtin_trap();
    json_t *second = vt_vm_config_to_json(&again);
    if (!json_equal(first, second))
        __builtin_trap();
    json_decref(first);
    json_decref(second);
    vt_vm_config_clear(&config);
    vt_vm_config_clear(&again);
    return 0;
}
