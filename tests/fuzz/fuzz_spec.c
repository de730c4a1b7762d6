/* A SPEC, a pair of ports or a pattern of names, with any content: an error, or what it says. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cli/spec.h"
#include "core/mem.h"
#include "vmtest/named.h"

static void check(enum vt_code code, const struct vt_error *err)
{
    if (code != err->code || (code && !err->message[0]))
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const flags[] = {"read_only", NULL};
    struct vt_error errs[3] = {VT_ERROR_INIT, VT_ERROR_INIT, VT_ERROR_INIT};
    json_t *object, *forward;
    char **names, *text = vt_strndup((const char *)data, size);
    size_t n;
    check(vt_spec_parse(text, flags, &object, &errs[0]), &errs[0]);
    if ((object != NULL) != (errs[0].code == VT_OK) || (object && !json_object_size(object)))
        __builtin_trap();
    check(vt_spec_forward(text, &forward, &errs[1]), &errs[1]);
    check(vt_names_expand(text, &names, &n, &errs[2]), &errs[2]);
    if (!errs[2].code && (n < 1 || n > 1000))
        __builtin_trap();
    vt_names_free(names, n);
    json_decref(object);
    json_decref(forward);
    vt_free(text);
    return 0;
}
