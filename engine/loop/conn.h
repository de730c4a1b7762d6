/* A connected stream socket in the loop: read as it comes, written without waiting. */
#ifndef VT_LOOP_CONN_H
#define VT_LOOP_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtest/loop.h"

struct vt_conn;

struct vt_conn_handler {
    void (*data)(const char *data, size_t n, void *user); /* NULL: what comes is dropped */
    /* It broke, or the other side closed it, and all its data was handed over. Called once; may be
     * NULL. */
    void (*closed)(void *user);
    void *user;
};

/* Takes over `fd`. Callbacks come from the loop, never from within a call; vt_conn_free() may be
 * called in them. Copies the handler. */
struct vt_conn *vt_conn_new(struct vt_loop *loop, int fd, const struct vt_conn_handler *handler);

/* Closes it (NULL: nothing); no callback comes any more. */
void vt_conn_free(struct vt_conn *conn);

/* False of NULL, too, as of one that was closed. To a closed one nothing is written. */
bool vt_conn_is_open(const struct vt_conn *conn);

/* Queues a copy of the bytes. False where it is not open; that it breaks later is told by
 * closed(). */
bool vt_conn_write(struct vt_conn *conn, const char *data, size_t n);

/* Writes the bytes with a descriptor, which stays the caller's. False where that cannot be done at
 * once, because other bytes wait. */
bool vt_conn_write_fd(struct vt_conn *conn, const char *data, size_t n, int fd);

/* Bytes that were written and not taken yet. */
size_t vt_conn_unwritten(const struct vt_conn *conn);

#endif
