/* What the two directions of a transfer over SFTP share. */
#ifndef VT_GUEST_TRANSFER_H
#define VT_GUEST_TRANSFER_H

#include <openssl/evp.h>

#include "guest/channel.h"
#include "guest/sftp.h"
#include "loop/op.h"

/* Files of a folder that are under way side by side, so that many small ones do not wait for a
 * round trip each. */
enum { VT__TRANSFER_FILES = 16 };

struct vt__transfer;

struct vt__direction {
    /* Issues what there is room for; calls vt__transfer_complete() when all is there. */
    void (*step)(struct vt__transfer *t);
    /* Moves what was written aside to its place (may be NULL). */
    enum vt_code (*publish)(struct vt__transfer *t, struct vt_error *err);
    void (*free)(struct vt__transfer *t); /* also removes what was written aside */
};

struct vt__sum {
    char *remote; /* path in the guest */
    char hex[65];
};

struct vt__transfer {
    struct vt_op op; /* first */
    struct vt_channel *ch;
    const struct vt__direction *direction;
    void *work; /* of the direction */
    struct vt__sftp *sftp;
    char *remote, *local; /* local NULL: memory */
    struct vt_buf memory; /* to put, or got */
    size_t limit;
    unsigned mode;
    bool verify;
    vt_progress_fn on_progress;
    void *progress_user;
    uint64_t total; /* 0: not known */
    struct vt__sum *sums;
    size_t n_sums;
    struct vt_error failure; /* set: waits for the guest to tell whether its disk is full */
    bool folder;
    bool complete;       /* all bytes are there; may be verifying */
    struct vt_op *check; /* the command that verifies */
    struct vt_transfer_result result;
};

/* True where the operation goes on: callbacks of a request check it first. */
bool vt__transfer_alive(const struct vt__transfer *t);

/* Ends it by an error. */
void vt__transfer_fail(struct vt__transfer *t, const struct vt_error *why);

/* Ends it by an errno: "cannot DOING PATH". */
void vt__transfer_fail_sys(struct vt__transfer *t, int sys, const char *doing, const char *path);

/* Ends it by a reply that is none of success; of a put, asks first whether the disk is full. */
void vt__transfer_refused(struct vt__transfer *t, const struct vt__sftp_reply *reply,
                          const char *doing, const char *path);

/* Counts n bytes of a file and tells progress, which may end the operation. */
void vt__transfer_count(struct vt__transfer *t, uint64_t n, const char *file);

/* Notes a finished file; frees (finalises) its digest. */
void vt__transfer_file_done(struct vt__transfer *t, const char *remote, EVP_MD_CTX *digest);

void vt__transfer_complete(struct vt__transfer *t);

/* Verifies t->sums in the guest: done() with NULL, or what is wrong. Sets t->check meanwhile. */
void vt__transfer_verify(struct vt__transfer *t,
                         void (*done)(struct vt__transfer *t, const struct vt_error *why));

/* Reads the answer of the guest's tool: the digests (64 hexadecimal digits) at the line starts
 * of out[0..n), in order. At most `max` are stored; returns how many there were. */
size_t vt__read_digests(const char *out, size_t n, char (*hex)[65], size_t max);

EVP_MD_CTX *vt__digest_new(void);

/* A session of this channel for a transfer; owned at once. NULL with *err set where it has none. */
typedef struct vt__sftp *(*vt__transfer_session_fn)(struct vt_channel *ch,
                                                    const struct vt__sftp_owner *owner, void *user,
                                                    struct vt_error *err);

/* What transfer() of a channel with such sessions is. */
struct vt_op *vt__transfer_start(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                                 vt__transfer_session_fn session, vt_op_fn done, void *user,
                                 struct vt_error *err);

extern const struct vt__direction vt__transfer_put, vt__transfer_get;

/* Checks local files and makes t->work. */
enum vt_code vt__put_start(struct vt__transfer *t, struct vt_error *err);
enum vt_code vt__get_start(struct vt__transfer *t, struct vt_error *err);

#endif
