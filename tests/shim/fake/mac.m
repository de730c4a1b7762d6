/* The fake's macOS guests: an IPSW is a text file "ipsw BUILD MAJOR MINOR [unsupported]". */
#import <Virtualization/Virtualization.h>

#include "accessors.h"
#include "machine.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

@implementation VZMacHardwareModel
- (instancetype)initWithDataRepresentation:(NSData *)data
{
    fake_need(data, _cmd);
    self = [super init];
    if ([data length] < 4 || memcmp([data bytes], "Mac", 3) != 0) {
        [self release];
        return nil;
    }
    [self keep:data as:@"dataRepresentation"];
    return self;
}
- (BOOL)isSupported
{
    return ![[self dataRepresentation] isEqual:[NSData dataWithBytes:"Mac9" length:4]];
}
READS(NSData *, dataRepresentation)
@end

@implementation VZMacMachineIdentifier
- (instancetype)init
{
    if ((self = [super init]))
        [self keep:[[@"ECID"
                       stringByAppendingString:[[NSProcessInfo processInfo] globallyUniqueString]]
                       dataUsingEncoding:NSUTF8StringEncoding]
                as:@"dataRepresentation"];
    return self;
}
- (instancetype)initWithDataRepresentation:(NSData *)data
{
    fake_need(data, _cmd);
    self = [super init];
    if ([data length] < 4 || memcmp([data bytes], "ECID", 4) != 0) {
        [self release];
        return nil;
    }
    [self keep:data as:@"dataRepresentation"];
    return self;
}
READS(NSData *, dataRepresentation)
@end

@implementation VZMacAuxiliaryStorage
- (instancetype)initWithContentsOfURL:(NSURL *)url
{
    return [self initWithURL:url];
}
- (instancetype)initWithURL:(NSURL *)url
{
    fake_need(url, _cmd);
    if (![[NSFileManager defaultManager] fileExistsAtPath:[url path]])
        fake_broken("there is no such auxiliary storage", _cmd);
    return [super init];
}
- (instancetype)initCreatingStorageAtURL:(NSURL *)url
                           hardwareModel:(VZMacHardwareModel *)hardwareModel
                                 options:(VZMacAuxiliaryStorageInitializationOptions)options
                                   error:(NSError **)error
{
    fake_need(url, _cmd);
    fake_need(hardwareModel, _cmd);
    if (options || [[NSFileManager defaultManager] fileExistsAtPath:[url path]])
        fake_broken("the auxiliary storage of a user would be overwritten", _cmd);
    if (!fake_failing("auxiliary") &&
        [[NSData dataWithBytes:"auxiliary" length:9] writeToFile:[url path] atomically:NO])
        return [super init];
    if (error)
        *error = fake_failing("auxiliary") ? fake_injected("auxiliary")
                                           : fake_error(VZErrorInternal, @"It cannot be made.");
    [self release];
    return nil;
}
@end

@implementation VZMacPlatformConfiguration
COPIES(VZMacHardwareModel *, hardwareModel, setHardwareModel)
COPIES(VZMacMachineIdentifier *, machineIdentifier, setMachineIdentifier)
HOLDS(VZMacAuxiliaryStorage *, auxiliaryStorage, setAuxiliaryStorage)
@end

EMPTY(VZMacOSBootLoader)
EMPTY(VZMacKeyboardConfiguration)
EMPTY(VZMacTrackpadConfiguration)
EMPTY(VZGuestProvisioningOptions)
EMPTY(VZVirtualMachineStartOptions)

@implementation VZMacGraphicsDisplayConfiguration
- (instancetype)initWithWidthInPixels:(NSInteger)width
                       heightInPixels:(NSInteger)height
                        pixelsPerInch:(NSInteger)pixelsPerInch
{
    if (width < 1 || height < 1 || pixelsPerInch < 1)
        fake_broken("there is no such size", _cmd);
    return [super init];
}
@end

@implementation VZMacGraphicsDeviceConfiguration
COPIES(NSArray *, displays, setDisplays)
@end

@implementation VZMacGuestProvisioningOptions
COPIES(NSString *, fullName, setFullName)
COPIES(NSString *, username, setUsername)
COPIES(NSString *, password, setPassword)
COUNTS(BOOL, logsInAutomatically, setLogsInAutomatically)
COUNTS(BOOL, enablesRemoteLogin, setEnablesRemoteLogin)
@end

@implementation VZMacOSVirtualMachineStartOptions
COUNTS(BOOL, startUpFromMacOSRecovery, setStartUpFromMacOSRecovery)
- (BOOL)setGuestProvisioningOptions:(VZMacGuestProvisioningOptions *)options error:(NSError **)error
{
    NSError *wrong = nil;
    if (![[options username] length])
        wrong = fake_error(VZErrorGuestProvisioningInvalidUsername, @"The username is invalid.");
    else if ([[options password] length] < 4)
        wrong = fake_error(VZErrorGuestProvisioningInvalidPassword, @"The password is too short.");
    return !wrong || fake_fails(error, wrong);
}
@end

/* ---- restore images ---- */

@implementation VZMacOSConfigurationRequirements
READS(VZMacHardwareModel *, hardwareModel)
- (NSUInteger)minimumSupportedCPUCount
{
    return 2;
}
- (uint64_t)minimumSupportedMemorySize
{
    return 4ull << 30;
}
@end

@implementation VZMacOSRestoreImage
- (NSOperatingSystemVersion)operatingSystemVersion
{
    NSOperatingSystemVersion version = {
        [[self valueOf:@"major"] integerValue], [[self valueOf:@"minor"] integerValue], 0};
    return version;
}
- (VZMacOSConfigurationRequirements *)mostFeaturefulSupportedConfiguration
{
    VZMacOSConfigurationRequirements *needs;
    VZMacHardwareModel *model;
    if ([self valueOf:@"unsupported"])
        return nil;
    needs = [[[VZMacOSConfigurationRequirements alloc] init] autorelease];
    model = [[[VZMacHardwareModel alloc]
        initWithDataRepresentation:[NSData dataWithBytes:"Mac2" length:4]] autorelease];
    [needs keep:model as:@"hardwareModel"];
    return needs;
}
READS(NSURL *, URL)
READS(NSString *, buildVersion)

- (BOOL)read:(NSString *)text
{
    char build[16], unsupported[16] = "";
    int major, minor;
    if (sscanf([text UTF8String] ?: "", "ipsw %15s %d %d %15s", build, &major, &minor,
               unsupported) < 3)
        return NO;
    [self keep:[NSString stringWithUTF8String:build] as:@"buildVersion"];
    [self keep:@(major) as:@"major"];
    [self keep:@(minor) as:@"minor"];
    if (*unsupported)
        [self keep:@"yes" as:@"unsupported"];
    return YES;
}

struct answer {
    void (^done)(VZMacOSRestoreImage *, NSError *);
    VZMacOSRestoreImage *image;
};

/* As Apple's does: on a thread that is nobody's queue. */
static void *answer_elsewhere(void *user)
{
    struct answer *answer = user;
    GSRegisterCurrentThread();
    @autoreleasepool {
        NSError *why = fake_failing("restore_image")
                           ? fake_injected("restore_image")
                           : fake_error(VZErrorInternal, @"The restore image cannot be read.");
        answer->done(answer->image, answer->image ? nil : why);
        [answer->done release];
        [answer->image release];
    }
    free(answer);
    GSUnregisterCurrentThread();
    return NULL;
}

static void answer_with(NSString *text, NSURL *url, void (^done)(VZMacOSRestoreImage *, NSError *))
{
    struct answer *answer = calloc(1, sizeof *answer);
    pthread_t thread;
    answer->done = [done copy];
    answer->image = [[VZMacOSRestoreImage alloc] init];
    [answer->image keep:url as:@"URL"];
    if (fake_failing("restore_image") || ![answer->image read:text]) {
        [answer->image release];
        answer->image = nil;
    }
    pthread_create(&thread, NULL, answer_elsewhere, answer);
    pthread_detach(thread);
}

+ (void)fetchLatestSupportedWithCompletionHandler:(void (^)(VZMacOSRestoreImage *, NSError *))done
{
    answer_with(@"ipsw 99A1 99 1", [NSURL URLWithString:@"https://example.org/latest.ipsw"], done);
}
+ (void)loadFileURL:(NSURL *)url completionHandler:(void (^)(VZMacOSRestoreImage *, NSError *))done
{
    fake_need(url, _cmd);
    answer_with([NSString stringWithContentsOfFile:[url path]
                                          encoding:NSUTF8StringEncoding
                                             error:NULL],
                url, done);
}
@end

/* ---- the installer ---- */

/* What the helper asks an NSProgress. GNUstep's own cannot be relied on: it crashes now and then
 * when it is freed. */
@interface FakeProgress : NSObject {
    double fraction;
    BOOL stopped;
}
- (void)setFraction:(double)value;
@end

@implementation FakeProgress
- (double)fractionCompleted
{
    return fraction;
}
- (void)setFraction:(double)value
{
    fraction = value;
}
- (BOOL)isCancelled
{
    return stopped;
}
- (void)cancel
{
    stopped = YES;
}
@end

@implementation VZMacOSInstaller
- (instancetype)initWithVirtualMachine:(VZVirtualMachine *)machine restoreImageURL:(NSURL *)url
{
    fake_need(machine, _cmd);
    fake_need(url, _cmd);
    fake_check_queue(_cmd);
    if (![[[machine valueOf:@"configuration"] platform]
            isKindOfClass:[VZMacPlatformConfiguration class]])
        [NSException raise:NSInvalidArgumentException format:@"The platform is not of macOS."];
    if (![url isFileURL] || ![[NSFileManager defaultManager] fileExistsAtPath:[url path]])
        [NSException raise:NSInvalidArgumentException format:@"The URL is of no file."];
    if ((self = [super init])) {
        [self keep:machine as:@"machine"];
        [self keep:[[[FakeProgress alloc] init] autorelease] as:@"progress"];
    }
    return self;
}
READS(NSProgress *, progress)

- (void)endWith:(NSError *)error then:(void (^)(NSError *))done
{
    fake_install(VZVirtualMachineStateStopped);
    done(error);
}

- (void)step:(int)steps then:(void (^)(NSError *))done
{
    FakeProgress *progress = (FakeProgress *)[self progress];
    int64_t piece = fake_number("VMTEST_FAKE_VZ_INSTALL_MS", 300) * (int64_t)NSEC_PER_MSEC / 10;
    [progress setFraction:steps / 10.0];
    if ([progress isCancelled])
        [self endWith:fake_error(VZErrorOperationCancelled, @"It was cancelled.") then:done];
    else if (steps == 8 && fake_failing("install")) /* late, as on a host that is too old */
        [self endWith:fake_injected("install") then:done];
    else if (steps == 10)
        [self endWith:nil then:done];
    else
        dispatch_after(dispatch_time(DISPATCH_TIME_NOW, piece), fake_queue_of_machine(), ^{
          [self step:steps + 1 then:done];
        });
}

- (void)installWithCompletionHandler:(void (^)(NSError *))done
{
    fake_check_queue(_cmd);
    if ([(VZVirtualMachine *)[self valueOf:@"machine"] state] != VZVirtualMachineStateStopped)
        fake_broken("macOS is installed into a VM that is stopped", _cmd);
    fake_install(VZVirtualMachineStateRunning);
    [self step:0 then:[[done copy] autorelease]];
}
@end
