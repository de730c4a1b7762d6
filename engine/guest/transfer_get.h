/* What the two parts of a get share: one file's download, and the folder that is walked. */
#ifndef VT_GUEST_TRANSFER_GET_H
#define VT_GUEST_TRANSFER_GET_H

#include "guest/transfer.h"

struct vt__get_chunk;
struct vt__get_folder;

struct vt__get_file {
    struct vt__transfer *t;
    struct vt__get_file *next;
    char *remote, *local; /* local NULL: memory */
    int fd;               /* -1: memory */
    unsigned mode;
    uint64_t size, asked; /* told by the guest; up to where was asked */
    bool opened, ended, closing, closed;
    bool probing;
    struct vt__get_chunk *chunks, **tail; /* under way or waiting for an earlier one */
    unsigned under_way;
    unsigned char handle[VT__SFTP_MAX_HANDLE];
    size_t handle_size;
    EVP_MD_CTX *digest;
};

struct vt__get {
    char *aside; /* the file or folder that is written, NULL: none yet, or memory */
    struct vt__get_file *files, *waiting, **waiting_tail;
    unsigned n_files, n_waiting;
    struct vt__get_folder *folders; /* still to be read; the first is being read while `reading` */
    unsigned n_folders;
    struct vt__get_folder *later; /* modes to set, the innermost first */
    unsigned char handle[VT__SFTP_MAX_HANDLE];
    size_t handle_size;
    bool begun, reading, looked;
};

/* Takes over remote and local; not yet in any list. */
struct vt__get_file *vt__get_file_new(struct vt__transfer *t, char *remote, char *local,
                                      const struct vt__sftp_attrs *attrs);

/* Adds it to those under way; makes the local file unless it is open already, and asks for the
 * guest's. */
void vt__get_file_begin(struct vt__get_file *f);

/* Asks for what there is room for: up to the size that was told, then once beyond it to find the
 * end (files of /proc tell no size at all). */
void vt__get_file_pump(struct vt__get_file *f);

void vt__get_file_free(struct vt__get_file *f);

/* Ends the operation: the server broke the protocol. */
void vt__get_fail_proto(struct vt__transfer *t, const char *what, const char *path);

#endif
