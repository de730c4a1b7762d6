#include "vz/sink.h"

#include <pthread.h>
#include <unistd.h>

#include "core/mem.h"
#include "vz/sockets.h"

struct node {
    struct node *next;
    struct vtz_report report;
};

static struct {
    pthread_mutex_t lock;
    struct node *first, **end;
    int wake[2];
    bool open;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER};

void vtz_outcome_clear(struct vtz_outcome *o)
{
    vtz_failure_clear(&o->failure);
    vt_free(o->host.os_version);
    for (size_t i = 0; i < o->host.bridge_count; i++) {
        vt_free(o->host.bridges[i].id);
        vt_free(o->host.bridges[i].name);
    }
    vt_free(o->host.bridges);
    vt_free(o->image.url);
    vt_free(o->image.build);
    vt_free(o->image.os_version);
    vt_free(o->image.hardware_model);
    vt_free(o->made.machine_identifier);
    for (size_t i = 0; i < o->made.mac_count; i++)
        vt_free(o->made.macs[i]);
    vt_free(o->made.macs);
    if (o->fd >= 0)
        close(o->fd);
    *o = (struct vtz_outcome)VTZ_OUTCOME_INIT;
}

static void drop(struct vtz_report *report)
{
    vtz_outcome_clear(&report->outcome);
    vtz_failure_clear(&report->event.failure);
}

/* Takes the report's texts over. */
static void put(struct vtz_report *report)
{
    pthread_mutex_lock(&sink.lock);
    if (sink.open) {
        struct node *node = vt_malloc(sizeof *node);
        *node = (struct node){.report = *report};
        *sink.end = node;
        sink.end = &node->next;
        ssize_t n = write(sink.wake[1], "", 1); /* full: it is readable already */
        (void)n;
        pthread_mutex_unlock(&sink.lock);
    } else {
        pthread_mutex_unlock(&sink.lock);
        drop(report);
    }
}

void vtz_done(uint64_t token, struct vtz_outcome *outcome)
{
    struct vtz_report report = {.token = token, .outcome = *outcome};
    *outcome = (struct vtz_outcome)VTZ_OUTCOME_INIT;
    put(&report);
}

void vtz_tell(struct vtz_event *event)
{
    struct vtz_report report = {.is_event = true, .outcome = VTZ_OUTCOME_INIT, .event = *event};
    event->failure = (struct vtz_failure)VTZ_FAILURE_INIT;
    put(&report);
}

int vtz_sink_open(void)
{
    if (!vtz_pipe(sink.wake))
        return -1;
    vtz_nonblocking(sink.wake[0]);
    vtz_nonblocking(sink.wake[1]);
    pthread_mutex_lock(&sink.lock);
    sink.first = NULL;
    sink.end = &sink.first;
    sink.open = true;
    pthread_mutex_unlock(&sink.lock);
    return sink.wake[0];
}

bool vtz_sink_take(struct vtz_report *report)
{
    char drain[64];
    pthread_mutex_lock(&sink.lock);
    struct node *node = sink.first;
    if (node) {
        sink.first = node->next;
        if (!sink.first)
            sink.end = &sink.first;
    } else {
        while (read(sink.wake[0], drain, sizeof drain) > 0)
            ;
    }
    pthread_mutex_unlock(&sink.lock);
    if (!node)
        return false;
    *report = node->report;
    vt_free(node);
    return true;
}

void vtz_sink_close(void)
{
    struct vtz_report report;
    pthread_mutex_lock(&sink.lock);
    sink.open = false;
    pthread_mutex_unlock(&sink.lock);
    while (vtz_sink_take(&report))
        drop(&report);
    close(sink.wake[0]);
    close(sink.wake[1]);
}
