/* The VM: its life, and what it tells by itself. */
#import "vz/apple.h"

#include <errno.h>

static VZVirtualMachine *machine;
static VZVirtualMachineConfiguration *configuration;
static const struct vtz_config *made_of;
static enum vtz_state told = VTZ_NONE;

dispatch_queue_t vtz_queue(void)
{
    static dispatch_queue_t queue;
    if (!queue) /* first by the core's one thread */
        queue = dispatch_queue_create("vmtest.vm", DISPATCH_QUEUE_SERIAL);
    return queue;
}

VZVirtualMachine *vtz_machine_on_queue(void)
{
    return machine;
}

const struct vtz_config *vtz_made_of_on_queue(void)
{
    return made_of;
}

/* ---- state ---- */

/* Apple's state in our words. The newer names are numbers, which an older macOS does not mind. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunguarded-availability"
static enum vtz_state state_of(VZVirtualMachineState state)
{
    switch (state) {
    case VZVirtualMachineStateStopped:
        return VTZ_STOPPED;
    case VZVirtualMachineStateRunning:
        return VTZ_RUNNING;
    case VZVirtualMachineStatePaused:
        return VTZ_PAUSED;
    case VZVirtualMachineStateStarting:
        return VTZ_STARTING;
    case VZVirtualMachineStatePausing:
        return VTZ_PAUSING;
    case VZVirtualMachineStateResuming:
        return VTZ_RESUMING;
    case VZVirtualMachineStateStopping:
        return VTZ_STOPPING;
    case VZVirtualMachineStateSaving:
        return VTZ_SAVING;
    case VZVirtualMachineStateRestoring:
        return VTZ_RESTORING;
    case VZVirtualMachineStateError:
        break;
    }
    return VTZ_ERROR;
}
#pragma clang diagnostic pop

static enum vtz_state state_now(void)
{
    if (!machine)
        return VTZ_NONE;
    return vtz_is_installing_on_queue() ? VTZ_INSTALLING : state_of(machine.state);
}

void vtz_tell_state_on_queue(void)
{
    struct vtz_event event = {.kind = VTZ_EVENT_STATE, .state = state_now()};
    if (event.state == told)
        return;
    told = event.state;
    vtz_tell(&event);
}

void vtz_finish_on_queue(const struct vtz_call *call, struct vtz_outcome *outcome)
{
    vtz_tell_state_on_queue();
    vtz_done(call->token, outcome);
}

void vtz_finish_error_on_queue(const struct vtz_call *call, NSError *error)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    if (error)
        vtz_fail_error(&outcome.failure, error, NULL);
    vtz_finish_on_queue(call, &outcome);
}

@interface VTZWatcher : NSObject <VZVirtualMachineDelegate>
@end

@implementation VTZWatcher
- (void)guestDidStopVirtualMachine:(VZVirtualMachine *)virtualMachine
{
    struct vtz_event event = {.kind = VTZ_EVENT_STOPPED};
    (void)virtualMachine;
    vtz_tell_state_on_queue();
    vtz_tell(&event);
}

- (void)virtualMachine:(VZVirtualMachine *)virtualMachine didStopWithError:(NSError *)error
{
    struct vtz_event event = {.kind = VTZ_EVENT_FAILED};
    (void)virtualMachine;
    vtz_fail_error(&event.failure, error, NULL);
    vtz_tell_state_on_queue();
    vtz_tell(&event);
}

- (void)virtualMachine:(VZVirtualMachine *)virtualMachine
                         networkDevice:(VZNetworkDevice *)networkDevice
    attachmentWasDisconnectedWithError:(NSError *)error
{
    struct vtz_event event = {.kind = VTZ_EVENT_NETWORK_LOST};
    NSUInteger at = [virtualMachine.networkDevices indexOfObject:networkDevice];
    event.nic = at == NSNotFound ? 0 : (unsigned)at;
    vtz_fail_error(&event.failure, error, NULL);
    vtz_tell(&event);
}
@end

/* ---- operations ---- */

/* The call is refused, since the VM is in another state. */
static void wrong_state(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    if (machine)
        vtz_fail(&outcome.failure, VTZ_WRONG_STATE, "this cannot be done while the VM is %s",
                 vtz_state_name(state_now()));
    else
        vtz_fail(&outcome.failure, VTZ_WRONG_STATE, "there is no VM yet: \"create\" makes it");
    vtz_finish_on_queue(call, &outcome);
}

static void create(const struct vtz_call *call)
{
    static VTZWatcher *watcher;
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    VZVirtualMachineConfiguration *made;
    if (machine) {
        wrong_state(call);
        return;
    }
    made = vtz_configuration(call->config, &outcome);
    if (made) {
        watcher = [[VTZWatcher alloc] init];
        configuration = [made retain];
        made_of = call->config;
        machine = [[VZVirtualMachine alloc]
            initWithConfiguration:(VZVirtualMachineConfiguration *_Nonnull)made
                            queue:vtz_queue()];
        machine.delegate = watcher;
    }
    vtz_finish_on_queue(call, &outcome);
}

#if VTZ_APPLE_SILICON
API_AVAILABLE(macos(13.0))
static BOOL add_provisioning(VZMacOSVirtualMachineStartOptions *options,
                             const struct vtz_provisioning *wanted, struct vtz_failure *failure)
{
#if VTZ_SDK(270000)
    if (VTZ_HAS(27.0)) {
        NSError *error = nil;
        VZMacGuestProvisioningOptions *guest =
            [[[VZMacGuestProvisioningOptions alloc] init] autorelease];
        guest.username = vtz_string(wanted->user);
        guest.fullName = vtz_string(wanted->full_name ? wanted->full_name : wanted->user);
        guest.password = vtz_string(wanted->password);
        guest.logsInAutomatically = wanted->auto_login;
        guest.enablesRemoteLogin = wanted->remote_login;
        if ([options setGuestProvisioningOptions:guest error:&error])
            return YES;
        vtz_fail_error(failure, error, "provisioning");
        return NO;
    }
#else
    (void)options;
    (void)wanted;
#endif
    vtz_refuse(failure, VT_APPLE_PROVISIONING, "provisioning");
    return NO;
}
#endif

static void start_with_options(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    const char *place = call->recovery ? "recovery" : "provisioning";
    if (made_of->boot.kind != VTZ_BOOT_MACOS) {
        vtz_fail(&outcome.failure, VTZ_BAD_REQUEST, "%s: is for macOS guests", place);
    }
#if VTZ_APPLE_SILICON
    else if (VTZ_HAS(13.0)) {
        VZMacOSVirtualMachineStartOptions *options =
            [[[VZMacOSVirtualMachineStartOptions alloc] init] autorelease];
        options.startUpFromMacOSRecovery = call->recovery;
        if (!call->provisioning ||
            add_provisioning(options, call->provisioning, &outcome.failure)) {
            [machine startWithOptions:options
                    completionHandler:^(NSError *error) {
                      vtz_finish_error_on_queue(call, error);
                    }];
            return;
        }
    }
#endif
    else {
        vtz_refuse(&outcome.failure, call->provisioning ? VT_APPLE_PROVISIONING : VT_APPLE_RECOVERY,
                   place);
    }
    vtz_finish_on_queue(call, &outcome);
}

static void start(const struct vtz_call *call)
{
    if (!machine.canStart)
        wrong_state(call);
    else if (call->recovery || call->provisioning)
        start_with_options(call);
    else
        [machine startWithCompletionHandler:^(NSError *error) {
          vtz_finish_error_on_queue(call, error);
        }];
}

static void request_stop(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    NSError *error = nil;
    if (!machine.canRequestStop || vtz_is_installing_on_queue()) {
        wrong_state(call);
        return;
    }
    if (![machine requestStopWithError:&error])
        vtz_fail_error(&outcome.failure, error, NULL);
    vtz_finish_on_queue(call, &outcome);
}

static void stop(const struct vtz_call *call)
{
    if (!machine.canStop || vtz_is_installing_on_queue())
        wrong_state(call);
    else
        [machine stopWithCompletionHandler:^(NSError *error) {
          vtz_finish_error_on_queue(call, error);
        }];
}

static void pause_machine(const struct vtz_call *call)
{
    if (!machine.canPause || vtz_is_installing_on_queue())
        wrong_state(call);
    else
        [machine pauseWithCompletionHandler:^(NSError *error) {
          vtz_finish_error_on_queue(call, error);
        }];
}

static void resume(const struct vtz_call *call)
{
    if (!machine.canResume)
        wrong_state(call);
    else
        [machine resumeWithCompletionHandler:^(NSError *error) {
          vtz_finish_error_on_queue(call, error);
        }];
}

/* ---- saved states ---- */

static BOOL can_save(struct vtz_failure *failure)
{
#if VTZ_APPLE_SILICON
    if (VTZ_HAS(14.0)) {
        NSError *error = nil;
        if ([configuration validateSaveRestoreSupportWithError:&error])
            return YES;
        vtz_fail_error(failure, error, "this configuration cannot be saved");
        return NO;
    }
#endif
    vtz_refuse(failure, VT_APPLE_SAVE_RESTORE, NULL);
    return NO;
}

static void validate_save(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    can_save(&outcome.failure);
    vtz_finish_on_queue(call, &outcome);
}

static void save_or_restore(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    if (state_now() != (call->op == VTZ_OP_SAVE ? VTZ_PAUSED : VTZ_STOPPED)) {
        wrong_state(call);
        return;
    }
    if (!can_save(&outcome.failure)) {
        vtz_finish_on_queue(call, &outcome);
        return;
    }
#if VTZ_APPLE_SILICON
    if (VTZ_HAS(14.0)) {
        void (^done)(NSError *) = ^(NSError *error) {
          vtz_finish_error_on_queue(call, error);
        };
        if (call->op == VTZ_OP_SAVE)
            [machine saveMachineStateToURL:vtz_file_url(call->path) completionHandler:done];
        else
            [machine restoreMachineStateFromURL:vtz_file_url(call->path) completionHandler:done];
    }
#endif
}

/* ---- the rest ---- */

static void tell_state(const struct vtz_call *call)
{
    vtz_finish_error_on_queue(call, nil);
}

/* Whatever it does now, it ends; the process does soon after. */
static void quit(const struct vtz_call *call)
{
    if (vtz_end_install_on_queue(call))
        return;
    if (machine.canStop)
        [machine stopWithCompletionHandler:^(NSError *error) {
          vtz_finish_error_on_queue(call, error);
        }];
    else
        vtz_finish_error_on_queue(call, nil);
}

static void (*const operations[VTZ_OPS_])(const struct vtz_call *call) = {
    [VTZ_OP_HOST] = vtz_host_on_queue,
    [VTZ_OP_RESTORE_IMAGE] = vtz_restore_image_on_queue,
    [VTZ_OP_CREATE] = create,
    [VTZ_OP_VALIDATE_SAVE] = validate_save,
    [VTZ_OP_START] = start,
    [VTZ_OP_REQUEST_STOP] = request_stop,
    [VTZ_OP_STOP] = stop,
    [VTZ_OP_PAUSE] = pause_machine,
    [VTZ_OP_RESUME] = resume,
    [VTZ_OP_SAVE] = save_or_restore,
    [VTZ_OP_RESTORE] = save_or_restore,
    [VTZ_OP_INSTALL] = vtz_install_on_queue,
    [VTZ_OP_CANCEL] = vtz_cancel_on_queue,
    [VTZ_OP_ATTACH_USB] = vtz_attach_usb_on_queue,
    [VTZ_OP_DETACH_USB] = vtz_detach_usb_on_queue,
    [VTZ_OP_STATE] = tell_state,
    [VTZ_OP_QUIT] = quit,
    [VTZ_OP_CONNECT] = vtz_connect_on_queue,
};

static BOOL needs_machine(enum vtz_op op)
{
    return op != VTZ_OP_HOST && op != VTZ_OP_RESTORE_IMAGE && op != VTZ_OP_CREATE &&
           op != VTZ_OP_STATE && op != VTZ_OP_QUIT;
}

static void carry_out(const struct vtz_call *call)
{
    struct vtz_outcome outcome = VTZ_OUTCOME_INIT;
    if (!machine && needs_machine(call->op)) {
        wrong_state(call);
        return;
    }
    @try {
        operations[call->op](call);
    } @catch (NSException *exception) { /* the framework was used wrongly */
        vtz_fail(&outcome.failure, VTZ_INTERNAL, "%s: %s", [[exception name] UTF8String],
                 [[exception reason] UTF8String] ?: "");
        vtz_finish_on_queue(call, &outcome);
        return;
    }
    vtz_tell_state_on_queue(); /* it may be on its way */
}

static void call(const struct vtz_call *c)
{
    dispatch_async(vtz_queue(), ^{
      carry_out(c);
    });
}

#ifndef VTZ_FAKE
#define VTZ_FAKE false
#endif

const struct vtz_backend vtz_apple_backend = {.fake = VTZ_FAKE, .call = call};
