/* The archive of one version: a head, then its data in chunks that are compressed one by one.
 * Format: docs/images.md. */
#ifndef VT_IMAGE_ARCHIVE_H
#define VT_IMAGE_ARCHIVE_H

#include "core/buf.h"
#include "image/extents.h"
#include "image/version.h"

#define VT__CHUNK ((size_t)4 << 20) /* bytes of data in each chunk but the last */
#define VT__ARCHIVE_MAGIC "\x89VTIMG\x1a\n"
#define VT__ARCHIVE_MAGIC_SIZE 8
#define VT__ARCHIVE_FIXED 44                  /* magic, size of the manifest, its digest */
#define VT__MANIFEST_MAX ((uint32_t)16 << 20) /* bytes */
#define VT__EXTENTS_MAX ((size_t)1 << 18)     /* of an archive */

struct vt__archive {
    struct vt_image_version version; /* without folder */
    struct vt__extents extents;
};

void vt__archive_clear(struct vt__archive *archive);

/* How many chunks there are, and how many bytes of data chunk i has. */
uint64_t vt__archive_chunks(const struct vt__archive *archive);
size_t vt__archive_chunk_size(const struct vt__archive *archive, uint64_t i);

/* Appends the head: magic, size, digest, manifest. The same archive gives the same bytes. */
void vt__archive_put_head(const struct vt__archive *archive, struct vt_buf *out);

/* Reads the fixed part: the manifest's size. VT_EIMAGE where it is none. */
enum vt_code vt__archive_get_fixed(const unsigned char *fixed, const char *path, uint32_t *size,
                                   struct vt_error *err);
/* Reads the manifest that follows, which has to have the digest in `fixed`. Everything in it is
 * checked: names, sizes, that extents are in order and inside their files. */
enum vt_code vt__archive_get_manifest(const unsigned char *fixed, const char *manifest, size_t n,
                                      const char *path, struct vt__archive *archive,
                                      struct vt_error *err);

/* Compresses a chunk: 4 bytes of size, then a zstd frame with its checksum. */
struct vt__codec;
struct vt__codec *vt__codec_new(struct vt_error *err);
void vt__codec_free(struct vt__codec *codec);
/* Points into the codec; valid until the next call. NULL where zstd fails. */
const void *vt__codec_pack(struct vt__codec *codec, const void *data, size_t n, size_t *size);
/* Room for a compressed chunk (without its 4 bytes), *max bytes long. */
unsigned char *vt__codec_room(struct vt__codec *codec, size_t *max);
/* Decompresses the first `size` bytes of that room into `data`; false where they are not exactly a
 * chunk of n bytes. */
bool vt__codec_unpack(struct vt__codec *codec, size_t size, void *data, size_t n);

uint32_t vt__get32(const unsigned char *p);
void vt__put32(unsigned char *p, uint32_t value);

#endif
