/* What this host can do. */
#import "vz/apple.h"

#include "core/mem.h"

static const char *rosetta(void)
{
#if VTZ_APPLE_SILICON
    if (VTZ_HAS(13.0)) {
        switch ([VZLinuxRosettaDirectoryShare availability]) {
        case VZLinuxRosettaAvailabilityInstalled:
            return "installed";
        case VZLinuxRosettaAvailabilityNotInstalled:
            return "not_installed";
        case VZLinuxRosettaAvailabilityNotSupported:
            break;
        }
    }
#endif
    return "not_supported";
}

static bool nested(void)
{
    if (VTZ_HAS(15.0))
        return [VZGenericPlatformConfiguration isNestedVirtualizationSupported];
    return false;
}

static void fill_bridges(struct vtz_host *host)
{
    NSArray<VZBridgedNetworkInterface *> *all = [VZBridgedNetworkInterface networkInterfaces];
    host->bridges = vt_calloc([all count] + 1, sizeof *host->bridges);
    for (VZBridgedNetworkInterface *interface in all) {
        struct vtz_bridge *bridge = &host->bridges[host->bridge_count++];
        bridge->id = vtz_copy(interface.identifier);
        bridge->name = vtz_copy(interface.localizedDisplayName);
    }
}

static char *os_version(void)
{
    return vtz_version([[NSProcessInfo processInfo] operatingSystemVersion]);
}

static const char *const arch = VTZ_APPLE_SILICON ? "arm64" : "x86_64";

void vtz_refuse(struct vtz_failure *failure, enum vt_apple_feature feature, const char *place)
{
    char *version = os_version();
    const struct vt_apple_place host = {.host_version = version, .arch = arch};
    vtz_refuse_on(failure, feature, &host, place);
    vt_free(version);
}

void vtz_host_on_queue(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    struct vtz_host *host = &outcome.host;
    host->supported = [VZVirtualMachine isSupported];
    host->os_version = os_version();
    host->arch = arch;
    host->min_cpus = (unsigned)[VZVirtualMachineConfiguration minimumAllowedCPUCount];
    host->max_cpus = (unsigned)[VZVirtualMachineConfiguration maximumAllowedCPUCount];
    host->min_memory = [VZVirtualMachineConfiguration minimumAllowedMemorySize];
    host->max_memory = [VZVirtualMachineConfiguration maximumAllowedMemorySize];
    host->nested = nested();
    host->rosetta = rosetta();
    fill_bridges(host);
    vtz_finish_on_queue(call, &outcome);
}
