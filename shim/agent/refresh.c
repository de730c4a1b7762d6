#include <errno.h>
#include <time.h>

#include "agent.h"
#include "system.h"

enum { second_ns = 1000000000 };

/* u64 nanoseconds since 1970, then random bytes */
void refresh(const struct vt__frame *frame)
{
    struct vt__fields f = {.p = frame->data, .n = frame->size};
    uint64_t ns = vt__take_u64(&f);
    size_t n = 0;
    const unsigned char *seed = vt__take_bytes(&f, &n);
    if (f.bad || !n || n > SYSTEM_SEED_MOST) {
        port_send_failed(frame->channel, EPROTO, "a malformed request");
        return;
    }
    const struct timespec t = {.tv_sec = (time_t)(ns / second_ns),
                               .tv_nsec = (long)(ns % second_ns)};
    if (clock_settime(CLOCK_REALTIME, &t)) {
        port_send_failed(frame->channel, errno, "the clock cannot be set");
        return;
    }
    int sys = system_seed(seed, n);
    if (sys)
        port_send_failed(frame->channel, sys, "the random pool cannot be seeded");
    else
        port_send(VT__FRAME_REFRESHED, 0, frame->channel, NULL, 0);
}
