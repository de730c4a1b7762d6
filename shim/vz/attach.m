/* What is attached to a running VM: USB disks, and connections to its vsock ports. */
#import "vz/apple.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/mem.h"
#include "vz/relay.h"

/* ---- USB disks ---- */

static void refuse(const struct vtz_call *call, enum vtz_code code, const char *why)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    vtz_fail(&outcome.failure, code, "%s: \"%s\" %s", "name", call->name, why);
    vtz_finish_on_queue(call, &outcome);
}

/* Those that were plugged in, by name. Whether they are still, the controller tells: a guest that
 * ends may take them along. */
static NSMutableDictionary *plugged(void)
{
    static NSMutableDictionary *disks;
    if (!disks)
        disks = [[NSMutableDictionary alloc] init];
    return disks;
}

API_AVAILABLE(macos(15.0))
static VZUSBMassStorageDevice *usb_disk(const struct vtz_call *call, struct vtz_failure *failure)
{
    NSError *error = nil;
    VZDiskImageStorageDeviceAttachment *attachment =
        [[[VZDiskImageStorageDeviceAttachment alloc] initWithURL:vtz_file_url(call->path)
                                                        readOnly:call->read_only
                                                     cachingMode:VZDiskImageCachingModeAutomatic
                                             synchronizationMode:VZDiskImageSynchronizationModeFull
                                                           error:&error] autorelease];
    VZUSBMassStorageDeviceConfiguration *device;
    if (!attachment) {
        vtz_fail_error(failure, error, "path");
        return nil;
    }
    device = [[[VZUSBMassStorageDeviceConfiguration alloc]
        initWithAttachment:(VZDiskImageStorageDeviceAttachment *_Nonnull)attachment] autorelease];
    return [[[VZUSBMassStorageDevice alloc] initWithConfiguration:device] autorelease];
}

void vtz_attach_usb_on_queue(const struct vtz_call *call)
{
    NSString *name = vtz_string(call->name);
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    if ([plugged() objectForKey:name]) {
        refuse(call, VTZ_BAD_REQUEST, "is plugged in already");
        return;
    }
    if (VTZ_HAS(15.0)) {
        VZUSBController *controller = [[vtz_machine_on_queue() usbControllers] firstObject];
        VZUSBMassStorageDevice *device = usb_disk(call, &outcome.failure);
        if (device && controller) {
            [plugged() setObject:(VZUSBMassStorageDevice *_Nonnull)device forKey:name];
            [controller attachDevice:(VZUSBMassStorageDevice *_Nonnull)device
                   completionHandler:^(NSError *error) {
                     if (error)
                         [plugged() removeObjectForKey:name];
                     else
                         [plugged() setObject:(VZUSBMassStorageDevice *_Nonnull)device forKey:name];
                     vtz_finish_error_on_queue(call, error);
                   }];
            return;
        }
        vtz_fail(&outcome.failure, VTZ_INTERNAL, "the VM has no USB controller");
    } else {
        vtz_refuse(&outcome.failure, VT_APPLE_USB_HOTPLUG, NULL);
    }
    vtz_finish_on_queue(call, &outcome);
}

void vtz_detach_usb_on_queue(const struct vtz_call *call)
{
    NSString *name = vtz_string(call->name);
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    if (VTZ_HAS(15.0)) {
        VZUSBController *controller = [[vtz_machine_on_queue() usbControllers] firstObject];
        id<VZUSBDevice> device = [plugged() objectForKey:name];
        if (!device || ![[controller usbDevices] containsObject:(id _Nonnull)device]) {
            [plugged() removeObjectForKey:name];
            refuse(call, VTZ_BAD_REQUEST, "is not plugged in");
            return;
        }
        [controller detachDevice:(id<VZUSBDevice> _Nonnull)device
               completionHandler:^(NSError *error) {
                 if (!error)
                     [plugged() removeObjectForKey:name];
                 vtz_finish_error_on_queue(call, error);
               }];
        return;
    }
    vtz_refuse(&outcome.failure, VT_APPLE_USB_HOTPLUG, NULL);
    vtz_finish_on_queue(call, &outcome);
}

/* ---- vsock ---- */

#define ANSWER_NS                                                                                  \
    (10000 * (int64_t)NSEC_PER_MSEC) /* that a guest has to take or refuse a connection */

/* The calls whose connections are neither taken nor refused, by their tokens; 0: none. */
static uint64_t unanswered[VTZ_RELAYS_MAX];

static BOOL replace(uint64_t old, uint64_t token)
{
    for (size_t i = 0; i < VTZ_RELAYS_MAX; i++)
        if (unanswered[i] == old) {
            unanswered[i] = token;
            return YES;
        }
    return NO;
}

/* Of a port that nobody listens on Apple documents that nothing is done, not that it is told. */
static void give_up_later(const struct vtz_call *call, uint64_t token)
{
    dispatch_after(dispatch_time(DISPATCH_TIME_NOW, ANSWER_NS), vtz_queue(), ^{
      struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
      if (!replace(token, 0))
          return; /* the call is over */
      vtz_fail(&outcome.failure, VTZ_BUSY, "the guest did not answer");
      vtz_finish_on_queue(call, &outcome);
    });
}

static void connected(const struct vtz_call *call, uint64_t token,
                      VZVirtioSocketConnection *connection, NSError *error)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    if (!replace(token, 0)) { /* too late */
        [connection close];
        return;
    }
    if (connection) {
        /* the connection closes its own when it goes */
        outcome.fd = fcntl(connection.fileDescriptor, F_DUPFD_CLOEXEC, 3);
        if (outcome.fd < 0)
            vtz_fail(&outcome.failure, VTZ_INTERNAL, "%s", strerror(errno));
        [connection close];
    } else {
        vtz_fail_error(&outcome.failure, error, NULL);
    }
    vtz_finish_on_queue(call, &outcome);
}

void vtz_connect_on_queue(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    id device = [[vtz_machine_on_queue() socketDevices] firstObject];
    uint64_t token = call->token;
    if ([device isKindOfClass:[VZVirtioSocketDevice class]] && replace(0, token)) {
        give_up_later(call, token);
        [(VZVirtioSocketDevice *)device
                connectToPort:call->port
            completionHandler:^(VZVirtioSocketConnection *connection, NSError *error) {
              connected(call, token, connection, error);
            }];
        return;
    }
    vtz_fail(&outcome.failure, VTZ_INTERNAL, "the VM has no socket device");
    vtz_finish_on_queue(call, &outcome);
}
