#include "vmtest/apple.h"

#ifdef __APPLE__
#include <errno.h>
#include <sys/sysctl.h>
#include <sys/utsname.h>

enum vt_code vt_apple_host(struct vt_apple_place *out, struct vt_error *err)
{
    static char version[32], chip[64];
    static struct utsname names;
    size_t version_size = sizeof version, chip_size = sizeof chip;
    *out = (struct vt_apple_place){.host_version = NULL};
    if (uname(&names))
        return vt_fail_sys(err, errno, "host", "cannot tell this host's processor");
    if (sysctlbyname("kern.osproductversion", version, &version_size, NULL, 0))
        return vt_fail_sys(err, errno, "host", "cannot tell this host's version of macOS");
    out->host_version = version;
    out->arch = names.machine;
    if (!sysctlbyname("machdep.cpu.brand_string", chip, &chip_size, NULL, 0))
        out->chip = chip;
    return VT_OK;
}

#else

enum vt_code vt_apple_host(struct vt_apple_place *out, struct vt_error *err)
{
    *out = (struct vt_apple_place){.host_version = NULL};
    return vt_fail(err, VT_EUNSUPPORTED, "host",
                   "Apple's Virtualization framework is there on a Mac alone");
}
#endif
