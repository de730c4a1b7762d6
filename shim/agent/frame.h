/* Frames of the agent's protocol (protocol.md), for both of its ends. Numbers are big-endian. */
#ifndef VT_AGENT_FRAME_H
#define VT_AGENT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VT__FRAME_VERSION = 1,
    VT__FRAME_HEAD = 12,   /* u32 size, u16 mark, u8 type, u8 stream, u32 channel */
    VT__FRAME_TAIL = 4,    /* the session's tag */
    VT__FRAME_DATA = 65536 /* payload at most */
};
#define VT__FRAME_MAX ((size_t)VT__FRAME_HEAD + VT__FRAME_DATA + VT__FRAME_TAIL)

enum vt__frame_type {
    VT__FRAME_EXEC = 1,  /* host: begins a command */
    VT__FRAME_FILES,     /* host: begins a file session */
    VT__FRAME_REFRESH,   /* host: sets the clock, seeds the random pool */
    VT__FRAME_BYTES,     /* both */
    VT__FRAME_END,       /* host: end of standard input */
    VT__FRAME_CLOSE,     /* host: ends the channel and what runs in it */
    VT__FRAME_WINDOW,    /* guest: u32, so many more bytes of standard input may come */
    VT__FRAME_EXIT,      /* guest: u32 status, then the signal's name; the channel has ended */
    VT__FRAME_FAILED,    /* guest: u32 errno, then a text; the channel has ended */
    VT__FRAME_REFRESHED, /* guest; the channel has ended */
    VT__FRAME_TYPE_COUNT_
};

enum { VT__FRAME_STDIN, VT__FRAME_STDOUT, VT__FRAME_STDERR, VT__FRAME_STREAMS };

enum {
    VT__EXEC_PTY = 1,
    VT__EXEC_SHELL = 2, /* the one word is a line for the user's shell */
    VT__EXEC_INPUT = 4  /* bytes of standard input follow, then END; else it is empty */
};
enum { VT__EXEC_WINDOW = 131072 /* bytes of standard input before the first WINDOW */ };

struct vt__frame {
    enum vt__frame_type type;
    unsigned stream;
    uint32_t channel;
    const unsigned char *data; /* size bytes, inside what was parsed */
    uint32_t size;
};

/* Takes one frame off in[0..n): 1 with *frame and *used set; 0: more bytes are needed; -1: these
 * bytes are no frame of the session with this tag. */
int vt__frame_parse(const unsigned char *in, size_t n, uint32_t tag, struct vt__frame *frame,
                    size_t *used);

void vt__frame_head(unsigned char out[VT__FRAME_HEAD], enum vt__frame_type type, unsigned stream,
                    uint32_t channel, uint32_t size);

/* ---- greeting: not framed, so that it can be found among anything ---- */

enum {
    VT__NONCE = 16,
    VT__GREETING = 16 + 4 + VT__NONCE /* mark, u32 version, nonce */
};

enum vt__greeting { VT__HELLO, VT__WELCOME }; /* the host's, the guest's */

void vt__greeting_make(unsigned char out[VT__GREETING], enum vt__greeting kind, uint32_t version,
                       const unsigned char nonce[VT__NONCE]);

/* Looks for a greeting of this kind in in[0..n). True: *version and nonce are set, and *used is
 * behind it. False: *used bytes cannot be the beginning of one. */
bool vt__greeting_find(const unsigned char *in, size_t n, enum vt__greeting kind, uint32_t *version,
                       unsigned char nonce[VT__NONCE], size_t *used);

/* The tag of the session that a nonce begins; never 0. */
uint32_t vt__session_tag(const unsigned char nonce[VT__NONCE]);

/* ---- fields ---- */

void vt__store_u32(unsigned char *p, uint32_t v);
void vt__store_u64(unsigned char *p, uint64_t v);
uint32_t vt__load_u32(const unsigned char *p);
uint64_t vt__load_u64(const unsigned char *p);

/* Reads fields off a payload; `bad` stays set once one was not there. */
struct vt__fields {
    const unsigned char *p;
    size_t n;
    bool bad;
};
uint32_t vt__take_u32(struct vt__fields *f);
uint64_t vt__take_u64(struct vt__fields *f);
/* u32 length, then the bytes; *n is 0 where bad. */
const unsigned char *vt__take_bytes(struct vt__fields *f, size_t *n);

#endif
