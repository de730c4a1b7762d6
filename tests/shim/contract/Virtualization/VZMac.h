/* macOS guests, which run on Apple silicon alone. */
#ifndef VT_CONTRACT_VZMAC_H
#define VT_CONTRACT_VZMAC_H

#import <Virtualization/VZMachine.h>

#if VZ_ON_ARM64
NS_ASSUME_NONNULL_BEGIN

API_AVAILABLE(macos(12.0))
@interface VZMacHardwareModel : VZ_ROOT <NSCopying>
VZ_NO_INIT;
- (nullable instancetype)initWithDataRepresentation:(NSData *)dataRepresentation;
@property(readonly, copy) NSData *dataRepresentation;
@property(readonly, getter=isSupported) BOOL supported;
@end

API_AVAILABLE(macos(12.0))
@interface VZMacMachineIdentifier : VZ_ROOT <NSCopying>
- (instancetype)init;
- (nullable instancetype)initWithDataRepresentation:(NSData *)dataRepresentation;
@property(readonly, copy) NSData *dataRepresentation;
@end

typedef NS_OPTIONS(NSUInteger, VZMacAuxiliaryStorageInitializationOptions) {
    VZMacAuxiliaryStorageInitializationOptionAllowOverwrite = 1 << 0
} API_AVAILABLE(macos(12.0));

API_AVAILABLE(macos(12.0))
@interface VZMacAuxiliaryStorage : VZ_ROOT
VZ_NO_INIT;
- (instancetype)initWithContentsOfURL:(NSURL *)URL; /* the older name */
- (instancetype)initWithURL:(NSURL *)URL API_AVAILABLE(macos(13.0));
- (nullable instancetype)initCreatingStorageAtURL:(NSURL *)URL
                                    hardwareModel:(VZMacHardwareModel *)hardwareModel
                                          options:
                                              (VZMacAuxiliaryStorageInitializationOptions)options
                                            error:(NSError *_Nullable *_Nullable)error;
@end

API_AVAILABLE(macos(12.0))
@interface VZMacPlatformConfiguration : VZPlatformConfiguration
- (instancetype)init;
@property(copy) VZMacHardwareModel *hardwareModel;
@property(copy) VZMacMachineIdentifier *machineIdentifier;
@property(nullable, strong) VZMacAuxiliaryStorage *auxiliaryStorage;
@end

API_AVAILABLE(macos(12.0))
@interface VZMacOSBootLoader : VZBootLoader
- (instancetype)init;
@end

VZ_NEWER_SUPER_BEGIN
API_AVAILABLE(macos(12.0))
@interface VZMacGraphicsDisplayConfiguration : VZGraphicsDisplayConfiguration
VZ_NEWER_SUPER_END
VZ_NO_INIT;
- (instancetype)initWithWidthInPixels:(NSInteger)widthInPixels
                       heightInPixels:(NSInteger)heightInPixels
                        pixelsPerInch:(NSInteger)pixelsPerInch;
@end

API_AVAILABLE(macos(12.0))
@interface VZMacGraphicsDeviceConfiguration : VZGraphicsDeviceConfiguration
- (instancetype)init;
@property(copy) NSArray<VZMacGraphicsDisplayConfiguration *> *displays;
@end

API_AVAILABLE(macos(14.0))
@interface VZMacKeyboardConfiguration : VZKeyboardConfiguration
- (instancetype)init;
@end

API_AVAILABLE(macos(13.0))
@interface VZMacTrackpadConfiguration : VZPointingDeviceConfiguration
- (instancetype)init;
@end

API_AVAILABLE(macos(27.0))
@interface VZGuestProvisioningOptions : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(27.0))
@interface VZMacGuestProvisioningOptions : VZGuestProvisioningOptions
- (instancetype)init;
@property(copy) NSString *fullName;
@property(copy) NSString *username;
@property(copy) NSString *password;
@property BOOL logsInAutomatically;
@property BOOL enablesRemoteLogin;
@end

API_AVAILABLE(macos(13.0))
@interface VZMacOSVirtualMachineStartOptions : VZVirtualMachineStartOptions
@property BOOL startUpFromMacOSRecovery;
/* The property is read-only; this checks the options and sets them. */
- (BOOL)setGuestProvisioningOptions:
            (nullable VZMacGuestProvisioningOptions *)guestProvisioningOptions
                              error:(NSError *_Nullable *_Nullable)error API_AVAILABLE(macos(27.0));
@end

API_AVAILABLE(macos(12.0))
@interface VZMacOSConfigurationRequirements : VZ_ROOT
VZ_NO_INIT;
@property(readonly, strong) VZMacHardwareModel *hardwareModel;
@property(readonly) NSUInteger minimumSupportedCPUCount;
@property(readonly) uint64_t minimumSupportedMemorySize;
@end

API_AVAILABLE(macos(12.0))
@interface VZMacOSRestoreImage : VZ_ROOT
VZ_NO_INIT;
+ (void)fetchLatestSupportedWithCompletionHandler:
    (void (^)(VZMacOSRestoreImage *_Nullable restoreImage,
              NSError *_Nullable error))completionHandler;
+ (void)loadFileURL:(NSURL *)fileURL
    completionHandler:(void (^)(VZMacOSRestoreImage *_Nullable restoreImage,
                                NSError *_Nullable error))completionHandler;
@property(readonly, copy) NSURL *URL;
@property(readonly, copy) NSString *buildVersion;
@property(readonly) NSOperatingSystemVersion operatingSystemVersion;
@property(nullable, readonly, strong)
    VZMacOSConfigurationRequirements *mostFeaturefulSupportedConfiguration;
@end

API_AVAILABLE(macos(12.0))
@interface VZMacOSInstaller : VZ_ROOT
VZ_NO_INIT;
- (instancetype)initWithVirtualMachine:(VZVirtualMachine *)virtualMachine
                       restoreImageURL:(NSURL *)restoreImageFileURL;
- (void)installWithCompletionHandler:(void (^)(NSError *_Nullable error))completionHandler;
@property(readonly, strong) NSProgress *progress;
@end

NS_ASSUME_NONNULL_END
#endif

#endif
