/* The fake's VM. */
#import "machine.h"

#include "accessors.h"
#include "guest.h"
#include "identity.h"
#include "translate.h"
#include <string.h>
#include <unistd.h>

static struct {
    dispatch_queue_t queue;
    VZVirtualMachineState state;
    bool installing;
    id<VZVirtualMachineDelegate> delegate; /* not retained, as Apple's is weak */
    VZVirtualMachine *machine;
    const struct guest_ops *ops;
    struct guest *guest; /* NULL: it does not run */
    unsigned lives;      /* how many there have been, so that late news is known for that */
    NSArray *nics;
} vm;

dispatch_queue_t fake_queue_of_machine(void)
{
    return vm.queue;
}

void fake_check_queue(SEL where)
{
    if (!vm.queue || !fake_is_on_queue(vm.queue))
        fake_broken("called off the queue of the VM", where);
}

void fake_install(VZVirtualMachineState state)
{
    vm.installing = state != VZVirtualMachineStateStopped;
    vm.state = state;
}

static void check_not_installing(SEL where)
{
    if (vm.installing)
        fake_broken("the VM is paused or stopped while macOS is installed", where);
}

static void later(long ms, dispatch_block_t block)
{
    dispatch_after(dispatch_time(DISPATCH_TIME_NOW, ms * (int64_t)NSEC_PER_MSEC), vm.queue, block);
}

/* ---- the guest behind it ---- */

static void end_guest(void)
{
    if (vm.guest)
        vm.ops->stop(vm.guest);
    vm.guest = NULL;
}

static void it_ended(NSString *why)
{
    end_guest();
    vm.state = why ? VZVirtualMachineStateError : VZVirtualMachineStateStopped;
    if (why)
        [vm.delegate virtualMachine:vm.machine didStopWithError:fake_error(VZErrorInternal, why)];
    else
        [vm.delegate guestDidStopVirtualMachine:vm.machine];
}

static void ended(void *user, const char *error)
{
    unsigned life = (unsigned)(uintptr_t)user;
    char *why = error ? strdup(error) : NULL;
    dispatch_async(vm.queue, ^{
      if (life == vm.lives && vm.guest)
          it_ended(why ? [NSString stringWithUTF8String:why] : nil);
      free(why);
    });
}

static void plan_trouble(void)
{
    unsigned life = vm.lives;
    long crash = fake_number("VMTEST_FAKE_VZ_CRASH_MS", 0);
    long lost = fake_number("VMTEST_FAKE_VZ_NETWORK_LOST_MS", 0);
    if (crash)
        later(crash, ^{
          if (life == vm.lives && vm.guest)
              it_ended(@"The virtual machine stopped unexpectedly.");
        });
    if (lost)
        later(lost, ^{
          if (life == vm.lives && vm.guest)
              [vm.delegate virtualMachine:vm.machine
                                       networkDevice:[vm.nics lastObject]
                  attachmentWasDisconnectedWithError:fake_error(VZErrorNetworkError,
                                                                @"The network is gone.")];
        });
}

static NSError *plug(id device, BOOL in)
{
    static unsigned numbers;
    char why[GUEST_WHY] = "";
    if (![device valueOf:@"number"])
        [device keep:@(++numbers) as:@"number"];
    unsigned number = [[device valueOf:@"number"] unsignedIntValue];
    struct guest_disk disk = fake_translate_disk([device valueOf:@"configuration"]);
    bool good =
        in ? vm.ops->plug(vm.guest, number, &disk, why) : vm.ops->unplug(vm.guest, number, why);
    return good ? nil
                : fake_error(in ? VZErrorDeviceInitializationFailure : VZErrorInternal,
                             [NSString stringWithUTF8String:why]);
}

/* Whether a VM that starts again has what was plugged in before is not documented, and whoever uses
 * it must do with both: here a guest that ended by itself leaves its devices where they were, one
 * that was stopped takes them along. */
static void plug_all_in(void)
{
    for (VZUSBController *controller in [vm.machine valueOf:@"usbControllers"])
        for (id device in [controller valueOf:@"devices"])
            plug(device, YES);
}

static void unplug_all(void)
{
    for (VZUSBController *controller in [vm.machine valueOf:@"usbControllers"])
        [[controller valueOf:@"devices"] removeAllObjects];
}

/* A state of a VM that is configured otherwise is told by its reason. */
static NSError *not_restored(const char *why, bool other_machine)
{
    NSMutableDictionary *told = [NSMutableDictionary dictionary];
    [told setObject:[NSString stringWithUTF8String:why] forKey:NSLocalizedDescriptionKey];
    if (other_machine)
        [told setObject:@"Invalid argument" forKey:NSLocalizedFailureReasonErrorKey];
    return [NSError errorWithDomain:VZErrorDomain code:VZErrorRestore userInfo:told];
}

static NSError *start_guest(VZVirtualMachineConfiguration *configuration, const char *restore)
{
    char why[GUEST_WHY] = "";
    struct guest_config config;
    fake_translate(configuration, &config);
    config.restore = restore;
    vm.lives++;
    vm.guest = vm.ops->start(&config, ended, (void *)(uintptr_t)vm.lives, why);
    fake_translated_free(&config);
    if (vm.guest) {
        plug_all_in();
        return nil;
    }
    return restore ? not_restored(why, true)
                   : fake_error(VZErrorInternal, [NSString stringWithUTF8String:why]);
}

/* ---- objects of a VM ---- */

@implementation VZVirtioSocketConnection
- (int)fileDescriptor
{
    return [[self valueOf:@"fd"] intValue] - 1;
}
- (void)close
{
    if ([self fileDescriptor] >= 0)
        close([self fileDescriptor]);
    [self keep:nil as:@"fd"];
}
- (void)dealloc
{
    [self close];
    [super dealloc];
}
@end

EMPTY(VZSocketDevice)

@implementation VZVirtioSocketDevice
- (void)connectToPort:(uint32_t)port
    completionHandler:(void (^)(VZVirtioSocketConnection *, NSError *))done
{
    fake_check_queue(_cmd);
    done = [[done copy] autorelease];
    later(fake_number("VMTEST_FAKE_VZ_ANSWER_MS", 2), ^{
      char why[GUEST_WHY] = "The VM does not run.";
      VZVirtioSocketConnection *connection = [[[VZVirtioSocketConnection alloc] init] autorelease];
      int fd = -1;
      if (fake_failing("connect")) {
          done(nil, fake_injected("connect"));
          return;
      }
      if (vm.guest && vm.state == VZVirtualMachineStateRunning)
          fd = vm.ops->connect(vm.guest, port, why);
      [connection keep:@(fd + 1) as:@"fd"]; /* 0 would be none */
      done(fd < 0 ? nil : connection,
           fd < 0 ? fake_error(VZErrorInternal, [NSString stringWithUTF8String:why]) : nil);
    });
}
@end

@implementation VZUSBController
- (NSArray *)usbDevices
{
    fake_check_queue(_cmd);
    NSArray *devices = [self valueOf:@"devices"];
    return devices ? [[devices copy] autorelease] : [NSArray array];
}
- (void)change:(const char *)operation device:(id)device in:(BOOL)in then:(void (^)(NSError *))done
{
    NSMutableArray *devices = [self valueOf:@"devices"];
    if (!devices) {
        devices = [NSMutableArray array];
        [self keep:devices as:@"devices"];
    }
    fake_check_queue(_cmd);
    fake_need(device, _cmd);
    done = [[done copy] autorelease];
    later(fake_number("VMTEST_FAKE_VZ_MS", 2), ^{
      NSError *error = nil;
      if (fake_failing(operation))
          error = fake_injected(operation);
      else if ([devices containsObject:device] == in)
          error = fake_error(in ? VZErrorDeviceAlreadyAttached : VZErrorDeviceNotFound,
                             @"It is there already, or not there.");
      else if (!vm.guest)
          error = fake_error(VZErrorInvalidVirtualMachineState, @"It cannot be plugged now.");
      else
          error = plug(device, in);
      if (!error && in)
          [devices addObject:device];
      else if (!error)
          [devices removeObject:device];
      done(error);
    });
}
- (void)attachDevice:(id<VZUSBDevice>)device completionHandler:(void (^)(NSError *))done
{
    [self change:"attach_usb" device:device in:YES then:done];
}
- (void)detachDevice:(id<VZUSBDevice>)device completionHandler:(void (^)(NSError *))done
{
    [self change:"detach_usb" device:device in:NO then:done];
}
@end

/* ---- the VM ---- */

@interface VZVirtualMachine (Fake)
- (void)carryOut:(const char *)operation
            from:(BOOL)may
              by:(VZVirtualMachineState)on_its_way
              to:(VZVirtualMachineState)end
           doing:(NSError * (^)(void))doing
            then:(void (^)(NSError *))done;
@end

static NSArray *one_for_each(NSArray *configurations, Class class)
{
    NSMutableArray *objects = [NSMutableArray array];
    for (NSUInteger i = 0; i < [configurations count]; i++)
        [objects addObject:[[[class alloc] init] autorelease]];
    return objects;
}

@implementation VZVirtualMachine
+ (BOOL)isSupported
{
    return !fake_on("VMTEST_FAKE_VZ_UNSUPPORTED");
}

- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration
                                queue:(dispatch_queue_t)queue
{
    fake_need(configuration, _cmd);
    if (![[configuration valueOf:@"validated"] boolValue])
        fake_broken("the configuration was not validated", _cmd);
    if (!queue || vm.machine)
        fake_broken("a VM needs a queue, and there is one VM in a process", _cmd);
    if ((self = [super init])) {
        vm.queue = queue;
        vm.machine = self;
        vm.ops = guest_chosen();
        vm.nics = [one_for_each([configuration networkDevices], [VZNetworkDevice class]) retain];
        [self keep:[[configuration copy] autorelease] as:@"configuration"];
        [self keep:one_for_each([configuration socketDevices], [VZVirtioSocketDevice class])
                as:@"socketDevices"];
        [self keep:one_for_each([configuration usbControllers], [VZUSBController class])
                as:@"usbControllers"];
    }
    fake_check_queue(_cmd);
    return self;
}

- (void)dealloc
{
    fake_broken("the VM is freed while the process lives", _cmd);
    [super dealloc];
}

- (id<VZVirtualMachineDelegate>)delegate
{
    return vm.delegate;
}
- (void)setDelegate:(id<VZVirtualMachineDelegate>)delegate
{
    fake_check_queue(_cmd);
    vm.delegate = delegate;
}

- (VZVirtualMachineState)state
{
    fake_check_queue(_cmd);
    return vm.state;
}
- (BOOL)canStart
{
    return [self state] == VZVirtualMachineStateStopped || vm.state == VZVirtualMachineStateError;
}
- (BOOL)canStop
{
    return [self state] == VZVirtualMachineStateRunning || vm.state == VZVirtualMachineStatePaused;
}
- (BOOL)canPause
{
    return [self state] == VZVirtualMachineStateRunning;
}
- (BOOL)canResume
{
    return [self state] == VZVirtualMachineStatePaused;
}
- (BOOL)canRequestStop
{
    return [self state] == VZVirtualMachineStateRunning;
}

- (NSArray *)devices:(NSString *)kind
{
    fake_check_queue(_cmd);
    return [self valueOf:kind];
}
- (NSArray *)socketDevices
{
    return [self devices:@"socketDevices"];
}
- (NSArray *)usbControllers
{
    return [self devices:@"usbControllers"];
}
- (NSArray *)networkDevices
{
    fake_check_queue(_cmd);
    return vm.nics;
}

/* Saving asks for a state, all the others for a way to another one. */
static NSError *refused(VZVirtualMachineState on_its_way)
{
    if (on_its_way == VZVirtualMachineStateSaving)
        return fake_error(VZErrorInvalidVirtualMachineState, @"Invalid state.");
    return fake_error(VZErrorInvalidVirtualMachineStateTransition, @"Invalid transition.");
}

/* An operation: at once on its way, and after a while at its end, or where it failed. */
- (void)carryOut:(const char *)operation
            from:(BOOL)may
              by:(VZVirtualMachineState)on_its_way
              to:(VZVirtualMachineState)end
           doing:(NSError * (^)(void))doing
            then:(void (^)(NSError *))done
{
    VZVirtualMachineState before = vm.state;
    fake_check_queue(_cmd);
    if (may)
        check_not_installing(_cmd);
    done = [[done copy] autorelease];
    doing = [[doing copy] autorelease];
    if (may)
        vm.state = on_its_way;
    later(fake_number("VMTEST_FAKE_VZ_MS", 2), ^{
      NSError *error = nil;
      if (!may)
          error = refused(on_its_way);
      else if (fake_failing(operation))
          error = fake_injected(operation);
      else
          error = doing();
      if (may)
          vm.state = !error                                        ? end
                     : on_its_way == VZVirtualMachineStateStarting ? VZVirtualMachineStateError
                                                                   : before;
      done(error);
      if (!error && on_its_way == VZVirtualMachineStateStarting)
          plan_trouble();
    });
}

/* A guest's own doing, with its reason. */
static NSError *error_unless(BOOL ok, NSInteger code, const char *why)
{
    return ok ? nil : fake_error(code, [NSString stringWithUTF8String:why]);
}

- (void)startWithCompletionHandler:(void (^)(NSError *))done
{
    [self carryOut:"start"
              from:[self canStart]
                by:VZVirtualMachineStateStarting
                to:VZVirtualMachineStateRunning
             doing:^{
               if (fake_on("VMTEST_FAKE_VZ_LIMIT"))
                   return fake_error(VZErrorVirtualMachineLimitExceeded,
                                     @"The number of virtual machines exceeds the limit.");
               return start_guest([self valueOf:@"configuration"], NULL);
             }
              then:done];
}

- (void)startWithOptions:(VZVirtualMachineStartOptions *)options
       completionHandler:(void (^)(NSError *))done
{
    fake_need(options, _cmd);
    if (![options isKindOfClass:[VZMacOSVirtualMachineStartOptions class]])
        fake_broken("there are no such options", _cmd);
    [self startWithCompletionHandler:done];
}

- (void)stopWithCompletionHandler:(void (^)(NSError *))done
{
    [self carryOut:"stop"
              from:[self canStop]
                by:VZVirtualMachineStateStopping
                to:VZVirtualMachineStateStopped
             doing:^{
               end_guest();
               unplug_all();
               return (NSError *)nil;
             }
              then:done];
}

- (void)pauseWithCompletionHandler:(void (^)(NSError *))done
{
    [self carryOut:"pause"
              from:[self canPause]
                by:VZVirtualMachineStatePausing
                to:VZVirtualMachineStatePaused
             doing:^{
               char why[GUEST_WHY] = "";
               return error_unless(vm.ops->pause(vm.guest, why), VZErrorInternal, why);
             }
              then:done];
}

- (void)resumeWithCompletionHandler:(void (^)(NSError *))done
{
    [self carryOut:"resume"
              from:[self canResume]
                by:VZVirtualMachineStateResuming
                to:VZVirtualMachineStateRunning
             doing:^{
               char why[GUEST_WHY] = "";
               return error_unless(vm.ops->resume(vm.guest, why), VZErrorInternal, why);
             }
              then:done];
}

- (BOOL)requestStopWithError:(NSError **)error
{
    char why[GUEST_WHY] = "";
    NSError *failed = nil;
    check_not_installing(_cmd);
    if (![self canRequestStop])
        failed = fake_error(VZErrorInvalidVirtualMachineState, @"Invalid state.");
    else if (fake_failing("request_stop"))
        failed = fake_injected("request_stop");
    else
        failed = error_unless(vm.ops->request_stop(vm.guest, why), VZErrorInternal, why);
    if (failed && error)
        *error = failed;
    return failed == nil;
}

- (void)needSavable:(NSURL *)url where:(SEL)where
{
    fake_need(url, where);
    if (!fake_savable)
        fake_broken("it was not asked whether this configuration can be saved", where);
}

- (void)saveMachineStateToURL:(NSURL *)url completionHandler:(void (^)(NSError *))done
{
    [self needSavable:url where:_cmd];
    [self carryOut:"save"
              from:[self state] == VZVirtualMachineStatePaused
                by:VZVirtualMachineStateSaving
                to:VZVirtualMachineStatePaused
             doing:^{
               char why[GUEST_WHY] = "";
               const char *path = [[url path] fileSystemRepresentation];
               if (access(path, F_OK) == 0)
                   fake_broken("a saved state would be overwritten", _cmd);
               bool good = vm.ops->save(vm.guest, path, why) &&
                           fake_identity_add([self valueOf:@"configuration"], path, why);
               return error_unless(good, VZErrorSave, why);
             }
              then:done];
}

- (void)restoreMachineStateFromURL:(NSURL *)url completionHandler:(void (^)(NSError *))done
{
    [self needSavable:url where:_cmd];
    [self carryOut:"restore"
              from:[self state] == VZVirtualMachineStateStopped
                by:VZVirtualMachineStateRestoring
                to:VZVirtualMachineStatePaused
             doing:^{
               VZVirtualMachineConfiguration *configuration = [self valueOf:@"configuration"];
               const char *path = [[url path] fileSystemRepresentation];
               char why[GUEST_WHY] = "";
               bool other_machine;
               if (!fake_identity_check(configuration, path, &other_machine, why))
                   return not_restored(why, other_machine);
               return start_guest(configuration, path);
             }
              then:done];
}
@end
