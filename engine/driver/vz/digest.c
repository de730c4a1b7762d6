#include "driver/vz/digest.h"

#include <openssl/evp.h>

void vt_vz_digest(const void *data, size_t n, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    unsigned size = 0;
    EVP_Digest(data, n, digest, &size, EVP_sha256(), NULL);
    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
}
