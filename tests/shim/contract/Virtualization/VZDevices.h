/* Networks, shared directories, consoles, input, graphics, vsock. */
#ifndef VT_CONTRACT_VZDEVICES_H
#define VT_CONTRACT_VZDEVICES_H

#import <Virtualization/VZBase.h>
#include <vmnet/vmnet.h>

NS_ASSUME_NONNULL_BEGIN

/* ---- networks ---- */

API_AVAILABLE(macos(11.0))
@interface VZMACAddress : VZ_ROOT <NSCopying>
VZ_NO_INIT;
- (nullable instancetype)initWithString:(NSString *)string;
+ (instancetype)randomLocallyAdministeredAddress;
@property(readonly, copy) NSString *string;
@end

API_AVAILABLE(macos(11.0))
@interface VZNetworkDeviceAttachment : VZ_ROOT
VZ_NO_INIT;
@end

API_AVAILABLE(macos(11.0))
@interface VZNATNetworkDeviceAttachment : VZNetworkDeviceAttachment
- (instancetype)init;
@end

API_AVAILABLE(macos(11.0))
@interface VZBridgedNetworkInterface : VZ_ROOT
VZ_NO_INIT;
@property(class, readonly) NSArray<VZBridgedNetworkInterface *> *networkInterfaces;
@property(readonly) NSString *identifier;
@property(readonly, nullable) NSString *localizedDisplayName;
@end

API_AVAILABLE(macos(11.0))
@interface VZBridgedNetworkDeviceAttachment : VZNetworkDeviceAttachment
- (instancetype)initWithInterface:(VZBridgedNetworkInterface *)interface;
@end

API_AVAILABLE(macos(26.0))
@interface VZVmnetNetworkDeviceAttachment : VZNetworkDeviceAttachment
- (instancetype)initWithNetwork:(vmnet_network_ref)network;
@end

API_AVAILABLE(macos(11.0))
@interface VZNetworkDeviceConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@property(copy) VZMACAddress *MACAddress;
@property(nullable, strong) VZNetworkDeviceAttachment *attachment;
@end

API_AVAILABLE(macos(11.0))
@interface VZVirtioNetworkDeviceConfiguration : VZNetworkDeviceConfiguration
- (instancetype)init;
@end

API_AVAILABLE(macos(12.0))
@interface VZNetworkDevice : VZ_ROOT
VZ_NO_INIT;
@end

/* ---- shared directories ---- */

API_AVAILABLE(macos(12.0))
@interface VZSharedDirectory : VZ_ROOT
VZ_NO_INIT;
- (instancetype)initWithURL:(NSURL *)url readOnly:(BOOL)readOnly;
@property(readonly, copy) NSURL *URL;
@property(readonly, getter=isReadOnly) BOOL readOnly;
@end

API_AVAILABLE(macos(12.0))
@interface VZDirectoryShare : VZ_ROOT
VZ_NO_INIT;
@end

API_AVAILABLE(macos(12.0))
@interface VZSingleDirectoryShare : VZDirectoryShare
- (instancetype)initWithDirectory:(VZSharedDirectory *)directory;
@property(readonly, strong) VZSharedDirectory *directory;
@end

API_AVAILABLE(macos(12.0))
@interface VZMultipleDirectoryShare : VZDirectoryShare
- (instancetype)initWithDirectories:(NSDictionary<NSString *, VZSharedDirectory *> *)directories;
@property(readonly, copy) NSDictionary<NSString *, VZSharedDirectory *> *directories;
+ (BOOL)validateName:(NSString *)name error:(NSError *_Nullable *_Nullable)error;
@end

#if VZ_ON_ARM64
typedef NS_ENUM(NSInteger, VZLinuxRosettaAvailability) {
    VZLinuxRosettaAvailabilityNotSupported = 0,
    VZLinuxRosettaAvailabilityNotInstalled = 1,
    VZLinuxRosettaAvailabilityInstalled = 2
} API_AVAILABLE(macos(13.0));

API_AVAILABLE(macos(13.0))
@interface VZLinuxRosettaDirectoryShare : VZDirectoryShare
- (nullable instancetype)initWithError:(NSError *_Nullable *_Nullable)error;
@property(class, readonly) VZLinuxRosettaAvailability availability;
@end
#endif

API_AVAILABLE(macos(12.0))
@interface VZDirectorySharingDeviceConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(12.0))
@interface VZVirtioFileSystemDeviceConfiguration : VZDirectorySharingDeviceConfiguration
- (instancetype)initWithTag:(NSString *)tag;
+ (BOOL)validateTag:(NSString *)tag error:(NSError *_Nullable *_Nullable)error;
@property(copy) NSString *tag;
@property(nullable, strong) VZDirectoryShare *share;
@property(class, readonly, copy) NSString *macOSGuestAutomountTag API_AVAILABLE(macos(13.0));
@end

/* ---- serial ports and consoles ---- */

API_AVAILABLE(macos(11.0))
@interface VZSerialPortAttachment : VZ_ROOT
VZ_NO_INIT;
@end

API_AVAILABLE(macos(11.0))
@interface VZFileHandleSerialPortAttachment : VZSerialPortAttachment
- (instancetype)initWithFileHandleForReading:(nullable NSFileHandle *)fileHandleForReading
                        fileHandleForWriting:(nullable NSFileHandle *)fileHandleForWriting;
@property(readonly, nullable, strong) NSFileHandle *fileHandleForReading;
@property(readonly, nullable, strong) NSFileHandle *fileHandleForWriting;
@end

API_AVAILABLE(macos(13.0))
@interface VZSpiceAgentPortAttachment : VZSerialPortAttachment
- (instancetype)init;
@property BOOL sharesClipboard;
@property(class, readonly, copy) NSString *spiceAgentPortName;
@end

API_AVAILABLE(macos(11.0))
@interface VZSerialPortConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@property(nullable, strong) VZSerialPortAttachment *attachment;
@end

API_AVAILABLE(macos(11.0))
@interface VZVirtioConsoleDeviceSerialPortConfiguration : VZSerialPortConfiguration
- (instancetype)init;
@end

API_AVAILABLE(macos(13.0))
@interface VZConsolePortConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@property(nullable, strong) VZSerialPortAttachment *attachment;
@end

API_AVAILABLE(macos(13.0))
@interface VZVirtioConsolePortConfiguration : VZConsolePortConfiguration
- (instancetype)init;
@property(nullable, copy) NSString *name;
@property BOOL isConsole;
@end

API_AVAILABLE(macos(13.0))
@interface VZVirtioConsolePortConfigurationArray : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@property uint32_t maximumPortCount;
- (nullable VZVirtioConsolePortConfiguration *)objectAtIndexedSubscript:(NSUInteger)portIndex;
- (void)setObject:(nullable VZVirtioConsolePortConfiguration *)configuration
    atIndexedSubscript:(NSUInteger)portIndex;
@end

API_AVAILABLE(macos(13.0))
@interface VZConsoleDeviceConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(13.0))
@interface VZVirtioConsoleDeviceConfiguration : VZConsoleDeviceConfiguration
- (instancetype)init;
@property(readonly, strong) VZVirtioConsolePortConfigurationArray *ports;
@end

/* ---- entropy, memory balloon ---- */

API_AVAILABLE(macos(11.0))
@interface VZEntropyDeviceConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(11.0))
@interface VZVirtioEntropyDeviceConfiguration : VZEntropyDeviceConfiguration
- (instancetype)init;
@end

API_AVAILABLE(macos(11.0))
@interface VZMemoryBalloonDeviceConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(11.0))
@interface VZVirtioTraditionalMemoryBalloonDeviceConfiguration : VZMemoryBalloonDeviceConfiguration
- (instancetype)init;
@end

/* ---- keyboard, pointer, graphics ---- */

API_AVAILABLE(macos(12.0))
@interface VZKeyboardConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(12.0))
@interface VZUSBKeyboardConfiguration : VZKeyboardConfiguration
- (instancetype)init;
@end

API_AVAILABLE(macos(12.0))
@interface VZPointingDeviceConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(12.0))
@interface VZUSBScreenCoordinatePointingDeviceConfiguration : VZPointingDeviceConfiguration
- (instancetype)init;
@end

API_AVAILABLE(macos(12.0))
@interface VZGraphicsDeviceConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(14.0))
@interface VZGraphicsDisplayConfiguration : VZ_ROOT
VZ_NO_INIT;
@end

VZ_NEWER_SUPER_BEGIN
API_AVAILABLE(macos(13.0))
@interface VZVirtioGraphicsScanoutConfiguration : VZGraphicsDisplayConfiguration
VZ_NEWER_SUPER_END
VZ_NO_INIT;
- (instancetype)initWithWidthInPixels:(NSInteger)widthInPixels
                       heightInPixels:(NSInteger)heightInPixels;
@end

API_AVAILABLE(macos(13.0))
@interface VZVirtioGraphicsDeviceConfiguration : VZGraphicsDeviceConfiguration
- (instancetype)init;
@property(copy) NSArray<VZVirtioGraphicsScanoutConfiguration *> *scanouts;
@end

/* ---- vsock ---- */

API_AVAILABLE(macos(11.0))
@interface VZSocketDeviceConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(11.0))
@interface VZVirtioSocketDeviceConfiguration : VZSocketDeviceConfiguration
- (instancetype)init;
@end

API_AVAILABLE(macos(11.0))
@interface VZVirtioSocketConnection : VZ_ROOT
VZ_NO_INIT;
@property(readonly) int fileDescriptor;
- (void)close;
@end

API_AVAILABLE(macos(11.0))
@interface VZSocketDevice : VZ_ROOT
VZ_NO_INIT;
@end

API_AVAILABLE(macos(11.0))
@interface VZVirtioSocketDevice : VZSocketDevice
- (void)connectToPort:(uint32_t)port
    completionHandler:(void (^)(VZVirtioSocketConnection *_Nullable connection,
                                NSError *_Nullable error))completionHandler;
@end

NS_ASSUME_NONNULL_END

#endif
