#include "image/archive.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "core/json.h"
#include "core/mem.h"

#define OP "image.archive"
#define FORMAT 1
#define LEVEL 3
#define DIGEST_SIZE 32
#define FILE_MAX ((int64_t)64 << 40)

uint32_t vt__get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void vt__put32(unsigned char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(value >> (24 - 8 * i));
}

void vt__archive_clear(struct vt__archive *archive)
{
    vt__version_clear(&archive->version);
    vt__extents_free(&archive->extents);
}

uint64_t vt__archive_chunks(const struct vt__archive *archive)
{
    return (archive->extents.total + VT__CHUNK - 1) / VT__CHUNK;
}

size_t vt__archive_chunk_size(const struct vt__archive *archive, uint64_t i)
{
    uint64_t left = archive->extents.total - i * VT__CHUNK;
    return left < VT__CHUNK ? (size_t)left : VT__CHUNK;
}

void vt__archive_put_head(const struct vt__archive *archive, struct vt_buf *out)
{
    json_t *extents = json_array();
    for (size_t i = 0; i < archive->extents.n; i++) {
        const struct vt__extent *e = &archive->extents.v[i];
        json_array_append_new(extents, json_pack("[I, I, I]", (json_int_t)e->file,
                                                 (json_int_t)e->at, (json_int_t)e->len));
    }
    json_t *manifest =
        json_pack("{s:i, s:I, s:o, s:o}", "format", FORMAT, "chunk", (json_int_t)VT__CHUNK, "image",
                  vt__version_to_json(&archive->version), "extents", extents);
    char *text = json_dumps(manifest, JSON_COMPACT | JSON_SORT_KEYS);
    size_t n = strlen(text);
    unsigned char size[4], digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    vt__put32(size, (uint32_t)n);
    EVP_Digest(text, n, digest, &digest_size, EVP_sha256(), NULL);
    vt_buf_add(out, VT__ARCHIVE_MAGIC, VT__ARCHIVE_MAGIC_SIZE);
    vt_buf_add(out, size, sizeof size);
    vt_buf_add(out, digest, DIGEST_SIZE);
    vt_buf_add(out, text, n);
    free(text);
    json_decref(manifest);
}

static enum vt_code broken(const char *path, const char *why, struct vt_error *err)
{
    return vt_fail(err, VT_EIMAGE, OP, "%s is damaged: %s", path, why);
}

enum vt_code vt__archive_get_fixed(const unsigned char *fixed, const char *path, uint32_t *size,
                                   struct vt_error *err)
{
    *size = vt__get32(fixed + VT__ARCHIVE_MAGIC_SIZE);
    if (memcmp(fixed, VT__ARCHIVE_MAGIC, VT__ARCHIVE_MAGIC_SIZE) != 0)
        return vt_fail(err, VT_EIMAGE, OP, "%s is no archive of an image", path);
    if (*size < 2 || *size > VT__MANIFEST_MAX)
        return broken(path, "its manifest has a size that cannot be", err);
    return VT_OK;
}

static enum vt_code get_extents(const json_t *list, const char *path, struct vt__archive *archive,
                                struct vt_error *err)
{
    size_t n = json_array_size(list), files = json_array_size(archive->version.files);
    int64_t last_file = 0, end = 0;
    if (!json_is_array(list) || n > VT__EXTENTS_MAX)
        return broken(path, "its list of extents is none", err);
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(list, i);
        const json_t *parts[3] = {json_array_get(e, 0), json_array_get(e, 1), json_array_get(e, 2)};
        if (json_array_size(e) != 3 || !json_is_integer(parts[0]) || !json_is_integer(parts[1]) ||
            !json_is_integer(parts[2]))
            return broken(path, "an extent is none", err);
        int64_t file = json_integer_value(parts[0]), at = json_integer_value(parts[1]),
                len = json_integer_value(parts[2]);
        if (file < last_file || file >= (int64_t)files)
            return broken(path, "an extent is of no file", err);
        end = file > last_file ? 0 : end;
        int64_t size = vt_json_int(json_array_get(archive->version.files, (size_t)file), "size", 0);
        if (at < end || len < 1 || at > size || len > size - at)
            return broken(path, "an extent lies where it cannot", err);
        vt__extents_add(&archive->extents, (uint32_t)file, (uint64_t)at, (uint64_t)len);
        last_file = file;
        end = at + len;
    }
    return VT_OK;
}

static enum vt_code get_parts(const json_t *manifest, const char *path, struct vt__archive *archive,
                              struct vt_error *err)
{
    if (vt_json_int(manifest, "format", 0) != FORMAT ||
        vt_json_int(manifest, "chunk", 0) != (int64_t)VT__CHUNK)
        return vt_fail(err, VT_EIMAGE, OP, "%s is of a format that this version does not know",
                       path);
    enum vt_code code =
        vt__version_from_json(json_object_get(manifest, "image"), path, &archive->version, err);
    if (code)
        return code;
    for (size_t i = 0; i < json_array_size(archive->version.files); i++)
        if (vt_json_int(json_array_get(archive->version.files, i), "size", 0) > FILE_MAX)
            return broken(path, "a file in it is larger than 64 TiB", err);
    return get_extents(json_object_get(manifest, "extents"), path, archive, err);
}

enum vt_code vt__archive_get_manifest(const unsigned char *fixed, const char *manifest, size_t n,
                                      const char *path, struct vt__archive *archive,
                                      struct vt_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    json_t *object = NULL;
    struct vt_error why = VT_ERROR_INIT;
    *archive = (struct vt__archive){.version = {.role = VT_ROLE_NONE}};
    EVP_Digest(manifest, n, digest, &digest_size, EVP_sha256(), NULL);
    if (memcmp(digest, fixed + VT__ARCHIVE_MAGIC_SIZE + 4, DIGEST_SIZE) != 0)
        return broken(path, "its manifest is not what was written", err);
    if (vt_json_parse(manifest, n, "manifest", &object, &why))
        return broken(path, why.message, err);
    enum vt_code code = get_parts(object, path, archive, err);
    json_decref(object);
    return code;
}

struct vt__codec {
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
    unsigned char *room; /* 4 bytes of size, then a frame */
    size_t max;          /* of the frame */
};

void vt__codec_free(struct vt__codec *codec)
{
    if (!codec)
        return;
    ZSTD_freeCCtx(codec->pack);
    ZSTD_freeDCtx(codec->unpack);
    vt_free(codec->room);
    vt_free(codec);
}

struct vt__codec *vt__codec_new(struct vt_error *err)
{
    struct vt__codec *codec = vt_calloc(1, sizeof *codec);
    codec->max = ZSTD_compressBound(VT__CHUNK);
    codec->room = vt_malloc(codec->max + 4);
    codec->pack = ZSTD_createCCtx();
    codec->unpack = ZSTD_createDCtx();
    if (!codec->pack || !codec->unpack) {
        vt__codec_free(codec);
        vt_fail(err, VT_ELIMIT, OP, "there is no memory for zstd");
        return NULL;
    }
    ZSTD_CCtx_setParameter(codec->pack, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(codec->pack, ZSTD_c_checksumFlag, 1);
    return codec;
}

const void *vt__codec_pack(struct vt__codec *codec, const void *data, size_t n, size_t *size)
{
    size_t packed = ZSTD_compress2(codec->pack, codec->room + 4, codec->max, data, n);
    if (ZSTD_isError(packed))
        return NULL;
    vt__put32(codec->room, (uint32_t)packed);
    *size = packed + 4;
    return codec->room;
}

unsigned char *vt__codec_room(struct vt__codec *codec, size_t *max)
{
    *max = codec->max;
    return codec->room + 4;
}

bool vt__codec_unpack(struct vt__codec *codec, size_t size, void *data, size_t n)
{
    return ZSTD_decompressDCtx(codec->unpack, data, n, codec->room + 4, size) == n;
}
