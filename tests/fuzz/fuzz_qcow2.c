/* The beginning of a disk with any content: refused, or with every value within its bounds. */
#include <stddef.h>
#include <stdint.h>

#include "image/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vt_qcow2 disk;
    struct vt_error err = VT_ERROR_INIT;
    enum vt_code code = vt_qcow2_parse(data, size, "disk", &disk, &err);
    if (code && (code != VT_EIMAGE || err.code != code || !err.message[0]))
        __builtin_trap();
    if (!code && (!disk.size || disk.size > VT_QCOW2_SIZE_MAX || disk.cluster < 512 ||
                  disk.cluster > (2u << 20) || disk.backing_len > VT_QCOW2_BACKING_MAX ||
                  (disk.backing_len && disk.backing_at + disk.backing_len > disk.cluster)))
        __builtin_trap();
    return 0;
}
