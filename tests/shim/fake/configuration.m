/* The fake's configuration objects, but those of macOS guests. */
#import <Virtualization/Virtualization.h>

#include "accessors.h"
#include "identity.h"
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

bool fake_savable;

static off_t size_of(NSURL *url)
{
    struct stat st;
    return stat([[url path] fileSystemRepresentation], &st) ? -1 : st.st_size;
}

static BOOL fails(NSError **error, NSError *why)
{
    if (error)
        *error = why;
    return NO;
}

/* ---- platforms and boot loaders ---- */

EMPTY(VZPlatformConfiguration)
EMPTY(VZBootLoader)

@implementation VZGenericMachineIdentifier
- (instancetype)init
{
    if ((self = [super init]))
        [self keep:[[[NSProcessInfo processInfo] globallyUniqueString]
                       dataUsingEncoding:NSUTF8StringEncoding]
                as:@"dataRepresentation"];
    return self;
}
- (instancetype)initWithDataRepresentation:(NSData *)data
{
    fake_need(data, _cmd);
    if ((self = [super init]))
        [self keep:data as:@"dataRepresentation"];
    if ([data length] >= 8) /* what is shorter is no identifier */
        return self;
    [self release];
    return nil;
}
READS(NSData *, dataRepresentation)
@end

@implementation VZGenericPlatformConfiguration
+ (BOOL)isNestedVirtualizationSupported
{
    return fake_on("VMTEST_FAKE_VZ_NESTED");
}
- (BOOL)isNestedVirtualizationEnabled
{
    return [[self valueOf:@"nested"] boolValue];
}
- (void)setNestedVirtualizationEnabled:(BOOL)enabled
{
    [self keep:@(enabled) as:@"nested"];
}
COPIES(VZGenericMachineIdentifier *, machineIdentifier, setMachineIdentifier)
@end

@implementation VZLinuxBootLoader
- (instancetype)initWithKernelURL:(NSURL *)url
{
    fake_need(url, _cmd);
    if ((self = [super init]))
        [self keep:url as:@"kernelURL"];
    return self;
}
COPIES(NSURL *, kernelURL, setKernelURL)
COPIES(NSString *, commandLine, setCommandLine)
HOLDS(NSURL *, initialRamdiskURL, setInitialRamdiskURL)
@end

@implementation VZEFIVariableStore
- (instancetype)initWithURL:(NSURL *)url
{
    fake_need(url, _cmd);
    if (![[NSFileManager defaultManager] fileExistsAtPath:[url path]])
        fake_broken("there is no such variable store", _cmd);
    if ((self = [super init]))
        [self keep:url as:@"URL"];
    return self;
}
- (instancetype)initCreatingVariableStoreAtURL:(NSURL *)url
                                       options:(VZEFIVariableStoreInitializationOptions)options
                                         error:(NSError **)error
{
    fake_need(url, _cmd);
    if (options)
        fake_broken("the variables of a user would be overwritten", _cmd);
    if (!fake_failing("variables") &&
        [[NSData dataWithBytes:"variables" length:9] writeToFile:[url path] atomically:NO])
        return [self initWithURL:url];
    fails(error, fake_failing("variables") ? fake_injected("variables")
                                           : fake_error(VZErrorInternal, @"It cannot be made."));
    [self release];
    return nil;
}
READS(NSURL *, URL)
@end

@implementation VZEFIBootLoader
HOLDS(VZEFIVariableStore *, variableStore, setVariableStore)
@end

/* ---- disks ---- */

EMPTY(VZStorageDeviceAttachment)

@implementation VZDiskImageStorageDeviceAttachment
- (instancetype)initWithURL:(NSURL *)url
                   readOnly:(BOOL)readOnly
                cachingMode:(VZDiskImageCachingMode)cachingMode
        synchronizationMode:(VZDiskImageSynchronizationMode)synchronizationMode
                      error:(NSError **)error
{
    fake_need(url, _cmd);
    self = [super init];
    if (size_of(url) <= 0 || size_of(url) % 512) {
        fails(error, fake_error(VZErrorInvalidDiskImage, @"Invalid disk image."));
        [self release];
        return nil;
    }
    if (synchronizationMode < 1 || synchronizationMode > 3 || cachingMode < 0 || cachingMode > 2)
        fake_broken("there is no such mode", _cmd);
    [self keep:url as:@"URL"];
    [self keep:@(readOnly) as:@"readOnly"];
    return self;
}
- (BOOL)isReadOnly
{
    return [[self valueOf:@"readOnly"] boolValue];
}
READS(NSURL *, URL)
@end

@implementation VZNetworkBlockDeviceStorageDeviceAttachment
- (instancetype)initWithURL:(NSURL *)url
                    timeout:(NSTimeInterval)timeout
             forcedReadOnly:(BOOL)forcedReadOnly
        synchronizationMode:(VZDiskSynchronizationMode)synchronizationMode
                      error:(NSError **)error
{
    fake_need(url, _cmd);
    self = [super init];
    if (timeout <= 0 || synchronizationMode < 0 || synchronizationMode > 1)
        fake_broken("there is no such mode or timeout", _cmd);
    if (![[url scheme] hasPrefix:@"nbd"]) {
        fails(error, fake_error(VZErrorInvalidDiskImage, @"Invalid URL."));
        [self release];
        return nil;
    }
    [self keep:url as:@"URL"];
    [self keep:@(forcedReadOnly) as:@"readOnly"];
    return self;
}
- (BOOL)isForcedReadOnly
{
    return [[self valueOf:@"readOnly"] boolValue];
}
READS(NSURL *, URL)
@end

@implementation VZStorageDeviceConfiguration
READS(VZStorageDeviceAttachment *, attachment)
@end

#define WITH_ATTACHMENT                                                                            \
    -(instancetype)initWithAttachment : (VZStorageDeviceAttachment *)attachment                    \
    {                                                                                              \
        fake_need(attachment, _cmd);                                                               \
        if ((self = [super init]))                                                                 \
            [self keep:attachment as:@"attachment"];                                               \
        return self;                                                                               \
    }

@implementation VZVirtioBlockDeviceConfiguration
WITH_ATTACHMENT
COPIES(NSString *, blockDeviceIdentifier, setBlockDeviceIdentifier)
@end

@implementation VZNVMExpressControllerDeviceConfiguration
WITH_ATTACHMENT
@end

@implementation VZUSBMassStorageDeviceConfiguration
- (instancetype)initWithAttachment:(VZStorageDeviceAttachment *)attachment
{
    fake_need(attachment, _cmd);
    if ((self = [super init])) {
        [self keep:attachment as:@"attachment"];
        [self keep:[NSUUID UUID] as:@"uuid"];
    }
    return self;
}
COPIES(NSUUID *, uuid, setUuid)
@end

EMPTY(VZUSBControllerConfiguration)
EMPTY(VZXHCIControllerConfiguration)
EMPTY(VZStorageDevice)

@implementation VZUSBMassStorageDevice
- (instancetype)initWithConfiguration:(VZUSBMassStorageDeviceConfiguration *)configuration
{
    fake_need(configuration, _cmd);
    if ((self = [super init]))
        [self keep:configuration as:@"configuration"];
    return self;
}
@end

/* ---- networks ---- */

EMPTY(VZNetworkDeviceAttachment)
EMPTY(VZNATNetworkDeviceAttachment)
EMPTY(VZVirtioNetworkDeviceConfiguration)
EMPTY(VZNetworkDevice)

@implementation VZMACAddress
- (instancetype)initWithString:(NSString *)string
{
    fake_need(string, _cmd);
    self = [super init];
    if ([string length] != 17) {
        [self release];
        return nil;
    }
    [self keep:[string lowercaseString] as:@"string"];
    return self;
}
+ (instancetype)randomLocallyAdministeredAddress
{
    uint32_t bits = fake_random();
    return [[[self alloc]
        initWithString:[NSString stringWithFormat:@"06:00:%02x:%02x:%02x:%02x", bits >> 24 & 255,
                                                  bits >> 16 & 255, bits >> 8 & 255, bits & 255]]
        autorelease];
}
READS(NSString *, string)
@end

@implementation VZBridgedNetworkInterface
+ (NSArray *)networkInterfaces
{
    static NSArray *all;
    if (!all) {
        VZBridgedNetworkInterface *named = [[self alloc] init], *other = [[self alloc] init];
        [named keep:@"en0" as:@"identifier"];
        [named keep:@"Wi-Fi" as:@"localizedDisplayName"];
        [other keep:@"en7" as:@"identifier"];
        all = [[NSArray alloc] initWithObjects:named, other, nil];
        [named release];
        [other release];
    }
    return all;
}
READS(NSString *, identifier)
READS(NSString *, localizedDisplayName)
@end

@implementation VZBridgedNetworkDeviceAttachment
- (instancetype)initWithInterface:(VZBridgedNetworkInterface *)interface
{
    fake_need(interface, _cmd);
    return [super init];
}
@end

@implementation VZNetworkDeviceConfiguration
COPIES(VZMACAddress *, MACAddress, setMACAddress)
HOLDS(VZNetworkDeviceAttachment *, attachment, setAttachment)
@end

/* ---- shares ---- */

EMPTY(VZDirectoryShare)
EMPTY(VZDirectorySharingDeviceConfiguration)

@implementation VZSharedDirectory
- (instancetype)initWithURL:(NSURL *)url readOnly:(BOOL)readOnly
{
    fake_need(url, _cmd);
    if ((self = [super init])) {
        [self keep:url as:@"URL"];
        [self keep:@(readOnly) as:@"readOnly"];
    }
    return self;
}
- (BOOL)isReadOnly
{
    return [[self valueOf:@"readOnly"] boolValue];
}
READS(NSURL *, URL)
@end

@implementation VZSingleDirectoryShare
- (instancetype)initWithDirectory:(VZSharedDirectory *)directory
{
    fake_need(directory, _cmd);
    if ((self = [super init]))
        [self keep:directory as:@"directory"];
    return self;
}
READS(VZSharedDirectory *, directory)
@end

@implementation VZMultipleDirectoryShare
+ (BOOL)validateName:(NSString *)name error:(NSError **)error
{
    if ([name length] && ![name hasPrefix:@"."] &&
        [name lengthOfBytesUsingEncoding:NSUTF8StringEncoding] <= NAME_MAX &&
        [name rangeOfString:@"/"].location == NSNotFound)
        return YES;
    return fails(error, fake_error(VZErrorInvalidVirtualMachineConfiguration, @"Invalid name."));
}
- (instancetype)initWithDirectories:(NSDictionary *)directories
{
    fake_need(directories, _cmd);
    for (NSString *name in directories)
        if (![[self class] validateName:name error:NULL])
            fake_broken("a name of a shared directory was not validated", _cmd);
    if ((self = [super init]))
        [self keep:[[directories copy] autorelease] as:@"directories"];
    return self;
}
READS(NSDictionary *, directories)
@end

@implementation VZLinuxRosettaDirectoryShare
+ (VZLinuxRosettaAvailability)availability
{
    const char *value = fake_on("VMTEST_FAKE_VZ_ROSETTA") ? getenv("VMTEST_FAKE_VZ_ROSETTA") : "";
    return *value == 'i'   ? VZLinuxRosettaAvailabilityInstalled
           : *value == 'n' ? VZLinuxRosettaAvailabilityNotInstalled
                           : VZLinuxRosettaAvailabilityNotSupported;
}
- (instancetype)initWithError:(NSError **)error
{
    self = [super init];
    if ([[self class] availability] == VZLinuxRosettaAvailabilityInstalled)
        return self;
    fails(error, fake_error(VZErrorNotSupported, @"Rosetta is not installed."));
    [self release];
    return nil;
}
@end

@implementation VZVirtioFileSystemDeviceConfiguration
+ (NSString *)macOSGuestAutomountTag
{
    return @"com.apple.virtio-fs.automount";
}
+ (BOOL)validateTag:(NSString *)tag error:(NSError **)error
{
    NSUInteger n = [tag lengthOfBytesUsingEncoding:NSUTF8StringEncoding];
    if (n && n < 36)
        return YES;
    return fails(error, fake_error(VZErrorInvalidVirtualMachineConfiguration, @"Invalid tag."));
}
- (instancetype)initWithTag:(NSString *)tag
{
    if (![[self class] validateTag:tag error:NULL])
        fake_broken("a tag was not validated", _cmd);
    if ((self = [super init]))
        [self keep:tag as:@"tag"];
    return self;
}
COPIES(NSString *, tag, setTag)
HOLDS(VZDirectoryShare *, share, setShare)
@end

/* ---- consoles ---- */

EMPTY(VZSerialPortAttachment)
EMPTY(VZVirtioConsoleDeviceSerialPortConfiguration)
EMPTY(VZConsoleDeviceConfiguration)

@implementation VZFileHandleSerialPortAttachment
- (instancetype)initWithFileHandleForReading:(NSFileHandle *)from
                        fileHandleForWriting:(NSFileHandle *)to
{
    if ((self = [super init])) {
        [self keep:from as:@"fileHandleForReading"];
        [self keep:to as:@"fileHandleForWriting"];
    }
    return self;
}
READS(NSFileHandle *, fileHandleForReading)
READS(NSFileHandle *, fileHandleForWriting)
@end

@implementation VZSpiceAgentPortAttachment
+ (NSString *)spiceAgentPortName
{
    return @"com.redhat.spice.0";
}
COUNTS(BOOL, sharesClipboard, setSharesClipboard)
@end

@implementation VZSerialPortConfiguration
HOLDS(VZSerialPortAttachment *, attachment, setAttachment)
@end

@implementation VZConsolePortConfiguration
HOLDS(VZSerialPortAttachment *, attachment, setAttachment)
@end

@implementation VZVirtioConsolePortConfiguration
HOLDS(NSString *, name, setName)
COUNTS(BOOL, isConsole, setIsConsole)
@end

@implementation VZVirtioConsolePortConfigurationArray
COUNTS(uint32_t, maximumPortCount, setMaximumPortCount)
- (VZVirtioConsolePortConfiguration *)objectAtIndexedSubscript:(NSUInteger)index
{
    return [self valueOf:[NSString stringWithFormat:@"%lu", (unsigned long)index]];
}
- (void)setObject:(VZVirtioConsolePortConfiguration *)port atIndexedSubscript:(NSUInteger)index
{
    [self keep:port as:[NSString stringWithFormat:@"%lu", (unsigned long)index]];
}
@end

@implementation VZVirtioConsoleDeviceConfiguration
- (instancetype)init
{
    if ((self = [super init]))
        [self keep:[[[VZVirtioConsolePortConfigurationArray alloc] init] autorelease] as:@"ports"];
    return self;
}
READS(VZVirtioConsolePortConfigurationArray *, ports)
@end

/* ---- small ones ---- */

EMPTY(VZEntropyDeviceConfiguration)
EMPTY(VZVirtioEntropyDeviceConfiguration)
EMPTY(VZMemoryBalloonDeviceConfiguration)
EMPTY(VZVirtioTraditionalMemoryBalloonDeviceConfiguration)
EMPTY(VZKeyboardConfiguration)
EMPTY(VZUSBKeyboardConfiguration)
EMPTY(VZPointingDeviceConfiguration)
EMPTY(VZUSBScreenCoordinatePointingDeviceConfiguration)
EMPTY(VZGraphicsDeviceConfiguration)
EMPTY(VZGraphicsDisplayConfiguration)
EMPTY(VZSocketDeviceConfiguration)
EMPTY(VZVirtioSocketDeviceConfiguration)

@implementation VZVirtioGraphicsScanoutConfiguration
- (instancetype)initWithWidthInPixels:(NSInteger)width heightInPixels:(NSInteger)height
{
    if (width < 1 || height < 1)
        fake_broken("there is no such size", _cmd);
    return [super init];
}
@end

@implementation VZVirtioGraphicsDeviceConfiguration
COPIES(NSArray *, scanouts, setScanouts)
@end

/* ---- the whole ---- */

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
    for (VZVirtioFileSystemDeviceConfiguration *device in [self directorySharingDevices])
        if (!is_shareable([device share]))
            return @"A shared directory is no directory.";
    return nil;
}

- (BOOL)validateWithError:(NSError **)error
{
    NSString *why = [self whyInvalid];
    [self keep:@(why == nil) as:@"validated"];
    return !why || fails(error, fake_error(VZErrorInvalidVirtualMachineConfiguration, why));
}

- (BOOL)validateSaveRestoreSupportWithError:(NSError **)error
{
    NSArray *input = [[self keyboards] ?: [NSArray array]
        arrayByAddingObjectsFromArray:[self pointingDevices] ?: [NSArray array]];
    for (id device in input)
        if ([NSStringFromClass([device class]) hasPrefix:@"VZUSB"])
            return fails(error, fake_error(VZErrorInvalidVirtualMachineConfiguration,
                                           @"A USB input device cannot be saved."));
    fake_savable = true;
    return YES;
}
@end
