/* The calls that the backend has under way. */
#ifndef VT_VZ_CALLS_H
#define VT_VZ_CALLS_H

#include <stdbool.h>

#include "vz/backend.h"
#include "vz/request.h"
#include "vz/sink.h"

struct vtz_pending {
    struct vtz_request request; /* with the call */
    void *client;               /* who asked; NULL: nobody, or it has left */
    /* The call is done. What is left in the outcome is cleared afterwards, and so is this. */
    void (*done)(struct vtz_pending *pending, struct vtz_outcome *outcome);
    union { /* the asker's own */
        void *user;
        int fd;
    };
    struct vtz_pending *next;
};

struct vtz_pending *vtz_pending_new(void);
void vtz_pending_free(struct vtz_pending *pending); /* one that was not begun */

/* Hands it to the backend, and owns it from now on. */
void vtz_call_begin(struct vtz_pending *pending, const struct vtz_backend *backend);

bool vtz_call_under_way(enum vtz_op op);
void vtz_calls_forget_client(const void *client);

/* A call of the report is done; one that is not under way is told on standard error. */
void vtz_call_done(struct vtz_report *report);

/* Those that are still under way are dropped, without done(). */
void vtz_calls_drop(void);

#endif
