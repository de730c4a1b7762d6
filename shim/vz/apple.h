/* Among the Objective-C files, which alone know Apple's API. No ARC: retain and release by hand.
 * What is called on_queue below, and every message to a VM, is called on the VM's one serial queue.
 */
#ifndef VT_VZ_APPLE_H
#define VT_VZ_APPLE_H

#import <Foundation/Foundation.h>
#import <Virtualization/Virtualization.h>

#include "vz/backend.h"
#include "vz/refuse.h"

/* As the condition of an `if`: this host's macOS is at least this. */
#ifndef VTZ_HAS
#define VTZ_HAS(version) @available(macOS version, *)
#endif

/* What an older SDK does not declare is left out, and refused as on an older host. */
#ifdef __MAC_OS_X_VERSION_MAX_ALLOWED
#define VTZ_SDK(version) (__MAC_OS_X_VERSION_MAX_ALLOWED >= (version))
#else
#define VTZ_SDK(version) 1
#endif

/* macOS guests, saving and Rosetta are declared for Apple silicon alone. */
#ifndef VTZ_APPLE_SILICON
#ifdef __arm64__
#define VTZ_APPLE_SILICON 1
#else
#define VTZ_APPLE_SILICON 0
#endif
#endif

NS_ASSUME_NONNULL_BEGIN

extern const struct vtz_backend vtz_apple_backend;

dispatch_queue_t vtz_queue(void);
VZVirtualMachine *_Nullable vtz_machine_on_queue(void);        /* nil before `create` */
const struct vtz_config *_Nullable vtz_made_of_on_queue(void); /* NULL before `create` */

/* The operations that are not machine.m's own; each ends with vtz_finish_on_queue(), now or later.
 */
void vtz_host_on_queue(const struct vtz_call *call);
void vtz_restore_image_on_queue(const struct vtz_call *call);
void vtz_install_on_queue(const struct vtz_call *call);
void vtz_cancel_on_queue(const struct vtz_call *call);
void vtz_attach_usb_on_queue(const struct vtz_call *call);
void vtz_detach_usb_on_queue(const struct vtz_call *call);
void vtz_connect_on_queue(const struct vtz_call *call);

/* Tells the VM's state where it has changed, then that the call is done. */
void vtz_finish_on_queue(const struct vtz_call *call, struct vtz_outcome *outcome);
/* The same, of an operation that gives an error or nothing. */
void vtz_finish_error_on_queue(const struct vtz_call *call, NSError *_Nullable error);
void vtz_tell_state_on_queue(void);

/* While macOS is installed, its VM must be neither paused nor stopped. */
BOOL vtz_is_installing_on_queue(void);
/* NO: no installation is under way. Else it is cancelled, and `quit` is done when it is over. */
BOOL vtz_end_install_on_queue(const struct vtz_call *quit);

/* The configuration of `config`, checked by the framework; autoreleased. nil with out->failure set.
 * out->made is what was made new. Files that were made for it are removed again where it fails. */
VZVirtualMachineConfiguration *_Nullable vtz_configuration(const struct vtz_config *config,
                                                           struct vtz_outcome *out);

/* The devices of `config`; NO with out->failure set. */
BOOL vtz_add_disks(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                   struct vtz_outcome *out);
BOOL vtz_add_nics(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                  struct vtz_outcome *out);
BOOL vtz_add_shares(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                    struct vtz_outcome *out);
BOOL vtz_add_screen(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                    struct vtz_outcome *out);
BOOL vtz_add_consoles(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                      struct vtz_outcome *out);

/* vtz_refuse_on() this host. Each refusal stands in one function with the VTZ_HAS() that leads to
 * it: tests/shim/versions.py compares that with the catalogue. */
void vtz_refuse(struct vtz_failure *failure, enum vt_apple_feature feature,
                const char *_Nullable place);

/* The framework's error, with the place it is about where that is known; one of our own where it
 * gave none. */
void vtz_fail_error(struct vtz_failure *failure, NSError *_Nullable error,
                    const char *_Nullable place);

NSString *vtz_string(const char *text); /* of valid UTF-8 */
NSURL *vtz_file_url(const char *path);
NSData *_Nullable vtz_data(const char *base64);
char *vtz_base64(NSData *data);                      /* vt_free() it */
char *_Nullable vtz_copy(NSString *_Nullable text);  /* likewise */
char *vtz_version(NSOperatingSystemVersion version); /* likewise: "15.1" */

NS_ASSUME_NONNULL_END

#endif
