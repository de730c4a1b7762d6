/* CONFIG as the framework's configuration: platform and boot loader. */
#import "vz/apple.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

static const char *fresh; /* a file that was made for the configuration being made */

static BOOL exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- Linux and EFI guests ---- */

static BOOL add_machine_identifier(VZGenericPlatformConfiguration *platform,
                                   const struct vtz_config *config, struct vtz_outcome *out)
{
    if (VTZ_HAS(13.0)) {
        VZGenericMachineIdentifier *identifier;
        if (config->machine_identifier) {
            NSData *data = vtz_data(config->machine_identifier);
            identifier = data ? [[[VZGenericMachineIdentifier alloc]
                                    initWithDataRepresentation:(NSData *_Nonnull)data] autorelease]
                              : nil;
        } else {
            identifier = [[[VZGenericMachineIdentifier alloc] init] autorelease];
            out->made.machine_identifier = vtz_base64(identifier.dataRepresentation);
        }
        if (!identifier) {
            vtz_fail(&out->failure, VTZ_BAD_REQUEST,
                     "config.machine_identifier: is none of a Linux guest");
            return NO;
        }
        platform.machineIdentifier = (VZGenericMachineIdentifier *_Nonnull)identifier;
    } else if (config->machine_identifier) {
        vtz_refuse(&out->failure, VT_APPLE_GENERIC_IDENTIFIER, "config.machine_identifier");
        return NO;
    }
    return YES;
}

static BOOL add_nested(VZGenericPlatformConfiguration *platform, const struct vtz_config *config,
                       struct vtz_outcome *out)
{
    if (!config->nested)
        return YES;
    if (VTZ_HAS(15.0)) {
        if ([VZGenericPlatformConfiguration isNestedVirtualizationSupported]) {
            platform.nestedVirtualizationEnabled = YES;
            return YES;
        }
        vtz_fail(&out->failure, VTZ_UNSUPPORTED,
                 "config.nested: this host's processor cannot do it (M%d and later can)",
                 vt_apple_feature_info(VT_APPLE_NESTED)->chip);
    } else {
        vtz_refuse(&out->failure, VT_APPLE_NESTED, "config.nested");
    }
    return NO;
}

static BOOL add_generic_platform(VZVirtualMachineConfiguration *configuration,
                                 const struct vtz_config *config, struct vtz_outcome *out)
{
    VZGenericPlatformConfiguration *platform =
        [[[VZGenericPlatformConfiguration alloc] init] autorelease];
    configuration.platform = platform;
    return add_machine_identifier(platform, config, out) && add_nested(platform, config, out);
}

static BOOL boot_linux(VZVirtualMachineConfiguration *configuration, const struct vtz_boot *boot)
{
    VZLinuxBootLoader *loader =
        [[[VZLinuxBootLoader alloc] initWithKernelURL:vtz_file_url(boot->kernel)] autorelease];
    if (boot->cmdline)
        loader.commandLine = vtz_string(boot->cmdline);
    if (boot->initrd)
        loader.initialRamdiskURL = vtz_file_url(boot->initrd);
    configuration.bootLoader = loader;
    return YES;
}

static BOOL boot_efi(VZVirtualMachineConfiguration *configuration, const struct vtz_boot *boot,
                     struct vtz_outcome *out)
{
    if (VTZ_HAS(13.0)) {
        NSError *error = nil;
        NSURL *url = vtz_file_url(boot->variables);
        VZEFIBootLoader *loader = [[[VZEFIBootLoader alloc] init] autorelease];
        VZEFIVariableStore *store;
        if (exists(boot->variables)) {
            store = [[[VZEFIVariableStore alloc] initWithURL:url] autorelease];
        } else {
            store =
                [[[VZEFIVariableStore alloc] initCreatingVariableStoreAtURL:url
                                                                    options:0
                                                                      error:&error] autorelease];
            fresh = store ? boot->variables : NULL;
        }
        if (!store) {
            vtz_fail_error(&out->failure, error, "config.boot.variables");
            return NO;
        }
        loader.variableStore = store;
        configuration.bootLoader = loader;
        return YES;
    }
    vtz_refuse(&out->failure, VT_APPLE_EFI, "config.boot.kind");
    return NO;
}

/* ---- macOS guests ---- */

#if VTZ_APPLE_SILICON
/* Existing storage is opened by another call from macOS 13 on. */
static VZMacAuxiliaryStorage *auxiliary_at(NSURL *url)
{
    if (VTZ_HAS(13.0))
        return [[[VZMacAuxiliaryStorage alloc] initWithURL:url] autorelease];
    return [[[VZMacAuxiliaryStorage alloc] initWithContentsOfURL:url] autorelease];
}

static BOOL add_auxiliary(VZMacPlatformConfiguration *platform, const struct vtz_boot *boot,
                          struct vtz_outcome *out)
{
    NSError *error = nil;
    NSURL *url = vtz_file_url(boot->auxiliary);
    VZMacAuxiliaryStorage *storage;
    if (exists(boot->auxiliary)) {
        storage = auxiliary_at(url);
    } else {
        storage = [[[VZMacAuxiliaryStorage alloc] initCreatingStorageAtURL:url
                                                             hardwareModel:platform.hardwareModel
                                                                   options:0
                                                                     error:&error] autorelease];
        fresh = storage ? boot->auxiliary : NULL;
    }
    if (!storage)
        vtz_fail_error(&out->failure, error, "config.boot.auxiliary");
    platform.auxiliaryStorage = storage;
    return storage != nil;
}

static BOOL add_mac_identity(VZMacPlatformConfiguration *platform, const struct vtz_config *config,
                             struct vtz_outcome *out)
{
    NSData *model_data = vtz_data(config->boot.hardware_model);
    VZMacHardwareModel *model =
        model_data ? [[[VZMacHardwareModel alloc]
                         initWithDataRepresentation:(NSData *_Nonnull)model_data] autorelease]
                   : nil;
    VZMacMachineIdentifier *identifier;
    if (!model) {
        vtz_fail(&out->failure, VTZ_BAD_REQUEST,
                 "config.boot.hardware_model: is no hardware model");
        return NO;
    }
    if (![model isSupported]) {
        vtz_fail(
            &out->failure, VTZ_UNSUPPORTED,
            "config.boot.hardware_model: this host does not support the guest's hardware model; "
            "a newer macOS on the host may");
        return NO;
    }
    if (config->machine_identifier) {
        NSData *data = vtz_data(config->machine_identifier);
        identifier = data ? [[[VZMacMachineIdentifier alloc]
                                initWithDataRepresentation:(NSData *_Nonnull)data] autorelease]
                          : nil;
    } else {
        identifier = [[[VZMacMachineIdentifier alloc] init] autorelease];
        out->made.machine_identifier = vtz_base64(identifier.dataRepresentation);
    }
    if (!identifier) {
        vtz_fail(&out->failure, VTZ_BAD_REQUEST,
                 "config.machine_identifier: is none of a macOS guest");
        return NO;
    }
    platform.hardwareModel = (VZMacHardwareModel *_Nonnull)model;
    platform.machineIdentifier = (VZMacMachineIdentifier *_Nonnull)identifier;
    return YES;
}

static BOOL boot_macos(VZVirtualMachineConfiguration *configuration,
                       const struct vtz_config *config, struct vtz_outcome *out)
{
    VZMacPlatformConfiguration *platform = [[[VZMacPlatformConfiguration alloc] init] autorelease];
    if (!add_mac_identity(platform, config, out) || !add_auxiliary(platform, &config->boot, out))
        return NO;
    configuration.platform = platform;
    configuration.bootLoader = [[[VZMacOSBootLoader alloc] init] autorelease];
    return YES;
}
#else
static BOOL boot_macos(VZVirtualMachineConfiguration *configuration,
                       const struct vtz_config *config, struct vtz_outcome *out)
{
    (void)configuration;
    (void)config;
    vtz_refuse(&out->failure, VT_APPLE_MACOS_GUEST, "config.boot.kind");
    return NO;
}
#endif

/* ---- the whole ---- */

static BOOL add_boot(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                     struct vtz_outcome *out)
{
    switch (config->boot.kind) {
    case VTZ_BOOT_LINUX:
        return boot_linux(configuration, &config->boot) &&
               add_generic_platform(configuration, config, out);
    case VTZ_BOOT_EFI:
        return add_generic_platform(configuration, config, out) &&
               boot_efi(configuration, &config->boot, out);
    case VTZ_BOOT_MACOS:
        return boot_macos(configuration, config, out);
    }
    return NO;
}

static void add_small_devices(VZVirtualMachineConfiguration *configuration,
                              const struct vtz_config *config)
{
    if (config->entropy)
        configuration.entropyDevices =
            @[ [[[VZVirtioEntropyDeviceConfiguration alloc] init] autorelease] ];
    if (config->balloon)
        configuration.memoryBalloonDevices =
            @[ [[[VZVirtioTraditionalMemoryBalloonDeviceConfiguration alloc] init] autorelease] ];
    if (config->port_count)
        configuration.socketDevices =
            @[ [[[VZVirtioSocketDeviceConfiguration alloc] init] autorelease] ];
    if (VTZ_HAS(15.0)) /* for disks that are plugged in later */
        configuration.usbControllers =
            @[ [[[VZXHCIControllerConfiguration alloc] init] autorelease] ];
}

static BOOL check_limits(const struct vtz_config *config, struct vtz_outcome *out)
{
    NSUInteger min_cpus = [VZVirtualMachineConfiguration minimumAllowedCPUCount];
    NSUInteger max_cpus = [VZVirtualMachineConfiguration maximumAllowedCPUCount];
    uint64_t min_memory = [VZVirtualMachineConfiguration minimumAllowedMemorySize];
    uint64_t max_memory = [VZVirtualMachineConfiguration maximumAllowedMemorySize];
    if (config->cpus < min_cpus || config->cpus > max_cpus)
        vtz_fail(&out->failure, VTZ_BAD_REQUEST, "config.cpus: this host takes from %lu to %lu",
                 (unsigned long)min_cpus, (unsigned long)max_cpus);
    if (config->memory < min_memory || config->memory > max_memory)
        vtz_fail(&out->failure, VTZ_BAD_REQUEST,
                 "config.memory: this host takes from %llu to %llu bytes",
                 (unsigned long long)min_memory, (unsigned long long)max_memory);
    return !out->failure.message;
}

VZVirtualMachineConfiguration *vtz_configuration(const struct vtz_config *config,
                                                 struct vtz_outcome *out)
{
    NSError *error = nil;
    VZVirtualMachineConfiguration *configuration =
        [[[VZVirtualMachineConfiguration alloc] init] autorelease];
    fresh = NULL;
    configuration.CPUCount = config->cpus;
    configuration.memorySize = config->memory;
    add_small_devices(configuration, config);
    if (check_limits(config, out) && add_boot(configuration, config, out) &&
        vtz_add_disks(configuration, config, out) && vtz_add_nics(configuration, config, out) &&
        vtz_add_shares(configuration, config, out) && vtz_add_screen(configuration, config, out) &&
        vtz_add_consoles(configuration, config, out)) {
        if ([configuration validateWithError:&error])
            return configuration;
        vtz_fail_error(&out->failure, error, "config");
    }
    if (fresh)
        unlink(fresh);
    return nil;
}
