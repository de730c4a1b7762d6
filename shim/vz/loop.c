#include "vz/loop.h"

#include <limits.h>
#include <poll.h>
#include <stddef.h>

#include "core/mem.h"
#include "core/sys.h"

static struct {
    struct vtz_watch **all; /* NULL where one was removed */
    struct pollfd *polls;
    size_t count, room;
} loop;

void vtz_watch_add(struct vtz_watch *watch)
{
    if (loop.count == loop.room) {
        loop.room = loop.room ? 2 * loop.room : 16;
        loop.all = vt_realloc(loop.all, loop.room * sizeof *loop.all);
        loop.polls = vt_realloc(loop.polls, loop.room * sizeof *loop.polls);
    }
    loop.all[loop.count++] = watch;
}

void vtz_watch_remove(struct vtz_watch *watch)
{
    for (size_t i = 0; i < loop.count; i++)
        if (loop.all[i] == watch)
            loop.all[i] = NULL;
}

/* Those that are left move together. */
static void compact(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < loop.count; i++)
        if (loop.all[i])
            loop.all[kept++] = loop.all[i];
    loop.count = kept;
}

static int wait_ms(double until)
{
    for (size_t i = 0; i < loop.count; i++) {
        double deadline = loop.all[i]->deadline;
        if (deadline > 0 && (until <= 0 || deadline < until))
            until = deadline;
    }
    if (until <= 0)
        return -1;
    double left = (until - vt_monotonic()) * 1000 + 1;
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

void vtz_loop_once(double until)
{
    compact();
    size_t n = loop.count; /* those that are added meanwhile come after them */
    for (size_t i = 0; i < n; i++)
        loop.polls[i] = (struct pollfd){.fd = loop.all[i]->fd, .events = loop.all[i]->events};
    if (poll(loop.polls, (nfds_t)n, wait_ms(until)) < 0)
        return;
    double now = vt_monotonic();
    for (size_t i = n;
         i-- > 0;) { /* a client that leaves makes room before the next one comes in */
        struct vtz_watch *w = loop.all[i];
        if (w && loop.polls[i].revents && w->fd == loop.polls[i].fd) {
            w->ready(w, loop.polls[i].revents);
        } else if (w && w->deadline > 0 && w->deadline <= now) {
            w->deadline = 0;
            w->ready(w, 0);
        }
    }
}
