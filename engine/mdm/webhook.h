/* What a webhook of NanoMDM's form tells: devices that come and go, answers to commands.
 *
 * Calls come in any order, twice, or not at all. A check-in older than the last one of its device
 * (by created_at) changes no state; an event_id is counted once; an answer that is final stays. The
 * form: service/webhook/event.json of github.com/micromdm/nanomdm v0.9.0. */
#ifndef VT_MDM_WEBHOOK_H
#define VT_MDM_WEBHOOK_H

#include <jansson.h>

#include "vmtest/error.h"

#define VT_HOOK_SEEN 4096 /* event ids remembered */

struct vt_hook {
    json_t *devices; /* UDID -> DEVICE as in mdm/server.h, and "at" of its last check-in */
    json_t
        *commands; /* "UDID UUID" -> {uuid, status, not_now, request_type?, raw?, lost?, queued} */
    json_t *seen;  /* event ids; the oldest goes */
    char *order[VT_HOOK_SEEN];
    size_t next;
};

void vt__hook_init(struct vt_hook *hook);
void vt__hook_free(struct vt_hook *hook);

/* True where base64(HMAC-SHA256(key, body)) is `signature`. */
bool vt__hook_signed(const char *key, const void *body, size_t n, const char *signature);

/* Takes one call's body. *event is what to tell the listener (a new reference), NULL: nothing.
 * VT_EPROTO for what is no event; nothing of it is kept. */
enum vt_code vt__hook_take(struct vt_hook *hook, const void *body, size_t n, json_t **event,
                           struct vt_error *err);

/* A device that is known to be enrolled from elsewhere; serial NULL: not told. */
void vt__hook_assume(struct vt_hook *hook, const char *udid, const char *serial,
                     const char *reason);

/* The entry of a command; made where `make`, else NULL where there is none. Borrowed. */
json_t *vt__hook_command(struct vt_hook *hook, const char *udid, const char *uuid, bool make);

#endif
