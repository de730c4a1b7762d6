/* A CMS message with any content: its content and its signers, or an error with a reason. */
#include <stddef.h>
#include <stdint.h>

#include "plist/cms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vt_error errs[2] = {VT_ERROR_INIT, VT_ERROR_INIT};
    struct vt_buf content = VT_BUF_INIT;
    struct vt_cms_signature signature;
    X509 *signer;
    vt_cms_is_signed(data, size);
    enum vt_code code = vt_cms_unwrap(data, size, "x", &content, &signature, &errs[0]);
    if (code != errs[0].code || (code && !errs[0].message[0]))
        __builtin_trap();
    if (!code && !signature.good && !signature.why[0])
        __builtin_trap();
    vt_cms_signature_free(&signature);
    vt_buf_free(&content);
    code = vt_cms_verify_detached(data, size, data, size, NULL, &signer, &errs[1]);
    if (code != errs[1].code || (signer != NULL) != (code == VT_OK))
        __builtin_trap();
    X509_free(signer);
    return 0;
}
