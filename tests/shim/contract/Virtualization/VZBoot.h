/* Platforms and boot loaders, but those of macOS guests. */
#ifndef VT_CONTRACT_VZBOOT_H
#define VT_CONTRACT_VZBOOT_H

#import <Virtualization/VZBase.h>

NS_ASSUME_NONNULL_BEGIN

API_AVAILABLE(macos(12.0))
@interface VZPlatformConfiguration : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(13.0))
@interface VZGenericMachineIdentifier : VZ_ROOT <NSCopying>
- (instancetype)init;
- (nullable instancetype)initWithDataRepresentation:(NSData *)dataRepresentation;
@property(readonly, copy) NSData *dataRepresentation;
@end

API_AVAILABLE(macos(12.0))
@interface VZGenericPlatformConfiguration : VZPlatformConfiguration
- (instancetype)init;
@property(copy) VZGenericMachineIdentifier *machineIdentifier API_AVAILABLE(macos(13.0));
@property(class, readonly, getter=isNestedVirtualizationSupported)
    BOOL nestedVirtualizationSupported API_AVAILABLE(macos(15.0));
@property(getter=isNestedVirtualizationEnabled)
    BOOL nestedVirtualizationEnabled API_AVAILABLE(macos(15.0));
@end

API_AVAILABLE(macos(11.0))
@interface VZBootLoader : VZ_ROOT <NSCopying>
VZ_NO_INIT;
@end

API_AVAILABLE(macos(11.0))
@interface VZLinuxBootLoader : VZBootLoader
- (instancetype)initWithKernelURL:(NSURL *)kernelURL;
@property(copy) NSURL *kernelURL;
@property(copy) NSString *commandLine;
@property(nullable, copy) NSURL *initialRamdiskURL;
@end

typedef NS_OPTIONS(NSUInteger, VZEFIVariableStoreInitializationOptions) {
    VZEFIVariableStoreInitializationOptionAllowOverwrite = 1 << 0
} API_AVAILABLE(macos(13.0));

API_AVAILABLE(macos(13.0))
@interface VZEFIVariableStore : VZ_ROOT
VZ_NO_INIT;
- (instancetype)initWithURL:(NSURL *)URL;
- (nullable instancetype)initCreatingVariableStoreAtURL:(NSURL *)URL
                                                options:
                                                    (VZEFIVariableStoreInitializationOptions)options
                                                  error:(NSError *_Nullable *_Nullable)error;
@property(readonly, copy) NSURL *URL;
@end

API_AVAILABLE(macos(13.0))
@interface VZEFIBootLoader : VZBootLoader
- (instancetype)init;
@property(nullable, strong) VZEFIVariableStore *variableStore;
@end

NS_ASSUME_NONNULL_END

#endif
