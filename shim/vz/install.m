/* Restore images (IPSW), and the installation of macOS from one. */
#import "vz/apple.h"

#include "core/mem.h"

#if VTZ_APPLE_SILICON
#define PROGRESS_NS (250 * (int64_t)NSEC_PER_MSEC)

static VZMacOSInstaller *installer;       /* while one is under way */
static const struct vtz_call *quit_after; /* it waits for the end of that */

static void fill_image(struct vtz_image *out, VZMacOSRestoreImage *image)
{
    VZMacOSConfigurationRequirements *needs = image.mostFeaturefulSupportedConfiguration;
    out->url = vtz_copy([image.URL absoluteString]);
    out->build = vtz_copy(image.buildVersion);
    out->os_version = vtz_version(image.operatingSystemVersion);
    out->supported = needs != nil;
    if (needs) {
        out->hardware_model = vtz_base64(needs.hardwareModel.dataRepresentation);
        out->min_cpus = (unsigned)needs.minimumSupportedCPUCount;
        out->min_memory = needs.minimumSupportedMemorySize;
    }
}

void vtz_restore_image_on_queue(const struct vtz_call *call)
{
    /* comes back on some other queue */
    void (^done)(VZMacOSRestoreImage *, NSError *) = ^(VZMacOSRestoreImage *image, NSError *error) {
      dispatch_async(vtz_queue(), ^{
        struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
        if (image)
            fill_image(&outcome.image, image);
        else
            vtz_fail_error(&outcome.failure, error, call->path ? "path" : NULL);
        vtz_finish_on_queue(call, &outcome);
      });
    };
    if (call->path)
        [VZMacOSRestoreImage loadFileURL:vtz_file_url(call->path) completionHandler:done];
    else
        [VZMacOSRestoreImage fetchLatestSupportedWithCompletionHandler:done];
}

BOOL vtz_is_installing_on_queue(void)
{
    return installer != nil;
}

BOOL vtz_end_install_on_queue(const struct vtz_call *quit)
{
    if (!installer)
        return NO;
    quit_after = quit;
    [installer.progress cancel];
    return YES;
}

static void tell_progress(double *last)
{
    struct vtz_event event = {.kind = VTZ_EVENT_PROGRESS,
                              .fraction = installer.progress.fractionCompleted};
    if (event.fraction <= *last)
        return;
    *last = event.fraction;
    vtz_tell(&event);
}

/* Again and again, till this installation is over. */
static void watch_progress(VZMacOSInstaller *watched, double last)
{
    dispatch_after(dispatch_time(DISPATCH_TIME_NOW, PROGRESS_NS), vtz_queue(), ^{
      double now = last;
      if (installer != watched)
          return;
      tell_progress(&now);
      watch_progress(watched, now);
    });
}

static void installed(const struct vtz_call *call, NSError *error)
{
    struct vtz_event whole = {.kind = VTZ_EVENT_PROGRESS, .fraction = 1};
    if (!error)
        vtz_tell(&whole);
    [installer release];
    installer = nil;
    vtz_finish_error_on_queue(call, error);
    if (quit_after)
        vtz_finish_error_on_queue(quit_after, nil);
}

void vtz_install_on_queue(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    VZVirtualMachine *machine = vtz_machine_on_queue();
    if (vtz_made_of_on_queue()->boot.kind != VTZ_BOOT_MACOS) {
        vtz_fail(&outcome.failure, VTZ_BAD_REQUEST, "path: is for macOS guests");
        vtz_finish_on_queue(call, &outcome);
        return;
    }
    if (installer || !machine || machine.state != VZVirtualMachineStateStopped) {
        vtz_fail(&outcome.failure, VTZ_WRONG_STATE, "macOS is installed into a VM that is stopped");
        vtz_finish_on_queue(call, &outcome);
        return;
    }
    installer = [[VZMacOSInstaller alloc] initWithVirtualMachine:(VZVirtualMachine *_Nonnull)machine
                                                 restoreImageURL:vtz_file_url(call->path)];
    [installer installWithCompletionHandler:^(NSError *error) {
      installed(call, error);
    }];
    watch_progress(installer, 0);
}

void vtz_cancel_on_queue(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    if (installer)
        [installer.progress cancel];
    else
        vtz_fail(&outcome.failure, VTZ_WRONG_STATE, "no installation is under way");
    vtz_finish_on_queue(call, &outcome);
}

#else /* an Intel Mac */

static void refuse(const struct vtz_call *call, enum vt_apple_feature feature)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    vtz_refuse(&outcome.failure, feature, NULL);
    vtz_finish_on_queue(call, &outcome);
}

void vtz_restore_image_on_queue(const struct vtz_call *call)
{
    refuse(call, VT_APPLE_RESTORE_IMAGE);
}

void vtz_install_on_queue(const struct vtz_call *call)
{
    refuse(call, VT_APPLE_INSTALL);
}

void vtz_cancel_on_queue(const struct vtz_call *call)
{
    refuse(call, VT_APPLE_INSTALL);
}

BOOL vtz_is_installing_on_queue(void)
{
    return NO;
}

BOOL vtz_end_install_on_queue(const struct vtz_call *quit)
{
    (void)quit;
    return NO;
}
#endif
