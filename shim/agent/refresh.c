#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

enum { most_seed = 512, second_ns = 1000000000 };

static int seed_pool(const unsigned char *seed, size_t n)
{
    struct rand_pool_info *info = need(calloc(1, sizeof *info + most_seed));
    info->entropy_count = (int)n * 8;
    info->buf_size = (int)n;
    memcpy(info->buf, seed, n);
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC), rc = 0;
    /* without the second call the new bytes would count only minutes later; old kernels lack it */
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, info) ||
        (ioctl(fd, RNDRESEEDCRNG) && errno != EINVAL && errno != ENOTTY))
        rc = errno;
    if (fd >= 0)
        close(fd);
    free(info);
    return rc;
}

/* u64 nanoseconds since 1970, then random bytes */
void refresh(const struct vt__frame *frame)
{
    struct vt__fields f = {.p = frame->data, .n = frame->size};
    uint64_t ns = vt__take_u64(&f);
    size_t n = 0;
    const unsigned char *seed = vt__take_bytes(&f, &n);
    if (f.bad || !n || n > most_seed) {
        port_send_failed(frame->channel, EPROTO, "a malformed request");
        return;
    }
    const struct timespec t = {.tv_sec = (time_t)(ns / second_ns),
                               .tv_nsec = (long)(ns % second_ns)};
    if (clock_settime(CLOCK_REALTIME, &t)) {
        port_send_failed(frame->channel, errno, "the clock cannot be set");
        return;
    }
    int sys = seed_pool(seed, n);
    if (sys)
        port_send_failed(frame->channel, sys, "the random pool cannot be seeded");
    else
        port_send(VT__FRAME_REFRESHED, 0, frame->channel, NULL, 0);
}
