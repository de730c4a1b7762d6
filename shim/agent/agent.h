/* The guest agent: what its files share. One thread, one poll loop, one session at a time.
 *
 *   main.c     options, the loop
 *   port.c     finds and opens the port (or a socket), bytes and frames in and out, sessions
 *   fd.c       descriptors
 *   channel.c  the channels of the session
 *   exec.c     commands, spawn.c their start
 *   files.c    files, as a server of SFTP's requests; reply.c its answers
 *   refresh.c  clock and random pool
 *   system.h   what differs between systems, in system_linux.c and system_darwin.c
 */
#ifndef VT_AGENT_H
#define VT_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "frame.h"

/* ---- memory: ends the program where there is none; it is started again ---- */

struct buf {
    unsigned char *data;
    size_t len, cap;
};
void *need(void *p); /* p, which must not be NULL */
void copy_bytes(unsigned char *to, const char *from, size_t n);
unsigned char *buf_room(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_consume(struct buf *b, size_t n);
void buf_free(struct buf *b);

/* ---- port.c ---- */

enum port_kind { PORT_AUTO, PORT_DEVICE, PORT_LISTEN, PORT_VSOCK, PORT_FD };

/* Device: name is that of the virtio port ("org.vmtest.agent.0") or, with a slash, a path. Listen:
 * a path for a unix socket. Vsock: `number` is the port to listen on. Auto: a device where it is
 * there, else vsock. Fd: `number` is the descriptor. */
void port_init(enum port_kind kind, const char *name, unsigned number);

/* Opens what is not open, waiting as long as that takes. */
void port_open(void);

enum { PORT_POLLED = 2 };
void port_poll(struct pollfd *p);         /* fills PORT_POLLED in */
void port_handle(const struct pollfd *p); /* reads, writes, hands on frames */
void port_flush(void);

/* Below: frames may be begun. What is larger than the room is still taken. */
bool port_has_room(void);

/* Begins a frame with room for n bytes and gives the place of its payload; ends it (size bytes of
 * the n). Nothing else may be sent in between; not ended: it never was. */
unsigned char *port_begin(size_t n);
void port_end(enum vt__frame_type type, unsigned stream, uint32_t channel, size_t size);
void port_send(enum vt__frame_type type, unsigned stream, uint32_t channel, const void *data,
               size_t n);
void port_send_failed(uint32_t channel, int sys, const char *text);

/* ---- fd.c: calls that every system has; nothing forks between the two steps ---- */

void fd_ready(int fd, bool waits); /* closed at exec */
int fd_pipe(int pair[2]);          /* both ends closed at exec, and waiting; -1 with errno set */

/* ---- channel.c ---- */

struct channel {
    const struct channel_class *cls;
    struct channel *next;
    uint32_t id;
    unsigned polled; /* entries of the latest poll */
};

struct channel_class {
    void (*frame)(struct channel *c, const struct vt__frame *frame); /* may end the channel */
    void (*close)(struct channel *c); /* ends what it holds, and frees it; is in no list by now */
    unsigned (*poll)(struct channel *c, struct pollfd *p); /* fills up to 3 in; may be NULL */
    void (*handle)(struct channel *c, const struct pollfd *p, unsigned n);
};

void channel_add(struct channel *c, const struct channel_class *cls, uint32_t id);
void channel_remove(struct channel *c); /* from the list; it is not freed */
void channels_frame(const struct vt__frame *frame);
void channels_close(void);
size_t channels_count(void);
/* Calls of poll and handle for all; the array has room for 3 each. No channel may be added or
 * removed by others in between. */
unsigned channels_poll(struct pollfd *p);
void channels_handle(const struct pollfd *p);

/* ---- what channels are ---- */

void exec_start(const struct vt__frame *frame);
void exec_reap(void); /* a child has ended */
int exec_wait(void);  /* milliseconds to the next exec_tick(), -1: none */
void exec_tick(void); /* ends what had its time */
void files_start(uint32_t id);
void refresh(const struct vt__frame *frame);
int64_t now_ms(void);

/* ---- spawn.c ---- */

struct spawn {
    char **argv, **env;   /* env: added to the user's */
    const char *shell;    /* a line for the user's shell instead of argv; or NULL */
    const char *cwd;      /* or NULL */
    int fds[3];           /* standard input, output and error */
    const char *terminal; /* or NULL: opened for all three instead */
};

void spawn_init(void); /* the user's home, shell and environment */
/* 0 with *pid set; or an exit status with the reason as a shell says it in text; or -errno. */
int spawn(const struct spawn *s, pid_t *pid, char *text, size_t size);

#endif
