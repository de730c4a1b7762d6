/* The configuration as a whole, and the VM. */
#ifndef VT_CONTRACT_VZMACHINE_H
#define VT_CONTRACT_VZMACHINE_H

#import <Virtualization/VZBoot.h>
#import <Virtualization/VZDevices.h>
#import <Virtualization/VZStorage.h>

NS_ASSUME_NONNULL_BEGIN

API_AVAILABLE(macos(11.0))
@interface VZVirtualMachineConfiguration : VZ_ROOT <NSCopying>
@property(nullable, strong) VZBootLoader *bootLoader;
@property uint64_t memorySize;
@property NSUInteger CPUCount;
@property(strong) VZPlatformConfiguration *platform API_AVAILABLE(macos(12.0));
@property(copy)
    NSArray<VZDirectorySharingDeviceConfiguration *> *directorySharingDevices API_AVAILABLE(
        macos(12.0));
@property(copy) NSArray<VZEntropyDeviceConfiguration *> *entropyDevices;
@property(copy) NSArray<VZMemoryBalloonDeviceConfiguration *> *memoryBalloonDevices;
@property(copy) NSArray<VZNetworkDeviceConfiguration *> *networkDevices;
@property(copy) NSArray<VZSerialPortConfiguration *> *serialPorts;
@property(copy) NSArray<VZConsoleDeviceConfiguration *> *consoleDevices API_AVAILABLE(macos(13.0));
@property(copy) NSArray<VZSocketDeviceConfiguration *> *socketDevices;
@property(copy) NSArray<VZStorageDeviceConfiguration *> *storageDevices;
@property(copy) NSArray<VZUSBControllerConfiguration *> *usbControllers API_AVAILABLE(macos(15.0));
@property(copy) NSArray<VZKeyboardConfiguration *> *keyboards API_AVAILABLE(macos(12.0));
@property(copy) NSArray<VZPointingDeviceConfiguration *> *pointingDevices API_AVAILABLE(macos(12.0))
    ;
@property(copy) NSArray<VZGraphicsDeviceConfiguration *> *graphicsDevices API_AVAILABLE(macos(12.0))
    ;
- (BOOL)validateWithError:(NSError *_Nullable *_Nullable)error;
#if VZ_ON_ARM64
- (BOOL)validateSaveRestoreSupportWithError:(NSError *_Nullable *_Nullable)error
    API_AVAILABLE(macos(14.0));
#endif
@property(class, readonly) uint64_t minimumAllowedMemorySize;
@property(class, readonly) uint64_t maximumAllowedMemorySize;
@property(class, readonly) NSUInteger minimumAllowedCPUCount;
@property(class, readonly) NSUInteger maximumAllowedCPUCount;
@end

typedef NS_ENUM(NSInteger, VZVirtualMachineState) {
    VZVirtualMachineStateStopped = 0,
    VZVirtualMachineStateRunning = 1,
    VZVirtualMachineStatePaused = 2,
    VZVirtualMachineStateError = 3,
    VZVirtualMachineStateStarting = 4,
    VZVirtualMachineStatePausing = 5,
    VZVirtualMachineStateResuming = 6,
    VZVirtualMachineStateStopping API_AVAILABLE(macos(12.0)) = 7,
    VZVirtualMachineStateSaving API_AVAILABLE(macos(14.0)) = 8,
    VZVirtualMachineStateRestoring API_AVAILABLE(macos(14.0)) = 9
} API_AVAILABLE(macos(11.0));

API_AVAILABLE(macos(13.0))
@interface VZVirtualMachineStartOptions : VZ_ROOT
@end

@class VZVirtualMachine;

API_AVAILABLE(macos(11.0))
@protocol VZVirtualMachineDelegate <NSObject>
@optional
- (void)guestDidStopVirtualMachine:(VZVirtualMachine *)virtualMachine;
- (void)virtualMachine:(VZVirtualMachine *)virtualMachine didStopWithError:(NSError *)error;
- (void)virtualMachine:(VZVirtualMachine *)virtualMachine
                         networkDevice:(VZNetworkDevice *)networkDevice
    attachmentWasDisconnectedWithError:(NSError *)error API_AVAILABLE(macos(12.0));
@end

API_AVAILABLE(macos(11.0))
@interface VZVirtualMachine : VZ_ROOT
VZ_NO_INIT;
- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration
                                queue:(dispatch_queue_t)queue;
@property(class, readonly, getter=isSupported) BOOL supported;
@property(readonly) VZVirtualMachineState state;
@property(nullable, weak) id<VZVirtualMachineDelegate> delegate;
@property(readonly) BOOL canStart;
@property(readonly) BOOL canStop API_AVAILABLE(macos(12.0));
@property(readonly) BOOL canPause;
@property(readonly) BOOL canResume;
@property(readonly) BOOL canRequestStop;
@property(readonly, copy) NSArray<VZSocketDevice *> *socketDevices;
@property(readonly, copy) NSArray<VZNetworkDevice *> *networkDevices API_AVAILABLE(macos(12.0));
@property(readonly, copy) NSArray<VZUSBController *> *usbControllers API_AVAILABLE(macos(15.0));
- (void)startWithCompletionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler;
- (void)startWithOptions:(VZVirtualMachineStartOptions *)options
       completionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler
    API_AVAILABLE(macos(13.0));
- (void)stopWithCompletionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler
    API_AVAILABLE(macos(12.0));
- (void)pauseWithCompletionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler;
- (void)resumeWithCompletionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler;
- (BOOL)requestStopWithError:(NSError *_Nullable *_Nullable)error;
#if VZ_ON_ARM64
- (void)saveMachineStateToURL:(NSURL *)saveFileURL
            completionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler
    API_AVAILABLE(macos(14.0));
- (void)restoreMachineStateFromURL:(NSURL *)saveFileURL
                 completionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler
    API_AVAILABLE(macos(14.0));
#endif
@end

NS_ASSUME_NONNULL_END

#endif
