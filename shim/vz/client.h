/* The clients: lines in, messages out. */
#ifndef VT_VZ_CLIENT_H
#define VT_VZ_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "vz/loop.h"

enum {
    VTZ_LINE_MAX = 1 << 20, /* without its end */
    VTZ_OUT_MAX = 4 << 20,  /* waiting for a client that does not read */
    VTZ_CLIENTS_MAX = 8,
    VTZ_UNDER_WAY_MAX = 64 /* of one client; its next lines wait till one is done */
};

struct vtz_client {
    struct vtz_watch watch;
    struct vt_buf in, out;
    size_t scanned; /* bytes of `in` that hold no end of line */
    unsigned under_way;
    bool no_more; /* it has closed its sending side */
    bool ending;  /* it broke the protocol: what is left for it is written, then it is closed */
    bool dead;    /* freed by the next vtz_clients_reap() */
    struct vtz_client *next;
};

struct vtz_client_handler {
    /* A line of valid UTF-8, without its end. */
    void (*line)(struct vtz_client *client, const char *line, size_t n);
    /* It broke the protocol: `why`. Answers; the client is closed after that. */
    void (*broken)(struct vtz_client *client, const char *why);
    void (*gone)(struct vtz_client *client); /* about to be freed */
};

void vtz_clients_begin(const struct vtz_client_handler *handler);

/* Takes the descriptor. NULL: there are enough of them, and the descriptor is still the caller's.
 */
struct vtz_client *vtz_client_new(int fd);

/* Both take the message. */
void vtz_client_send(struct vtz_client *client, json_t *message);
void vtz_clients_send_all(json_t *message);

void vtz_client_begun(struct vtz_client *client); /* a request of it is under way */
void vtz_client_done(struct vtz_client *client);  /* one less */

void vtz_clients_reap(void);
bool vtz_clients_flushed(void); /* nothing waits to be written */
void vtz_clients_end(void);

#endif
