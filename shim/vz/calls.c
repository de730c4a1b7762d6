#include "vz/calls.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/mem.h"

static struct vtz_pending *pending_list;
static uint64_t last_token;

struct vtz_pending *vtz_pending_new(void)
{
    return vt_calloc(1, sizeof(struct vtz_pending));
}

void vtz_pending_free(struct vtz_pending *pending)
{
    vtz_request_clear(&pending->request);
    vt_free(pending);
}

void vtz_call_begin(struct vtz_pending *pending, const struct vtz_backend *backend)
{
    pending->request.call.token = ++last_token;
    pending->next = pending_list;
    pending_list = pending;
    backend->call(&pending->request.call);
}

bool vtz_call_under_way(enum vtz_op op)
{
    for (const struct vtz_pending *p = pending_list; p; p = p->next)
        if (p->request.call.op == op)
            return true;
    return false;
}

void vtz_calls_forget_client(const void *client)
{
    for (struct vtz_pending *p = pending_list; p; p = p->next)
        if (p->client == client)
            p->client = NULL;
}

void vtz_call_done(struct vtz_report *report)
{
    struct vtz_pending **at = &pending_list, *p;
    while (*at && (*at)->request.call.token != report->token)
        at = &(*at)->next;
    p = *at;
    if (p) {
        *at = p->next;
        p->done(p, &report->outcome);
        vtz_pending_free(p);
    } else {
        fprintf(stderr, "vmtest-vz: call %" PRIu64 " was done twice (a bug)\n", report->token);
    }
    vtz_outcome_clear(&report->outcome);
}

void vtz_calls_drop(void)
{
    while (pending_list) {
        struct vtz_pending *p = pending_list;
        pending_list = p->next;
        vtz_pending_free(p);
    }
}
