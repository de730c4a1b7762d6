/* image.json with any content: an error, or an image whose every field keeps its promise. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "image/describe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *description = NULL;
    struct vt_error err = VT_ERROR_INIT;
    if (vt_json_parse((const char *)data, size, "image.json", &description, &err))
        return 0;
    struct vt_image *image = vt_calloc(1, sizeof *image);
    image->name = vt_strdup("fuzz");
    image->dir = vt_strdup("/images/fuzz");
    enum vt_code code = vt__image_from_json(image, description, &err);
    if (code && (code != VT_EIMAGE || err.code != code || !err.message[0]))
        __builtin_trap();
    if (!code && (!image->os || !image->arch || !(image->kernel || image->disk) ||
                  image->memory < (16u << 20) || image->cpus < 1 || !(image->boot_deadline > 0)))
        __builtin_trap();
    if (!code && image->kernel && image->kernel[0] != '/')
        __builtin_trap();
    vt_image_free(image);
    json_decref(description);
    return 0;
}
