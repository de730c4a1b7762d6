/* A package and its manifest, as InstallEnterpriseApplication wants them. Format of the manifest:
 * Apple's "Distribute proprietary in-house apps" and application.install.enterprise.yaml: hashes
 * of SHA-256 over parts of sha256-size bytes each. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "loop/work.h"
#include "mdm/convert.h"
#include "mdm/lab.h"

#define OP "mdm.serve_package"
#define PART ((size_t)10 << 20)
#define HEX 65
#define PACKAGES_MAX 1000

struct hashing {
    char *path;
    uint64_t size;
    char whole[HEX];
    json_t *parts;
};

static void hex(EVP_MD_CTX *ctx, char out[HEX])
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    EVP_DigestFinal_ex(ctx, digest, NULL);
    for (size_t i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static enum vt_code hash_parts(int fd, struct hashing *h, const atomic_bool *cancelled,
                               struct vt_error *err)
{
    EVP_MD_CTX *whole = EVP_MD_CTX_new(), *part = EVP_MD_CTX_new();
    unsigned char *chunk = vt_malloc(PART);
    char text[HEX];
    ssize_t n = 1;
    enum vt_code code = VT_OK;
    EVP_DigestInit_ex(whole, EVP_sha256(), NULL);
    while (n > 0 && !atomic_load(cancelled)) {
        size_t have = 0; /* a part is whole whatever read() gives at once */
        while (have < PART && (n = read(fd, chunk + have, PART - have)) > 0)
            have += (size_t)n;
        if (n < 0)
            code = vt_fail_sys(err, errno, OP, "cannot read %s", h->path);
        if (code || !have)
            break;
        EVP_DigestUpdate(whole, chunk, have);
        EVP_DigestInit_ex(part, EVP_sha256(), NULL);
        EVP_DigestUpdate(part, chunk, have);
        hex(part, text);
        json_array_append_new(h->parts, json_string(text));
        h->size += have;
    }
    hex(whole, h->whole);
    EVP_MD_CTX_free(whole);
    EVP_MD_CTX_free(part);
    vt_free(chunk);
    return code;
}

static enum vt_code hash(void *args, const atomic_bool *cancelled, struct vt_error *err)
{
    struct hashing *h = args;
    struct stat st;
    int fd = open(h->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vt_fail_sys(err, errno, OP, "cannot read %s", h->path);
    enum vt_code code = fstat(fd, &st) || !S_ISREG(st.st_mode)
                            ? vt_fail(err, VT_EINVAL, OP, "%s is no file", h->path)
                            : hash_parts(fd, h, cancelled, err);
    close(fd);
    if (!code && !h->size)
        code = vt_fail(err, VT_EINVAL, OP, "%s is empty", h->path);
    return code;
}

static void free_hashing(void *args)
{
    struct hashing *h = args;
    vt_free(h->path);
    json_decref(h->parts);
    vt_free(h);
}

static json_t *manifest_json(const json_t *args, const struct hashing *h, const char *url)
{
    return json_pack("{s:[{s:[{s:s, s:s, s:i, s:O}], s:{s:s, s:s, s:s, s:s}}]}", "items", "assets",
                     "kind", "software-package", "url", url, "sha256-size", (int)PART, "sha256s",
                     h->parts, "metadata", "kind", "software", "bundle-identifier",
                     vt_json_str(args, "bundle_id", ""), "bundle-version",
                     vt_json_str(args, "version", ""), "title",
                     vt_json_str(args, "title", vt_path_base(h->path)));
}

static enum vt_code publish(struct vt_lab *lab, const json_t *args, const struct hashing *h,
                            struct vt_error *err)
{
    char *base = vt__lab_url(lab, vt_json_str(args, "address", NULL), err);
    if (!base)
        return VT_EINVAL;
    struct vt_lab_package *p = vt_calloc(1, sizeof *p);
    struct vt_buf url = VT_BUF_INIT;
    plist_t list = NULL;
    vt_random_hex(p->id, 32);
    p->path = vt_strdup(h->path);
    vt_buf_printf(&url, "%s/packages/%s/package.pkg", base, p->id);
    json_t *manifest = manifest_json(args, h, url.data);
    enum vt_code code = vt_plist_from_json(manifest, "the manifest", &list, err);
    if (!code)
        code = vt_plist_write(list, VT_PLIST_XML, &p->manifest, err);
    vt_buf_clear(&url);
    vt_buf_printf(&url, "%s/packages/%s/manifest.plist", base, p->id);
    p->facts = json_pack("{s:s, s:o, s:s, s:I}", "manifest_url", url.data, "manifest", manifest,
                         "sha256", h->whole, "size", (json_int_t)h->size);
    p->next = lab->packages;
    lab->packages = p; /* also a failed one: it is freed with the others */
    plist_free(list);
    vt_buf_free(&url);
    vt_free(base);
    return code;
}

static void hashed(struct vt_op *op, void *user)
{
    struct vt_mdm_request *r = user;
    struct vt_lab *lab = (struct vt_lab *)r->mdm;
    struct vt_error err = VT_ERROR_INIT;
    r->work = NULL;
    if (vt_op_error(op))
        vt_error_copy(&err, vt_op_error(op));
    else
        publish(lab, r->args, vt_op_result(op), &err);
    if (err.code)
        vt__mdm_fail(r, &err);
    else
        vt__mdm_succeed(r, json_incref(lab->packages->facts));
}

void vt__lab_serve_package(struct vt_lab *lab, struct vt_mdm_request *r)
{
    struct vt_error err = VT_ERROR_INIT;
    size_t n = 0;
    for (const struct vt_lab_package *p = lab->packages; p; p = p->next)
        n++;
    if (n >= PACKAGES_MAX) {
        vt_fail(&err, VT_ELIMIT, OP, "%d packages are served, which is the limit", PACKAGES_MAX);
        vt__mdm_fail(r, &err);
        return;
    }
    struct hashing *h = vt_calloc(1, sizeof *h);
    h->path = vt_strdup(vt_json_str(r->args, "path", ""));
    h->parts = json_array();
    r->busy = true;
    r->work = vt_work_run(lab->mdm.loop, hash, h, free_hashing, r->op.timeout, hashed, r);
}

void vt__lab_free_packages(struct vt_lab *lab)
{
    while (lab->packages) {
        struct vt_lab_package *p = lab->packages;
        lab->packages = p->next;
        vt_free(p->path);
        vt_buf_free(&p->manifest);
        json_decref(p->facts);
        vt_free(p);
    }
}
