#import <Virtualization/Virtualization.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

NSString *const VZErrorDomain = @"VZErrorDomain";

bool fake_on(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value;
}

long fake_number(const char *variable, long fallback)
{
    return fake_on(variable) ? strtol(getenv(variable), NULL, 10) : fallback;
}

static double host_version(void)
{
    return fake_on("VMTEST_FAKE_VZ_OS") ? strtod(getenv("VMTEST_FAKE_VZ_OS"), NULL) : 99;
}

bool fake_has(double version)
{
    return host_version() + 0.001 >= version;
}

long fake_failing(const char *operation)
{
    const char *at = getenv("VMTEST_FAKE_VZ_FAIL");
    size_t n = strlen(operation);
    while (at && *at) {
        if (!strncmp(at, operation, n) && at[n] == '=')
            return strtol(at + n + 1, NULL, 10);
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    return 0;
}

NSError *fake_error(NSInteger code, NSString *description)
{
    return [NSError errorWithDomain:VZErrorDomain
                               code:code
                           userInfo:@{NSLocalizedDescriptionKey : description}];
}

BOOL fake_fails(NSError **error, NSError *why)
{
    if (error)
        *error = why;
    return NO;
}

NSError *fake_injected(const char *operation)
{
    NSError *below = [NSError errorWithDomain:@"NSPOSIXErrorDomain"
                                         code:22
                                     userInfo:@{NSLocalizedDescriptionKey : @"Invalid argument"}];
    return [NSError errorWithDomain:VZErrorDomain
                               code:fake_failing(operation)
                           userInfo:@{
                               NSLocalizedDescriptionKey : @"The operation was asked to fail.",
                               NSLocalizedFailureReasonErrorKey : @"A test wants it.",
                               NSLocalizedRecoverySuggestionErrorKey : @"Unset the variable.",
                               NSUnderlyingErrorKey : below
                           }];
}

void fake_broken(const char *rule, SEL where)
{
    fprintf(stderr, "fake: %s (%s)\n", rule, sel_getName(where));
    abort();
}

void fake_need(id object, SEL where)
{
    if (!object)
        fake_broken("nil was given", where);
}

@implementation NSProcessInfo (Fake)
- (NSOperatingSystemVersion)operatingSystemVersion
{
    NSOperatingSystemVersion version = {0, 0, 0};
    version.majorVersion = (NSInteger)host_version();
    version.minorVersion = (NSInteger)((host_version() - (double)version.majorVersion) * 10 + 0.5);
    return version;
}
@end

@implementation FakeObject
- (id)init
{
    if ((self = [super init]))
        values = [[NSMutableDictionary alloc] init];
    return self;
}

- (void)dealloc
{
    [values release];
    [super dealloc];
}

- (id)copyWithZone:(NSZone *)zone
{
    FakeObject *copy = [[[self class] allocWithZone:zone] init];
    [copy->values setDictionary:values];
    return copy;
}

- (id)valueOf:(NSString *)name
{
    return [[[values objectForKey:name] retain] autorelease];
}

- (void)keep:(id)value as:(NSString *)name
{
    if (value)
        [values setObject:value forKey:name];
    else
        [values removeObjectForKey:name];
}
@end
