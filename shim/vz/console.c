#include "vz/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vz/loop.h"
#include "vz/sockets.h"
#include "vz/take.h"

enum { TYPISTS_MAX = 4 };

static struct {
    int out, in; /* the guest's ends */
    char socket[VTZ_PATH_MAX + sizeof ".in"];
    struct vtz_watch listener, guest; /* guest: our end of the pipe to it */
    struct vtz_watch typists[TYPISTS_MAX];
    char waiting[4096]; /* read from a typist, not yet in the pipe */
    size_t begin, end;
} console = {.out = -1, .in = -1};

/* Nobody is read from while something waits for the guest, not even one who has left: what it typed
 * is there still. */
static void look(void)
{
    bool waits = console.begin < console.end;
    console.guest.events = waits ? POLLOUT : 0;
    for (int i = 0; i < TYPISTS_MAX; i++) {
        vtz_watch_remove(&console.typists[i]);
        if (!waits && console.typists[i].fd >= 0)
            vtz_watch_add(&console.typists[i]);
    }
}

static void hand_on(void)
{
    while (console.begin < console.end) {
        ssize_t n =
            write(console.guest.fd, console.waiting + console.begin, console.end - console.begin);
        if (n > 0)
            console.begin += (size_t)n;
        else if (errno != EINTR)
            break; /* full; or the guest is gone, which ends this process soon */
    }
}

static void guest_ready(struct vtz_watch *watch, short revents)
{
    if (revents & POLLOUT)
        hand_on();
    else
        watch->fd = -1; /* the guest's end is closed */
    look();
}

static void typist_ready(struct vtz_watch *watch, short revents)
{
    ssize_t n = read(watch->fd, console.waiting, sizeof console.waiting);
    (void)revents;
    if (n > 0) {
        console.begin = 0;
        console.end = (size_t)n;
        hand_on();
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(watch->fd);
        watch->fd = -1;
    }
    look();
}

static void knocked(struct vtz_watch *watch, short revents)
{
    int fd = vtz_accept(watch->fd);
    (void)revents;
    for (int i = 0; i < TYPISTS_MAX && fd >= 0; i++)
        if (console.typists[i].fd < 0) {
            console.typists[i].fd = fd;
            fd = -1;
        }
    if (fd >= 0)
        close(fd);
    look();
}

static bool open_input(const char *path, struct vtz_failure *failure)
{
    int ends[2], fd;
    char name[sizeof console.socket];
    snprintf(name, sizeof name, "%s.in", path);
    if ((fd = vtz_listen(name, failure)) < 0)
        return false;
    memcpy(console.socket, name, sizeof name);
    console.listener = (struct vtz_watch){.fd = fd, .events = POLLIN, .ready = knocked};
    vtz_watch_add(&console.listener);
    for (int i = 0; i < TYPISTS_MAX; i++)
        console.typists[i] = (struct vtz_watch){.fd = -1, .events = POLLIN, .ready = typist_ready};
    if (!vtz_pipe(ends)) {
        vtz_fail(failure, VTZ_INTERNAL, "a pipe for the serial port: %s", strerror(errno));
        return false;
    }
    console.in = ends[0];
    vtz_nonblocking(ends[1]);
    console.guest = (struct vtz_watch){.fd = ends[1], .ready = guest_ready};
    vtz_watch_add(&console.guest);
    return true;
}

bool vtz_console_open(struct vtz_config *config, struct vtz_failure *failure)
{
    if (!config->console)
        return true;
    console.out = open(config->console, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (console.out < 0)
        vtz_fail(failure, VTZ_FILE, "config.console.path: %s: %s", config->console,
                 strerror(errno));
    if (console.out < 0 || (config->console_input && !open_input(config->console, failure))) {
        vtz_console_close();
        return false;
    }
    config->console_out = console.out;
    config->console_in = console.in;
    return true;
}

static void drop(struct vtz_watch *watch)
{
    vtz_watch_remove(watch);
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

void vtz_console_close(void)
{
    if (console.socket[0]) {
        drop(&console.listener);
        for (int i = 0; i < TYPISTS_MAX; i++)
            drop(&console.typists[i]);
        if (console.in >= 0)
            drop(&console.guest);
        unlink(console.socket);
        console.socket[0] = '\0';
    }
    if (console.in >= 0)
        close(console.in);
    if (console.out >= 0)
        close(console.out);
    console.in = console.out = -1;
    console.begin = console.end = 0;
}
