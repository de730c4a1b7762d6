/* The fake's configuration objects, but those of macOS guests and the whole
 * (machine_configuration.m). */
#import <Virtualization/Virtualization.h>

#include "accessors.h"
#include "identity.h"
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

static off_t size_of(NSURL *url)
{
    struct stat st;
    return stat([[url path] fileSystemRepresentation], &st) ? -1 : st.st_size;
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
    fake_fails(error, fake_failing("variables")
                          ? fake_injected("variables")
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
        fake_fails(error, fake_error(VZErrorInvalidDiskImage, @"Invalid disk image."));
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
        fake_fails(error, fake_error(VZErrorInvalidDiskImage, @"Invalid URL."));
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
    unsigned bytes[6];
    int used = 0;
    self = [super init];
    if ([string length] == 17 &&
        sscanf([string UTF8String], "%2x:%2x:%2x:%2x:%2x:%2x%n", &bytes[0], &bytes[1], &bytes[2],
               &bytes[3], &bytes[4], &bytes[5], &used) == 6 &&
        used == 17) {
        [self keep:[string lowercaseString] as:@"string"];
        return self;
    }
    [self release];
    return nil;
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
    return fake_fails(error,
                      fake_error(VZErrorInvalidVirtualMachineConfiguration, @"Invalid name."));
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
    fake_fails(error, fake_error(VZErrorNotSupported, @"Rosetta is not installed."));
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
    return fake_fails(error,
                      fake_error(VZErrorInvalidVirtualMachineConfiguration, @"Invalid tag."));
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
    if ((from && fcntl([from fileDescriptor], F_GETFD) < 0) ||
        (to && fcntl([to fileDescriptor], F_GETFD) < 0))
        fake_broken("a file handle is of no open file", _cmd);
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
