/* Servers that tell nothing by themselves: what is waited for is asked for again, at intervals that
 * grow from half a second to 15.
 *
 * A request of the interface is an errand of one step or more, each an HTTP request: step() sends
 * it, take() gets its answer and ends the errand, goes on to the next step, or has the same one
 * asked again later. While it waits for a device or an answer, a server that cannot be reached for
 * a moment (a connection that fails, statuses 429 and 5xx) is asked again, too; what the trouble
 * was is told by the deadline's error. */
#ifndef VT_MDM_POLLED_H
#define VT_MDM_POLLED_H

#include "mdm/remote.h"

struct vt_errand;
typedef void (*vt_errand_step)(struct vt_errand *e);
typedef void (*vt_errand_take)(struct vt_errand *e, const struct vt_http_answer *a);

struct vt_errand {
    struct vt_mdm_request *r;
    struct vt_op *op; /* under way */
    struct vt_timer timer;
    vt_errand_step step;
    vt_errand_take take;
    double pause;
    bool renewed;   /* credentials, since the last answer that was no refusal */
    bool forgiving; /* this step's take() gets whatever came, NULL for nothing: then, and where
                       the credentials were refused, `trouble` says why */
    json_t *notes;  /* the driver's memory from step to step; "state", "reason", "status" and
                       "not_now" are told by a deadline's error */
    struct vt_error trouble; /* why the last request brought nothing */
};

/* The first member of such a driver's own struct. */
struct vt_polled {
    struct vt_remote remote;
    vt_errand_step renew; /* gets a new token, sets e->renewed and runs e->step; NULL: there is no
                             such thing */
    json_t *commands; /* "UDID UUID" -> {request_type, answered}: those queued by this process */
};

void vt__polled_init(struct vt_polled *s);
void vt__polled_clear(struct vt_polled *s);

void vt__errand_begin(struct vt_mdm_request *r, vt_errand_step step);
void vt__errand_send(struct vt_errand *e, const struct vt_remote_call *call, vt_errand_take take);
void vt__errand_next(struct vt_errand *e, vt_errand_step step); /* at once */
void vt__errand_again(struct vt_errand *e);                     /* the same step, later */
void vt__errand_succeed(struct vt_errand *e, json_t *result);   /* takes the result over */
void vt__errand_fail(struct vt_errand *e, const struct vt_error *why);

/* Fails with the status and the server's words. */
void vt__errand_refused(struct vt_errand *e, const struct vt_http_answer *a, enum vt_code code,
                        const char *hint);

/* The answer's JSON object, a new reference; NULL: the errand has failed. */
json_t *vt__errand_json(struct vt_errand *e, const struct vt_http_answer *a);

static inline const char *vt__errand_arg(const struct vt_errand *e, const char *name)
{
    return vt__remote_arg(e->r, name);
}

/* The class's `drop`. */
void vt__polled_drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why);

/* --- what is common to answers --- */

/* The command's entry; made where `type` is given, else NULL where there is none. Borrowed. */
json_t *vt__polled_command(struct vt_polled *s, const char *udid, const char *uuid,
                           const char *type);
unsigned vt__polled_pending(const struct vt_polled *s, const char *udid);

/* "devices" at a server that lists them by pages, from "page" (0 at first) of the errand's notes
 * on: each item of this page that describe() makes a device of (NULL: it is none) is added to those
 * of the pages before. After a whole page of VT_ERRAND_PAGE items `ask` gets the next, else the
 * errand ends. */
#define VT_ERRAND_PAGE 100
typedef json_t *(*vt_errand_describe)(const struct vt_errand *e, const json_t *item);
void vt__errand_page(struct vt_errand *e, const json_t *items, vt_errand_describe describe,
                     vt_errand_step ask);

/* Ends "wait_device" where the device is as it was asked for, else looks again; takes it over.
 * "seen" is judged by a change of last_seen since the first look: clocks need not agree. */
void vt__errand_device(struct vt_errand *e, json_t *device);

/* Ends "wait_answer" where `status` (Apple's word) is final, or a NotNow that was asked for, else
 * looks again. raw: base64 of the report, "" where the server keeps none. stamp: differs with
 * each NotNow. */
void vt__errand_status(struct vt_errand *e, const char *status, const char *type, const char *raw,
                       const char *stamp);

#endif
