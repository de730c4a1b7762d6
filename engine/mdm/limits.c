/* What no MDM server can do with a VM or a stand-in device, why, and what to do instead. */
#include <string.h>

#include "mdm/server.h"

static const struct {
    const char *name;
    const char *why;     /* NULL: it is up to the server */
    const char *instead; /* where there is a way round it */
} capabilities[VT_MDM_CAPABILITY_COUNT_] = {
    [VT_MDM_PROFILE_PKCS12] = {"pkcs12", NULL, NULL},
    [VT_MDM_PROFILE_SCEP] = {"scep", NULL, NULL},
    [VT_MDM_PROFILE_BOTH] = {"both", NULL, NULL},
    [VT_MDM_COMMANDS] = {"commands", NULL, NULL},
    [VT_MDM_WITHDRAW] = {"withdraw", NULL, NULL},
    [VT_MDM_PUSH] = {"push", NULL, NULL},
    [VT_MDM_DECLARATIONS] = {"declarations", NULL, NULL},
    [VT_MDM_PACKAGES] = {"packages", NULL, NULL},
    [VT_MDM_ADE] = {"ade",
                    "automated device enrollment is not possible in a VM: Apple assigns it to the "
                    "serial number of hardware, and it needs a Secure Enclave",
                    "enroll the VM by a profile, which tests all that comes after the enrollment, "
                    "and keep a few physical devices for the enrollment itself"},
    [VT_MDM_APP_STORE] = {"app_store",
                          "the App Store does not work in a VM, signed in or not, and with it "
                          "applications that are licensed through it",
                          "install the vendor's package: by InstallEnterpriseApplication, or "
                          "copied into the guest"},
    [VT_MDM_FILEVAULT_ESCROW] = {"filevault_escrow",
                                 "what a VM or a stand-in device does with FileVault's recovery "
                                 "keys says nothing of a Mac, whose keys its Secure Enclave holds",
                                 "test escrow and rotation on a physical device; that the profile "
                                 "is right and arrives can be tested here"},
    [VT_MDM_ACTIVATION_LOCK] = {"activation_lock",
                                "Activation Lock is a matter between Apple and the hardware",
                                "test it on a physical device"},
    [VT_MDM_RECOVERY_LOCK] = {"recovery_lock",
                              "recovery and firmware passwords are kept by hardware that a VM "
                              "does not have",
                              "test it on a physical device"},
    [VT_MDM_LOST_MODE] = {"lost_mode",
                          "Lost Mode and location are for iPhone and iPad, not for "
                          "guests that vmtest runs",
                          "test it on a physical device"},
    [VT_MDM_UNATTENDED] = {"unattended",
                           "an enrollment counts as approved by the user only where a person "
                           "approved it at the screen: macOS has no command for it since 11, and "
                           "scripts and screen sharing do not count",
                           "approve it once by hand, keep a snapshot, and start from that"},
    [VT_MDM_ATTESTATION] = {"attestation",
                            "Apple attests hardware; a VM has no key that is bound to any",
                            "use SCEP or PKCS#12 here, and test ACME attestation on a physical "
                            "device"},
    [VT_MDM_OS_UPDATE] = {"os_update",
                          "the ScheduleOSUpdate family of commands is removed in version 27 of "
                          "Apple's systems",
                          "defer updates by a restrictions profile, and enforce them by a "
                          "declaration (com.apple.configuration.softwareupdate.enforcement."
                          "specific)"},
};

static const struct {
    const char *request_type;
    enum vt_mdm_capability needs;
} requests[] = {
    {"ActivationLockBypassCode", VT_MDM_ACTIVATION_LOCK},
    {"ApplyRedemptionCode", VT_MDM_APP_STORE},
    {"AvailableOSUpdates", VT_MDM_OS_UPDATE},
    {"ClearActivationLockBypassCode", VT_MDM_ACTIVATION_LOCK},
    {"DeviceLocation", VT_MDM_LOST_MODE},
    {"DisableLostMode", VT_MDM_LOST_MODE},
    {"EnableLostMode", VT_MDM_LOST_MODE},
    {"InstallApplication", VT_MDM_APP_STORE},
    {"InviteToProgram", VT_MDM_APP_STORE},
    {"OSUpdateStatus", VT_MDM_OS_UPDATE},
    {"PlayLostModeSound", VT_MDM_LOST_MODE},
    {"RotateFileVaultKey", VT_MDM_FILEVAULT_ESCROW},
    {"ScheduleOSUpdate", VT_MDM_OS_UPDATE},
    {"ScheduleOSUpdateScan", VT_MDM_OS_UPDATE},
    {"SetFirmwarePassword", VT_MDM_RECOVERY_LOCK},
    {"SetRecoveryLock", VT_MDM_RECOVERY_LOCK},
    {"VerifyFirmwarePassword", VT_MDM_RECOVERY_LOCK},
    {"VerifyRecoveryLock", VT_MDM_RECOVERY_LOCK},
};

const char *vt_mdm_capability_name(enum vt_mdm_capability cap)
{
    return capabilities[cap].name;
}

enum vt_mdm_capability vt_mdm_capability_parse(const char *name)
{
    unsigned i = 0;
    while (i < VT_MDM_CAPABILITY_COUNT_ && strcmp(name, capabilities[i].name) != 0)
        i++;
    return (enum vt_mdm_capability)i;
}

enum vt_mdm_capability vt_mdm_request_needs(const char *request_type)
{
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        if (!strcmp(request_type, requests[i].request_type))
            return requests[i].needs;
    return VT_MDM_CAPABILITY_COUNT_;
}

enum vt_code vt__mdm_never(enum vt_mdm_capability cap, struct vt_error *why)
{
    if (!capabilities[cap].why)
        return VT_OK;
    vt_fail(why, VT_EUNSUPPORTED, "mdm.supports", "%s", capabilities[cap].why);
    vt_hint(why, "%s", capabilities[cap].instead);
    return VT_EUNSUPPORTED;
}

bool vt_mdm_supports(const struct vt_mdm *mdm, enum vt_mdm_capability cap, struct vt_error *why)
{
    if (vt__mdm_never(cap, why))
        return false;
    return !mdm || mdm->cls->supports(mdm, cap, why);
}
