#include "image/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "image/layout.h"
#include "image/version.h"

#define OP "image.digest"
#define CHUNK ((size_t)1 << 20)

static void finish(EVP_MD_CTX *ctx, char hex[VT__HEX_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    static const char digits[] = "0123456789abcdef";
    unsigned n = 0;
    EVP_DigestFinal_ex(ctx, digest, &n);
    for (size_t i = 0; i < n && i < (VT__HEX_SIZE - 1) / 2; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[VT__HEX_SIZE - 1] = '\0';
    EVP_MD_CTX_free(ctx);
}

static EVP_MD_CTX *begin(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    return ctx;
}

static enum vt_code digest_fd(int fd, const char *path, char hex[VT__HEX_SIZE],
                              struct vt_error *err)
{
    EVP_MD_CTX *ctx = begin();
    char *chunk = vt_malloc(CHUNK);
    ssize_t n;
    while ((n = read(fd, chunk, CHUNK)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            EVP_DigestUpdate(ctx, chunk, (size_t)n);
    int sys = errno;
    vt_free(chunk);
    finish(ctx, hex);
    return n < 0 ? vt_fail_sys(err, sys, OP, "cannot read %s", path) : VT_OK;
}

enum vt_code vt__digest_file(const char *path, char hex[VT__HEX_SIZE], struct vt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return vt_fail_sys(err, errno, OP, "cannot open %s", path);
    enum vt_code code = digest_fd(fd, path, hex, err);
    close(fd);
    return code;
}

/* version.json, and what a process that was killed left of writing it, are the store's. */
static bool is_content(const char *dir, const char *name)
{
    (void)dir;
    return strncmp(name, VT__VERSION_FILE, strlen(VT__VERSION_FILE)) != 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum vt_code describe_file(const char *dir, const char *name, json_t *files,
                                  struct vt_error *err)
{
    char *path = vt_path_join(dir, name), hex[VT__HEX_SIZE];
    struct stat st = {0};
    enum vt_code code = VT_OK;
    /* O_NONBLOCK: a fifo must not hold us up before we see that it is one */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (!vt_is_plain_name(name) || (fd < 0 && errno == ELOOP))
        code = vt_fail(err, VT_EIMAGE, OP, "%s cannot be part of an image: %s", path,
                       fd < 0 ? "it is a link" : "its name is not plain");
    else if (fd < 0 || fstat(fd, &st))
        code = vt_fail_sys(err, errno, OP, "cannot open %s", path);
    else if (!S_ISREG(st.st_mode))
        code = vt_fail(err, VT_EIMAGE, OP, "%s cannot be part of an image: it is no file", path);
    if (!code)
        code = digest_fd(fd, path, hex, err);
    if (!code && fsync(fd) && errno != EROFS && errno != EINVAL)
        code = vt_fail_sys(err, errno, OP, "cannot flush %s", path);
    if (!code)
        json_array_append_new(files, json_pack("{s:s, s:I, s:i, s:s}", "name", name, "size",
                                               (json_int_t)st.st_size, "mode",
                                               (int)(st.st_mode & 0777), "sha256", hex));
    if (fd >= 0)
        close(fd);
    vt_free(path);
    return code;
}

enum vt_code vt__digest_dir(const char *dir, json_t **files, struct vt_error *err)
{
    struct vt__names names;
    *files = NULL;
    enum vt_code code = vt__list(dir, is_content, by_name, &names, err);
    if (!code && (!names.n || names.n > VT__FILES_MAX))
        code = vt_fail(err, VT_EIMAGE, OP, "%s has %zu files; an image has 1 to %d", dir, names.n,
                       VT__FILES_MAX);
    json_t *list = json_array();
    for (size_t i = 0; !code && i < names.n; i++)
        code = describe_file(dir, names.v[i], list, err);
    vt__names_free(&names);
    if (code)
        json_decref(list);
    else
        *files = list;
    return code;
}

void vt__digest_list(const json_t *files, char hex[VT__HEX_SIZE])
{
    EVP_MD_CTX *ctx = begin();
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        struct vt_buf line = VT_BUF_INIT;
        vt_buf_printf(&line, "%s %lld %s\n", vt_json_str(file, "sha256", ""),
                      (long long)vt_json_int(file, "size", 0), vt_json_str(file, "name", ""));
        EVP_DigestUpdate(ctx, line.data, line.len);
        vt_buf_free(&line);
    }
    finish(ctx, hex);
}

static bool is_any(const char *dir, const char *name)
{
    (void)dir;
    (void)name;
    return true;
}

uint64_t vt__disk_usage(const char *dir, bool alone)
{
    struct vt__names names;
    uint64_t total = 0;
    vt__list(dir, is_any, by_name, &names, NULL);
    for (size_t i = 0; i < names.n; i++) {
        char *path = vt_path_join(dir, names.v[i]);
        struct stat st;
        if (!lstat(path, &st))
            total += S_ISDIR(st.st_mode)          ? vt__disk_usage(path, alone)
                     : !alone || st.st_nlink == 1 ? (uint64_t)st.st_blocks * 512
                                                  : 0;
        vt_free(path);
    }
    vt__names_free(&names);
    return total;
}
