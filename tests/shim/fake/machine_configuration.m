/* The fake's configuration as a whole: what it takes, and whether it can be saved. */
#import <Virtualization/Virtualization.h>

#include "accessors.h"

bool fake_savable;

static BOOL has_one_of(NSArray *devices, Class class)
{
    for (id device in devices)
        if ([device isKindOfClass:class])
            return YES;
    return NO;
}

static BOOL is_shareable(VZDirectoryShare *share)
{
    BOOL folder = YES;
    NSArray *directories = nil;
    if ([share isKindOfClass:[VZSingleDirectoryShare class]])
        directories = @[ [(VZSingleDirectoryShare *)share directory] ];
    else if ([share isKindOfClass:[VZMultipleDirectoryShare class]])
        directories = [[(VZMultipleDirectoryShare *)share directories] allValues];
    for (VZSharedDirectory *directory in directories)
        if (![[NSFileManager defaultManager] fileExistsAtPath:[[directory URL] path]
                                                  isDirectory:&folder] ||
            !folder)
            return NO;
    return YES;
}

/* A Spice agent's port has its own name, and is no console. */
static BOOL is_agent_port(VZVirtioConsolePortConfiguration *port)
{
    return [[port name] isEqualToString:[VZSpiceAgentPortAttachment spiceAgentPortName]] &&
           ![port isConsole];
}

@interface VZVirtualMachineConfiguration (Fake)
- (NSString *)whyOfDevices;
@end

@implementation VZVirtualMachineConfiguration
HOLDS(VZBootLoader *, bootLoader, setBootLoader)
COUNTS(uint64_t, memorySize, setMemorySize)
COUNTS(NSUInteger, CPUCount, setCPUCount)
HOLDS(VZPlatformConfiguration *, platform, setPlatform)
COPIES(NSArray *, directorySharingDevices, setDirectorySharingDevices)
COPIES(NSArray *, entropyDevices, setEntropyDevices)
COPIES(NSArray *, memoryBalloonDevices, setMemoryBalloonDevices)
COPIES(NSArray *, networkDevices, setNetworkDevices)
COPIES(NSArray *, serialPorts, setSerialPorts)
COPIES(NSArray *, consoleDevices, setConsoleDevices)
COPIES(NSArray *, socketDevices, setSocketDevices)
COPIES(NSArray *, storageDevices, setStorageDevices)
COPIES(NSArray *, usbControllers, setUsbControllers)
COPIES(NSArray *, keyboards, setKeyboards)
COPIES(NSArray *, pointingDevices, setPointingDevices)
COPIES(NSArray *, graphicsDevices, setGraphicsDevices)

+ (uint64_t)minimumAllowedMemorySize
{
    return 128ull << 20;
}
+ (uint64_t)maximumAllowedMemorySize
{
    return 64ull << 30;
}
+ (NSUInteger)minimumAllowedCPUCount
{
    return 1;
}
+ (NSUInteger)maximumAllowedCPUCount
{
    return 8;
}

- (NSString *)whyInvalid
{
    Class class = [self class];
    BOOL mac = [[self bootLoader] isKindOfClass:[VZMacOSBootLoader class]];
    if (fake_on("VMTEST_FAKE_VZ_NO_ENTITLEMENT"))
        return @"The process doesn’t have the “com.apple.security.virtualization” entitlement.";
    if (fake_on("VMTEST_FAKE_VZ_UNSUPPORTED"))
        return @"Virtualization is not available on this hardware.";
    if (![self bootLoader])
        return @"There is no boot loader.";
    if ([self CPUCount] < [class minimumAllowedCPUCount] ||
        [self CPUCount] > [class maximumAllowedCPUCount])
        return @"The number of processors is invalid.";
    if ([self memorySize] % (1 << 20) || [self memorySize] < [class minimumAllowedMemorySize] ||
        [self memorySize] > [class maximumAllowedMemorySize])
        return @"The memory size is invalid.";
    if (mac != [[self platform] isKindOfClass:[VZMacPlatformConfiguration class]])
        return @"The boot loader does not go with the platform.";
    if (mac && ![[self graphicsDevices] count])
        return @"A macOS guest needs a graphics device.";
    if (mac && (![[self keyboards] count] || ![[self pointingDevices] count]))
        return @"A macOS guest needs a keyboard and a pointing device.";
    return [self whyOfDevices];
}

- (NSString *)whyOfDevices
{
    id platform = [self platform];
    if ([platform isKindOfClass:[VZMacPlatformConfiguration class]] &&
        (![[platform hardwareModel] isSupported] || ![platform auxiliaryStorage]))
        return @"The hardware model is not supported, or there is no auxiliary storage.";
    if (![platform isKindOfClass:[VZGenericPlatformConfiguration class]] &&
        has_one_of([self storageDevices], [VZNVMExpressControllerDeviceConfiguration class]))
        return @"An NVM Express controller needs a generic platform.";
    if ([[self memoryBalloonDevices] count] > 1 || [[self socketDevices] count] > 1)
        return @"There is more than one memory balloon or socket device.";
    for (VZVirtioConsoleDeviceConfiguration *device in [self consoleDevices]) {
        VZVirtioConsolePortConfiguration *port = [[device ports] objectAtIndexedSubscript:0];
        if ([[port attachment] isKindOfClass:[VZSpiceAgentPortAttachment class]] &&
            !is_agent_port(port))
            return @"A port of a Spice agent is named otherwise, or a console.";
    }
    for (VZVirtioFileSystemDeviceConfiguration *device in [self directorySharingDevices])
        if (!is_shareable([device share]))
            return @"A shared directory is no directory.";
    return nil;
}

- (BOOL)validateWithError:(NSError **)error
{
    NSString *why = [self whyInvalid];
    [self keep:@(why == nil) as:@"validated"];
    return !why || fake_fails(error, fake_error(VZErrorInvalidVirtualMachineConfiguration, why));
}

- (BOOL)validateSaveRestoreSupportWithError:(NSError **)error
{
    NSArray *input = [[self keyboards] ?: [NSArray array]
        arrayByAddingObjectsFromArray:[self pointingDevices] ?: [NSArray array]];
    for (id device in input)
        if ([NSStringFromClass([device class]) hasPrefix:@"VZUSB"])
            return fake_fails(error, fake_error(VZErrorInvalidVirtualMachineConfiguration,
                                                @"A USB input device cannot be saved."));
    fake_savable = true;
    return YES;
}
@end
