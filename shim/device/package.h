/* A package that a manifest names: where it is, how large, with which checksums. */
#ifndef VT_DEVICE_PACKAGE_H
#define VT_DEVICE_PACKAGE_H

#include <openssl/evp.h>

#include "device/chain.h"
#include "device/device.h"

#define VTD_PACKAGE_MAX ((size_t)512 << 20)

struct vtd_package {
    const char *url;    /* points into the manifest, as all here */
    const EVP_MD *kind; /* of the checksums */
    plist_t sums;       /* hexadecimal text, one for each part */
    size_t part;        /* bytes of a part but the last */
};

/* The first item's asset of the kind software-package. Checksums (sha256s with sha256-size, else
 * md5s with md5-size) are required. */
bool vtd_package_read(plist_t manifest, struct vtd_package *package, struct vtd_chain *chain);

/* True where each part has its checksum and no part is missing or too much. Pure. */
bool vtd_package_check(const struct vtd_package *package, const void *data, size_t n,
                       struct vtd_chain *chain);

/* Downloads and checks it. *file (vt_free) is its path in the state's folder; NULL on failure. */
bool vtd_package_fetch(const struct vtd *d, const struct vtd_package *package, char **file,
                       struct vtd_chain *chain);

#endif
