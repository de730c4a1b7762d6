/* Errors, and the macros that the other headers use. */
#ifndef VT_CONTRACT_VZBASE_H
#define VT_CONTRACT_VZBASE_H

#import <Foundation/Foundation.h>
#include <dispatch/dispatch.h>
#include <stdint.h>

#ifdef __APPLE__
#include <os/availability.h>
#define VZ_ROOT NSObject
#else /* over GNUstep, where tests/shim/fake implements it */
#import "fake_base.h"
#endif

#define VZ_NO_INIT                                                                                 \
    +(instancetype) new NS_UNAVAILABLE;                                                            \
    -(instancetype)init NS_UNAVAILABLE

#if defined(__arm64__) || !defined(__APPLE__)
#define VZ_ON_ARM64 1 /* Apple declares these parts on Apple silicon alone */
#else
#define VZ_ON_ARM64 0
#endif

/* For what is older than its superclass: Apple's are system headers, which clang lets do that. */
#define VZ_NEWER_SUPER_BEGIN                                                                       \
    _Pragma("clang diagnostic push")                                                               \
        _Pragma("clang diagnostic ignored \"-Wunguarded-availability\"")
#define VZ_NEWER_SUPER_END _Pragma("clang diagnostic pop")

NS_ASSUME_NONNULL_BEGIN

extern NSString *const VZErrorDomain API_AVAILABLE(macos(11.0));

typedef NS_ENUM(NSInteger, VZErrorCode) {
    VZErrorInternal = 1,
    VZErrorInvalidVirtualMachineConfiguration = 2,
    VZErrorInvalidVirtualMachineState = 3,
    VZErrorInvalidVirtualMachineStateTransition = 4,
    VZErrorInvalidDiskImage = 5,
    VZErrorVirtualMachineLimitExceeded API_AVAILABLE(macos(12.0)) = 6,
    VZErrorNetworkError API_AVAILABLE(macos(13.0)) = 7,
    VZErrorOutOfDiskSpace API_AVAILABLE(macos(13.0)) = 8,
    VZErrorOperationCancelled API_AVAILABLE(macos(13.0)) = 9,
    VZErrorNotSupported API_AVAILABLE(macos(13.0)) = 10,
    VZErrorSave API_AVAILABLE(macos(14.0)) = 11,
    VZErrorRestore API_AVAILABLE(macos(14.0)) = 12,
    VZErrorRestoreImageCatalogLoadFailed API_AVAILABLE(macos(13.0)) = 10001,
    VZErrorInvalidRestoreImageCatalog API_AVAILABLE(macos(13.0)) = 10002,
    VZErrorNoSupportedRestoreImagesInCatalog API_AVAILABLE(macos(13.0)) = 10003,
    VZErrorRestoreImageLoadFailed API_AVAILABLE(macos(13.0)) = 10004,
    VZErrorInvalidRestoreImage API_AVAILABLE(macos(13.0)) = 10005,
    VZErrorInstallationRequiresUpdate API_AVAILABLE(macos(13.0)) = 10006,
    VZErrorInstallationFailed API_AVAILABLE(macos(13.0)) = 10007,
    VZErrorNetworkBlockDeviceNegotiationFailed API_AVAILABLE(macos(14.0)) = 20001,
    VZErrorNetworkBlockDeviceDisconnected API_AVAILABLE(macos(14.0)) = 20002,
    VZErrorUSBControllerNotFound API_AVAILABLE(macos(15.0)) = 30001,
    VZErrorDeviceAlreadyAttached API_AVAILABLE(macos(15.0)) = 30002,
    VZErrorDeviceInitializationFailure API_AVAILABLE(macos(15.0)) = 30003,
    VZErrorDeviceNotFound API_AVAILABLE(macos(15.0)) = 30004,
    VZErrorGuestProvisioningInvalidFullName API_AVAILABLE(macos(27.0)) = 40001,
    VZErrorGuestProvisioningInvalidUsername API_AVAILABLE(macos(27.0)) = 40002,
    VZErrorGuestProvisioningInvalidPassword API_AVAILABLE(macos(27.0)) = 40003,
    VZErrorEFISecureBootEnrollmentFailed API_AVAILABLE(macos(27.0)) = 50001,
    VZErrorEFIVariableInaccessible API_AVAILABLE(macos(27.0)) = 50002
} API_AVAILABLE(macos(11.0));

NS_ASSUME_NONNULL_END

#endif
