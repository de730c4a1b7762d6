/* Copies of files that are mostly holes: memory images, disks and their layers. */
#ifndef VT_CORE_SPARSE_H
#define VT_CORE_SPARSE_H

#include <stdatomic.h>
#include <stdint.h>

#include "vmtest/error.h"

/* Makes `to` (which must not exist; mode 0600) a copy of the file `from`: sharing its blocks where
 * the file system can, else of its data alone, without the pages of it that are zero. Gives up with
 * VT_ECANCELED when *cancelled (may be NULL) is set. What is there on failure is removed. Blocks.
 */
enum vt_code vt_copy_sparse(const char *from, const char *to, const atomic_bool *cancelled,
                            struct vt_error *err);

/* Bytes that such a copy of the open file would take at most. */
uint64_t vt_data_bytes(int fd);

#endif
