/* What the contract's headers need over GNUstep, and what the parts of the fake framework share.
 *
 * The fake keeps what it is told and holds its user to the documented rules: it ends the process
 * with "fake: ..." where one is broken (a call off the VM's queue, nil where an object is due, a
 * configuration that was not validated, saving without asking whether that is possible). The
 * environment makes it fail:
 *
 *   VMTEST_FAKE_VZ_OS=14.0            macOS of the host (99 where it is not set)
 *   VMTEST_FAKE_VZ_FAIL=start=1,…     this operation fails with this code of VZErrorDomain: start,
 * stop, pause, resume, request_stop, save, restore, restore_image, install, connect, attach_usb,
 * detach_usb, variables, auxiliary, vmnet VMTEST_FAKE_VZ_CRASH_MS=N         a started VM stops with
 * an error VMTEST_FAKE_VZ_NETWORK_LOST_MS=N  the last network of a started VM is lost
 *   VMTEST_FAKE_VZ_NO_ENTITLEMENT=1   the process lacks the entitlement
 *   VMTEST_FAKE_VZ_UNSUPPORTED=1      the host cannot virtualize
 *   VMTEST_FAKE_VZ_LIMIT=1            the limit of two macOS guests is reached
 *   VMTEST_FAKE_VZ_ROSETTA=installed  or not_installed (else not supported)
 *   VMTEST_FAKE_VZ_NESTED=1           the processor can nest
 *   VMTEST_FAKE_VZ_INSTALL_MS=N       how long an installation takes (300)
 *   VMTEST_FAKE_VZ_ANSWER_MS=N        how long till a connection is taken or refused (2)
 *   VMTEST_FAKE_VZ_MS=N               how long other operations take (2)
 *   VMTEST_FAKE_VZ_GUEST=qemu         what stands behind it (guest.h) */
#ifndef VT_TESTS_SHIM_FAKE_BASE_H
#define VT_TESTS_SHIM_FAKE_BASE_H

#import <Foundation/Foundation.h>
#include <stdbool.h>

#define API_AVAILABLE(...)
#define VZ_ROOT FakeObject
#ifndef NS_OPTIONS
#define NS_OPTIONS(type, name) NS_ENUM(type, name)
#endif

typedef struct {
    NSInteger majorVersion, minorVersion, patchVersion;
} NSOperatingSystemVersion;

@interface NSProcessInfo (Fake)
- (NSOperatingSystemVersion)operatingSystemVersion;
@end

/* An object that keeps values by the names of its properties. The fragile ABI wants its variables
 * here. */
@interface FakeObject : NSObject <NSCopying> {
    NSMutableDictionary *values;
}
- (id)init;
- (id)valueOf:(NSString *)name;
- (void)keep:(id)value as:(NSString *)name; /* nil: forget it */
@end

void CFRelease(const void *object);

bool fake_has(double version);      /* the host's macOS is at least this */
bool fake_on(const char *variable); /* it is set, and not empty */
long fake_number(const char *variable, long fallback);
long fake_failing(const char *operation); /* the code to fail with; 0: it does not */
NSError *fake_error(NSInteger code, NSString *description);
BOOL fake_fails(NSError **error, NSError *why); /* NO, with *error set where there is one */
/* The error of an operation that was asked to fail, with one beneath it. */
NSError *fake_injected(const char *operation);

extern bool fake_savable; /* it was asked whether the VM can be saved, and it can */

void fake_broken(const char *rule, SEL where) __attribute__((noreturn));
void fake_need(id object, SEL where); /* nil breaks a rule */

#endif
