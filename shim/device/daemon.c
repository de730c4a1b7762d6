#include "device/daemon.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "device/session.h"

#define FIRST_RETRY 5.0
#define LAST_RETRY 300.0
#define LOCK_SECONDS 900.0 /* an installation may hold the device for long */

static enum vt_code address_of(const char *root, struct sockaddr_un *to, struct vt_error *err)
{
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(to->sun_path, sizeof to->sun_path, "%s/run/vmtest-device/wake",
                     !strcmp(root, "/") ? "" : root);
    if (n < 0 || (size_t)n >= sizeof to->sun_path)
        return vt_fail(err, VT_EINVAL, "wake", "the root's path is too long for a socket");
    return VT_OK;
}

static int open_socket(const char *root, struct vt_error *err)
{
    struct sockaddr_un at;
    if (address_of(root, &at, err))
        return -1;
    char *dir = vt_path_dir(at.sun_path);
    int fd = vt_mkdirs(dir, err) ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unlink(at.sun_path);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof at)) {
        vt_fail_sys(err, errno, "daemon", "cannot listen on %s", at.sun_path);
        close(fd);
        fd = -1;
    }
    vt_free(dir);
    return fd;
}

/* True where nothing is left to be tried again. */
static bool poll_once(const char *root, bool plain_http)
{
    struct vtd d;
    struct vt_error err = VT_ERROR_INIT;
    unsigned answered = 0;
    enum vt_code code = vtd_open(&d, root, true, LOCK_SECONDS, &err);
    d.plain_http = plain_http;
    if (!code) {
        vtd_session_recover(&d);
        code = vtd_poll(&d, &answered, &err);
    }
    vtd_close(&d);
    if (code == VT_OK)
        fprintf(stderr, "vmtest-device: answered %u commands\n", answered);
    else if (code != VT_ESTATE) /* a device that is not enrolled has nothing to ask */
        fprintf(stderr, "vmtest-device: %s\n", err.message);
    return code == VT_OK || code == VT_ESTATE || code == VT_EAUTH;
}

enum vt_code vtd_daemon(const char *root, bool plain_http, double interval, struct vt_error *err)
{
    double retry = 0;
    int fd = open_socket(root, err);
    if (fd < 0)
        return err->code;
    for (;;) {
        char drop[64];
        if (poll_once(root, plain_http))
            retry = 0;
        else
            retry = retry <= 0 ? FIRST_RETRY : retry * 2 < LAST_RETRY ? retry * 2 : LAST_RETRY;
        double wait = retry > 0 ? retry : interval > 0 ? interval : -1;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, wait < 0 ? -1 : (int)(wait * 1000)) < 0 && errno != EINTR)
            return vt_fail_sys(err, errno, "daemon", "cannot wait");
        while (p.revents & POLLIN && recv(fd, drop, sizeof drop, MSG_DONTWAIT) >= 0)
            ; /* several wake-ups are one poll */
    }
}

enum vt_code vtd_wake(const char *root, struct vt_error *err)
{
    struct sockaddr_un to;
    enum vt_code code = address_of(root, &to, err);
    int fd = code ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (!code &&
        (fd < 0 || sendto(fd, "", 1, MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof to) < 0))
        code = errno == EAGAIN ? VT_OK /* it has wake-ups enough */
                               : vt_fail(err, VT_ENOTFOUND, "wake", "no vmtest-device daemon runs");
    if (fd >= 0)
        close(fd);
    return code;
}
