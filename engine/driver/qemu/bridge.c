/* Onto a bridge of the host, by a tap of our own. */
#include "driver/qemu/net.h"

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OP "vm.start"

static const char *const helpers[] = {
    "/usr/lib/qemu/qemu-bridge-helper",
    "/usr/libexec/qemu-bridge-helper",
    "/usr/libexec/qemu/qemu-bridge-helper",
};

static const char *find_helper(void)
{
    struct stat st;
    for (size_t i = 0; i < sizeof helpers / sizeof *helpers; i++)
        if (stat(helpers[i], &st) == 0 && (st.st_mode & S_ISUID) && st.st_uid == 0)
            return helpers[i];
    return NULL;
}

/* Puts the tap on the bridge and switches it on; 0 or errno. */
static int plug(const char *bridge, const char *tap)
{
    struct ifreq on = {.ifr_flags = 0}, port = {.ifr_flags = 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), sys = 0;
    snprintf(port.ifr_name, sizeof port.ifr_name, "%s", tap);
    snprintf(on.ifr_name, sizeof on.ifr_name, "%s", tap);
    if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &port)) {
        sys = errno;
    } else {
        int index = port.ifr_ifindex;
        snprintf(port.ifr_name, sizeof port.ifr_name, "%s", bridge);
        port.ifr_ifindex = index;
        if (ioctl(fd, SIOCBRADDIF, &port) || ioctl(fd, SIOCGIFFLAGS, &on))
            sys = errno;
        on.ifr_flags = (short)(on.ifr_flags | IFF_UP);
        if (!sys && ioctl(fd, SIOCSIFFLAGS, &on))
            sys = errno;
    }
    if (fd >= 0)
        close(fd);
    return sys;
}

static int make_tap(const char *bridge, int *fd)
{
    struct ifreq tap = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(tap.ifr_name, sizeof tap.ifr_name, "vmtest%%d");
    *fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    int sys = *fd < 0 || ioctl(*fd, TUNSETIFF, &tap) ? errno : 0;
    if (!sys && bridge)
        sys = plug(bridge, tap.ifr_name);
    if (sys && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return sys;
}

static enum vt_code refuse(const char *what, int sys, struct vt_error *err)
{
    vt_fail(err, VT_EUNSUPPORTED, OP, "cannot make a tap%s: %s", what, strerror(sys));
    vt_hint(err,
            "run vmtest with CAP_NET_ADMIN and /dev/net/tun, or make QEMU's bridge helper setuid "
            "root and allow the bridge in /etc/qemu/bridge.conf");
    return VT_EUNSUPPORTED;
}

bool vt_qemu_can_bridge(struct vt_error *why)
{
    int fd, sys = make_tap(NULL, &fd);
    if (fd >= 0)
        close(fd);
    return !sys || find_helper() || !refuse("", sys, why);
}

enum vt_code vt_qemu_bridge(const char *bridge, int *fd, const char **helper, struct vt_error *err)
{
    *fd = -1;
    *helper = NULL;
    if (if_nametoindex(bridge) == 0) {
        vt_fail(err, VT_ENOTFOUND, OP, "this host has no bridge \"%s\"", bridge);
        vt_hint(err, "make one: ip link add %s type bridge && ip link set %s up", bridge, bridge);
        return VT_ENOTFOUND;
    }
    int sys = make_tap(bridge, fd);
    if (!sys)
        return VT_OK;
    *helper = find_helper();
    if (*helper && (sys == EPERM || sys == EACCES))
        return VT_OK;
    char on[48];
    snprintf(on, sizeof on, " on the bridge \"%.15s\"", bridge);
    return refuse(on, sys, err);
}

#else

bool vt_qemu_can_bridge(struct vt_error *why)
{
    vt_fail(why, VT_EUNSUPPORTED, "vm", "bridges are supported on Linux hosts only");
    return false;
}

enum vt_code vt_qemu_bridge(const char *bridge, int *fd, const char **helper, struct vt_error *err)
{
    *fd = -1;
    *helper = NULL;
    return vt_fail(err, VT_EUNSUPPORTED, "vm.start",
                   "bridges (\"%s\") are supported on Linux hosts only", bridge);
}

#endif
