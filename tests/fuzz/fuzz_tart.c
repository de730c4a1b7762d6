/* What `tart` prints: its lists and VMs in JSON of any generation, and its lines. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "driver/tart/output.h"

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_vm(const struct vt_tart_vm *vm)
{
    check(vm->state >= VT_TART_UNKNOWN && vm->state <= VT_TART_SUSPENDED);
    check(vm->cpus >= 0 && vm->memory_mib >= 0);
    check(!vm->name || *vm->name);
}

static void read_json(const char *text, size_t size)
{
    struct vt_tart_vm *list, one;
    size_t count;
    struct vt_error err = VT_ERROR_INIT;
    enum vt_code code = vt_tart_read_list(text, size, &list, &count, &err);
    check(code == err.code && (!code || !count));
    for (size_t i = 0; i < count; i++) {
        check_vm(&list[i]);
        check(list[i].name && vt_tart_find(list, count, list[i].name));
    }
    vt_tart_list_free(list, count);
    if (vt_tart_read_vm(text, size, &one, NULL) == VT_OK)
        check_vm(&one);
    vt_tart_vm_clear(&one);
}

static void read_lines(const char *text, size_t size)
{
    char address[64];
    size_t at = 0;
    int status = -1;
    struct vt_error err = VT_ERROR_INIT, failed = VT_ERROR_INIT;
    check(vt_tart_read_version(text) >= 0);
    if (vt_tart_read_address(text, address))
        check(*address && strlen(address) < sizeof address);
    if (vt_tart_says_collision(text))
        check(vt_tart_read_progress(text) == VT_TART_RESUMED);
    if (vt_tart_find_status(text, size, "TOKEN", &at, &status))
        check(at < size && status >= 0 && status <= 255);
    check(vt_tart_explain(text, "vm.start", "VM web: cannot start", &err) == err.code && err.code);
    check(vt_tart_exec_failed(text, 125, "web", &failed) == failed.code && failed.code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = vt_strndup((const char *)data, size); /* as the driver has it: with a NUL behind */
    read_json((const char *)data, size);
    read_lines(text, strlen(text));
    vt_free(text);
    return 0;
}
