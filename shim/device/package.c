#include "device/package.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/fs.h"
#include "core/mem.h"
#include "device/http.h"
#include "plist/tree.h"

static plist_t find_asset(plist_t manifest)
{
    plist_t items = vt_plist_array(manifest, "items");
    plist_t item = items ? plist_array_get_item(items, 0) : NULL;
    plist_t assets = vt_plist_array(item, "assets");
    for (uint32_t i = 0; assets && i < plist_array_get_size(assets); i++) {
        plist_t asset = plist_array_get_item(assets, i);
        if (!strcmp(vt_plist_str(asset, "kind", ""), "software-package"))
            return asset;
    }
    return NULL;
}

bool vtd_package_read(plist_t manifest, struct vtd_package *package, struct vtd_chain *chain)
{
    plist_t asset = find_asset(manifest);
    const char *url = vt_plist_str(asset, "url", NULL);
    plist_t sums = vt_plist_array(asset, "sha256s");
    bool sha = sums != NULL;
    if (!url)
        return vtd_fault(chain, vtd_mdm_domain, 12008,
                         "The manifest names no asset of the kind software-package with a url");
    if (!sums)
        sums = vt_plist_array(asset, "md5s");
    int64_t part = vt_plist_int(asset, sha ? "sha256-size" : "md5-size", 0);
    if (!sums || part <= 0)
        return vtd_fault(chain, vtd_mdm_domain, 12008,
                         "The manifest has no checksums (sha256s and sha256-size, or md5s and "
                         "md5-size)");
    *package = (struct vtd_package){
        .url = url, .kind = sha ? EVP_sha256() : EVP_md5(), .sums = sums, .part = (size_t)part};
    return true;
}

static bool part_is(const EVP_MD *kind, const void *data, size_t n, const char *sum)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    EVP_Digest(data, n, digest, &size, kind, NULL);
    for (unsigned i = 0; i < size; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", digest[i]);
    return sum && !strcasecmp(hex, sum);
}

bool vtd_package_check(const struct vtd_package *package, const void *data, size_t n,
                       struct vtd_chain *chain)
{
    size_t parts = n / package->part + (n % package->part != 0);
    const char *at = data;
    if (parts != plist_array_get_size(package->sums))
        return vtd_fault(chain, vtd_mdm_domain, 12010,
                         "The package has %zu bytes, not what its %u checksums are for", n,
                         plist_array_get_size(package->sums));
    for (uint32_t i = 0; i < parts; i++, at += package->part) {
        size_t left = n - i * package->part;
        const char *sum = vt_plist_text(plist_array_get_item(package->sums, i));
        if (!part_is(package->kind, at, left < package->part ? left : package->part, sum))
            return vtd_fault(chain, vtd_mdm_domain, 12010,
                             "Part %u of the package has another checksum than the manifest says",
                             i + 1);
    }
    return true;
}

bool vtd_package_fetch(const struct vtd *d, const struct vtd_package *package, char **file,
                       struct vtd_chain *chain)
{
    struct vt_buf data = VT_BUF_INIT;
    struct vt_error err = VT_ERROR_INIT;
    struct vtd_http request = {.url = package->url, .limit = VTD_PACKAGE_MAX, .seconds = 600};
    long status = 0;
    enum vt_code code = vtd_http(d, &request, &status, &data, &err);
    *file = NULL;
    if (!code && status != 200)
        code = vt_fail(&err, VT_EPROTO, "package", "the package was answered by HTTP %ld", status);
    bool good = !code || vtd_fault(chain, vtd_mdm_domain, 12010, "The package cannot be had: %s",
                                   err.message);
    good = good && vtd_package_check(package, vt_buf_str(&data), data.len, chain);
    if (good) {
        *file = vtd_state_path(d, "package.deb"); /* one at a time: the lock is held */
        code = vt_write_file(*file, vt_buf_str(&data), data.len, 0600, &err);
        good = !code || vtd_fault(chain, vtd_mdm_domain, 12010, "%s", err.message);
    }
    vt_buf_free(&data);
    return good;
}
