/* Disks, and USB controllers. */
#ifndef VT_CONTRACT_VZSTORAGE_H
#define VT_CONTRACT_VZSTORAGE_H

#import <Virtualization/VZBase.h>

NS_ASSUME_NONNULL_BEGIN

typedef NS_ENUM(NSInteger, VZDiskImageCachingMode) {
    VZDiskImageCachingModeAutomatic = 0,
    VZDiskImageCachingModeUncached = 1,
    VZDiskImageCachingModeCached = 2
} API_AVAILABLE(macos(12.0));

typedef NS_ENUM(NSInteger, VZDiskImageSynchronizationMode) {
    VZDiskImageSynchronizationModeFull = 1,
    VZDiskImageSynchronizationModeFsync = 2,
    VZDiskImageSynchronizationModeNone = 3
} API_AVAILABLE(macos(12.0));

typedef NS_ENUM(NSInteger, VZDiskSynchronizationMode) {
    VZDiskSynchronizationModeFull = 0,
    VZDiskSynchronizationModeNone = 1
} API_AVAILABLE(macos(14.0));

API_AVAILABLE(macos(11.0))
@interface VZStorageDeviceAttachment : VZ_ROOT
VZ_NO_INIT;
@end

API_AVAILABLE(macos(11.0))
@interface VZDiskImageStorageDeviceAttachment : VZStorageDeviceAttachment
- (nullable instancetype)initWithURL:(NSURL *)URL
                            readOnly:(BOOL)readOnly
                         cachingMode:(VZDiskImageCachingMode)cachingMode
                 synchronizationMode:(VZDiskImageSynchronizationMode)synchronizationMode
                               error:(NSError *_Nullable *_Nullable)error
    API_AVAILABLE(macos(12.0));
@property(readonly, copy) NSURL *URL;
@property(readonly, getter=isReadOnly) BOOL readOnly;
@end

API_AVAILABLE(macos(14.0))
@interface VZNetworkBlockDeviceStorageDeviceAttachment : VZStorageDeviceAttachment
- (nullable instancetype)initWithURL:(NSURL *)URL
                             timeout:(NSTimeInterval)timeout
                      forcedReadOnly:(BOOL)forcedReadOnly
                 synchronizationMode:(VZDiskSynchronizationMode)synchronizationMode
                               error:(NSError *_Nullable *_Nullable)error;
@property(readonly) NSURL *URL;
@property(readonly, getter=isForcedReadOnly) BOOL forcedReadOnly;
@end

API_AVAILABLE(macos(11.0))
@interface VZStorageDeviceConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@property(readonly, strong) VZStorageDeviceAttachment *attachment;
@end

API_AVAILABLE(macos(11.0))
@interface VZVirtioBlockDeviceConfiguration : VZStorageDeviceConfiguration
- (instancetype)initWithAttachment:(VZStorageDeviceAttachment *)attachment;
@property(copy) NSString *blockDeviceIdentifier API_AVAILABLE(macos(12.3));
@end

API_AVAILABLE(macos(14.0))
@interface VZNVMExpressControllerDeviceConfiguration : VZStorageDeviceConfiguration
- (instancetype)initWithAttachment:(VZStorageDeviceAttachment *)attachment;
@end

API_AVAILABLE(macos(15.0))
@protocol VZUSBDeviceConfiguration <NSObject>
@property(readwrite, copy) NSUUID *uuid;
@end

API_AVAILABLE(macos(13.0))
@interface VZUSBMassStorageDeviceConfiguration
    : VZStorageDeviceConfiguration <VZUSBDeviceConfiguration>
- (instancetype)initWithAttachment:(VZStorageDeviceAttachment *)attachment;
@end

API_AVAILABLE(macos(15.0))
@interface VZUSBControllerConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(15.0))
@interface VZXHCIControllerConfiguration : VZUSBControllerConfiguration
- (instancetype)init;
@end

API_AVAILABLE(macos(15.0))
@protocol VZUSBDevice <NSObject>
@end

API_AVAILABLE(macos(15.0))
@interface VZUSBController : VZ_ROOT
VZ_NO_INIT;
- (void)attachDevice:(id<VZUSBDevice>)device
    completionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler;
- (void)detachDevice:(id<VZUSBDevice>)device
    completionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler;
@property(readonly, copy) NSArray<id<VZUSBDevice>> *usbDevices;
@end

API_AVAILABLE(macos(15.0))
@interface VZStorageDevice : VZ_ROOT
VZ_NO_INIT;
@end

API_AVAILABLE(macos(15.0))
@interface VZUSBMassStorageDevice : VZStorageDevice <VZUSBDevice>
- (instancetype)initWithConfiguration:(VZUSBMassStorageDeviceConfiguration *)configuration;
@end

NS_ASSUME_NONNULL_END

#endif
