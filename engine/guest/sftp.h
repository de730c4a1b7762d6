/* SFTP version 3 (draft-ietf-secsh-filexfer-02), over whatever link a channel has: a remote of the
 * ssh channel (ssh_files.c), the guest agent (agent_files.c).
 *
 * Why not libssh2's own: its functions keep one request at a time in each SFTP session (no small
 * files side by side), its sftp_init() spins on a server without the subsystem, what a cancelled
 * call leaves behind cannot be freed without waiting, and it hides the server's error texts. */
#ifndef VT_GUEST_SFTP_H
#define VT_GUEST_SFTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "vmtest/error.h"

enum vt__sftp_type {
    VT__SFTP_INIT = 1,
    VT__SFTP_VERSION = 2,
    VT__SFTP_OPEN = 3,
    VT__SFTP_CLOSE = 4,
    VT__SFTP_READ = 5,
    VT__SFTP_WRITE = 6,
    VT__SFTP_LSTAT = 7,
    VT__SFTP_FSTAT = 8,
    VT__SFTP_SETSTAT = 9,
    VT__SFTP_FSETSTAT = 10,
    VT__SFTP_OPENDIR = 11,
    VT__SFTP_READDIR = 12,
    VT__SFTP_MKDIR = 14,
    VT__SFTP_STAT = 17,
    VT__SFTP_STATUS = 101,
    VT__SFTP_HANDLE = 102,
    VT__SFTP_DATA = 103,
    VT__SFTP_NAME = 104,
    VT__SFTP_ATTRS = 105,
    VT__SFTP_EXTENDED = 200,
    VT__SFTP_EXTENDED_REPLY = 201
};

enum vt__sftp_status {
    VT__SFTP_OK = 0,
    VT__SFTP_EOF = 1,
    VT__SFTP_NO_SUCH_FILE = 2,
    VT__SFTP_PERMISSION_DENIED = 3,
    VT__SFTP_FAILURE = 4,
    VT__SFTP_UNSUPPORTED = 8,
    VT__SFTP_NO_SPACE = 14 /* of later versions; some servers send it all the same */
};

enum {
    VT__SFTP_OPEN_READ = 1,
    VT__SFTP_OPEN_WRITE = 2,
    VT__SFTP_OPEN_CREATE = 8,
    VT__SFTP_OPEN_TRUNCATE = 16
};

#define VT__SFTP_MAX_PACKET ((size_t)256 << 10)
#define VT__SFTP_MAX_HANDLE ((size_t)256)
/* Data in one request, at most: with its header it fits into one frame of the agent */
#define VT__SFTP_MAX_CHUNK ((size_t)61440)

struct vt__sftp_attrs {
    bool has_size, has_mode;
    uint64_t size;
    unsigned mode; /* type and permissions as in POSIX */
};

/* A reply; pointers lead into the message. */
struct vt__sftp_reply {
    enum vt__sftp_type type;
    uint32_t status;           /* STATUS */
    const char *text;          /* STATUS: the server's words */
    const unsigned char *data; /* HANDLE, DATA; NAME: the entries; EXTENDED_REPLY: all of it */
    size_t size;
    uint32_t count;              /* NAME: entries left */
    struct vt__sftp_attrs attrs; /* ATTRS */
    size_t text_size;
};

/* Reads a message without its length field. False where it is malformed or no reply. */
bool vt__sftp_parse(const unsigned char *msg, size_t n, uint32_t *id, struct vt__sftp_reply *reply);

/* Takes the next entry off a NAME reply. 1: taken, 0: there is none, -1: malformed. */
int vt__sftp_next_name(struct vt__sftp_reply *reply, const char **name, size_t *n,
                       struct vt__sftp_attrs *attrs);

/* True where a name from a server may become a file's name in a folder of the host. */
bool vt__sftp_name_is_safe(const char *name, size_t n);

/* ---- a session ---- */

struct vt__sftp;

typedef void (*vt__sftp_fn)(void *user, const struct vt__sftp_reply *reply);

/* Who uses a session. */
struct vt__sftp_owner {
    /* Issues requests as long as there is room; called after progress. */
    void (*step)(void *user);
    /* The session is gone (and freed). */
    void (*failed)(void *user, const struct vt_error *why);
};

/* What carries a session. */
struct vt__sftp_link {
    size_t chunk; /* bytes of data in one request, at most VT__SFTP_MAX_CHUNK */
    bool greets;  /* the versions are told first, as over ssh */
    /* Takes one or more whole requests, or a part of them: how many bytes; 0 where there is no room
     * now. A link that fails meanwhile takes nothing. */
    size_t (*write)(void *link, const char *data, size_t n);
    /* vt__sftp_run() now or soon. */
    void (*kick)(void *link);
    /* The user is done with a session that nothing is under way in. True: kept for later. */
    bool (*keep)(void *link, struct vt__sftp *s);
    /* The session is gone. */
    void (*leave)(void *link);
};

/* A session without an owner. */
struct vt__sftp *vt__sftp_new(const struct vt__sftp_link *cls, void *link);
void vt__sftp_own(struct vt__sftp *s, const struct vt__sftp_owner *owner, void *user);
/* Has the owner called: what it does first. */
void vt__sftp_kick(struct vt__sftp *s);

/* For links. Both return false where the session has ended (and may be freed already). */
bool vt__sftp_received(struct vt__sftp *s, const char *data, size_t n);
/* Lets the owner go on and writes what there is; *moved is set where something was done. */
bool vt__sftp_run(struct vt__sftp *s, bool *moved);
/* The link is gone: tells the owner, and frees the session. */
void vt__sftp_lost(struct vt__sftp *s, const struct vt_error *why);
/* Between these two a session that ends is not freed. */
void vt__sftp_enter(struct vt__sftp *s);
void vt__sftp_exit(struct vt__sftp *s);
void vt__sftp_protocol_error(struct vt__sftp *s, const char *what);

/* Gives it back for later use; where requests are under way it is closed instead. */
void vt__sftp_give(struct vt__sftp *s);

/* Closes it; no callback comes any more. */
void vt__sftp_free(struct vt__sftp *s);

/* Bytes of data that fit into one request of it. */
size_t vt__sftp_chunk(const struct vt__sftp *s);

/* True where a further request (with up to a chunk of data) may be sent now. */
bool vt__sftp_room(const struct vt__sftp *s);

/* Building of requests: fields in order, then vt__sftp_send(). */
void vt__sftp_put_u32(struct vt_buf *b, uint32_t value);
void vt__sftp_put_u64(struct vt_buf *b, uint64_t value);
void vt__sftp_put_string(struct vt_buf *b, const void *data, size_t n);
void vt__sftp_put_mode(struct vt_buf *b, unsigned mode); /* attributes with permissions alone */

/* Queues a request: `fields`, then (unless data is NULL) the string data[0..n). fn gets the
 * reply. Clears fields. Requires vt__sftp_room() or one of few. */
void vt__sftp_send(struct vt__sftp *s, enum vt__sftp_type type, struct vt_buf *fields,
                   const void *data, size_t n, vt__sftp_fn fn, void *user);

/* Sets *err for a STATUS (or an unexpected) reply: "cannot open /x in the guest: …". */
enum vt_code vt__sftp_error(const struct vt__sftp_reply *reply, const char *doing, const char *path,
                            struct vt_error *err);

#endif
