/* What the QEMU guest agent, and the commands run by it, may answer. */
#include <stdlib.h>

#include "core/mem.h"
#include "guest/qga_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *result = NULL;
    char *problem = NULL;
    struct vt__sftp_attrs attrs;
    struct vt_buf bytes = VT_BUF_INIT, text = VT_BUF_INIT;
    const char *line = (const char *)data;
    if (vt__qga_parse(line, n, &result, &problem) && !result == !problem)
        abort();
    json_decref(result);
    vt_free(problem);
    if (vt__qga_read_stat(line, n, &attrs) && (!attrs.has_mode || !attrs.has_size))
        abort();
    if (vt__base64_decode(line, n, &bytes) && bytes.len > n)
        abort();
    vt_buf_clear(&bytes);
    vt__base64_encode(data, n, &text);
    if (!vt__base64_decode(text.data, text.len, &bytes) || bytes.len != n ||
        (n && memcmp(bytes.data, data, n) != 0))
        abort();
    vt_buf_free(&bytes);
    vt_buf_free(&text);
    return 0;
}
