/* An archive's parts with any content. The first byte chooses: the head, a manifest (whose digest
 * is made to fit), a compressed block, or version.json. */
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "image/archive.h"

static uint64_t seen; /* bytes of data that pieces were asked for */

static enum vt_code piece(void *user, uint32_t file, uint64_t at, unsigned char *data, size_t n,
                          struct vt_error *err)
{
    const struct vt__archive *archive = user;
    const json_t *f = json_array_get(archive->version.files, file);
    int64_t size = vt_json_int(f, "size", -1);
    (void)err;
    if (!f || !n || size < 0 || at > (uint64_t)size || n > (uint64_t)size - at)
        __builtin_trap();
    data[0] = data[n - 1] = 1; /* inside the chunk */
    seen += n;
    return VT_OK;
}

static void check_archive(struct vt__archive *archive)
{
    uint64_t chunks = vt__archive_chunks(archive);
    unsigned char *chunk = vt_malloc(VT__CHUNK);
    for (size_t i = 0; i < json_array_size(archive->version.files); i++)
        if (!vt_is_plain_name(vt_json_str(json_array_get(archive->version.files, i), "name", "")))
            __builtin_trap();
    for (uint64_t i = 0; i < chunks && i < 4; i++) {
        uint64_t at = i < 2 ? i : chunks - 1;
        size_t n = vt__archive_chunk_size(archive, at);
        seen = 0;
        if (n > VT__CHUNK ||
            vt__extents_pieces(&archive->extents, at * VT__CHUNK, chunk, n, piece, archive, NULL))
            __builtin_trap();
        if (seen != n)
            __builtin_trap();
    }
    struct vt_buf head = VT_BUF_INIT;
    vt__archive_put_head(archive, &head);
    vt_buf_free(&head);
    vt_free(chunk);
}

static void fuzz_manifest(const uint8_t *data, size_t size)
{
    unsigned char fixed[VT__ARCHIVE_FIXED] = {0}, digest[EVP_MAX_MD_SIZE];
    struct vt__archive archive;
    struct vt_error err = VT_ERROR_INIT;
    unsigned n = 0;
    EVP_Digest(data, size, digest, &n, EVP_sha256(), NULL);
    memcpy(fixed + 12, digest, 32);
    enum vt_code code =
        vt__archive_get_manifest(fixed, (const char *)data, size, "fuzz", &archive, &err);
    if (code && (code != VT_EIMAGE || err.code != code || !err.message[0]))
        __builtin_trap();
    if (!code)
        check_archive(&archive);
    vt__archive_clear(&archive);
}

static void fuzz_version(const uint8_t *data, size_t size)
{
    json_t *object = NULL;
    struct vt_image_version version = {.role = VT_ROLE_NONE};
    struct vt_error err = VT_ERROR_INIT;
    if (vt_json_parse((const char *)data, size, "fuzz", &object, NULL))
        return;
    if (!vt__version_from_json(object, "fuzz", &version, &err)) {
        json_t *again = vt__version_to_json(&version);
        struct vt_image_version copy = {.role = VT_ROLE_NONE};
        if (vt__version_from_json(again, "fuzz", &copy, NULL))
            __builtin_trap();
        vt__version_clear(&copy);
        json_decref(again);
    } else if (err.code != VT_EIMAGE) {
        __builtin_trap();
    }
    vt__version_clear(&version);
    json_decref(object);
}

static void fuzz_block(const uint8_t *data, size_t size)
{
    static struct vt__codec *codec;
    static unsigned char *chunk;
    size_t max;
    if (!codec) {
        codec = vt__codec_new(NULL);
        chunk = vt_malloc(VT__CHUNK);
    }
    unsigned char *room = vt__codec_room(codec, &max);
    if (size > max)
        return;
    memcpy(room, data, size);
    vt__codec_unpack(codec, size, chunk, size % 2 ? VT__CHUNK : 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char fixed[VT__ARCHIVE_FIXED] = {0};
    uint32_t manifest;
    if (!size)
        return 0;
    unsigned choice = data[0] % 4;
    data++;
    size--;
    if (choice == 1)
        fuzz_manifest(data, size);
    else if (choice == 2)
        fuzz_block(data, size);
    else if (choice == 3)
        fuzz_version(data, size);
    else {
        memcpy(fixed, data, size < sizeof fixed ? size : sizeof fixed);
        if (!vt__archive_get_fixed(fixed, "fuzz", &manifest, NULL) && manifest > VT__MANIFEST_MAX)
            __builtin_trap();
    }
    return 0;
}
