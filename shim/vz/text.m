#import "vz/apple.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

NSString *vtz_string(const char *text)
{
    return [NSString stringWithUTF8String:text] ?: @"";
}

NSURL *vtz_file_url(const char *path)
{
    return [NSURL fileURLWithPath:vtz_string(path)];
}

NSData *vtz_data(const char *base64)
{
    return [[[NSData alloc] initWithBase64EncodedString:vtz_string(base64) options:0] autorelease];
}

char *vtz_base64(NSData *data)
{
    return vt_strdup([[data base64EncodedStringWithOptions:0] UTF8String]);
}

char *vtz_copy(NSString *text)
{
    return vt_strdup([text UTF8String]);
}

char *vtz_version(NSOperatingSystemVersion version)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%ld.%ld", (long)version.majorVersion,
                     (long)version.minorVersion);
    if (version.patchVersion)
        snprintf(text + n, sizeof text - (size_t)n, ".%ld", (long)version.patchVersion);
    return vt_strdup(text);
}

static void fill(struct vtz_failure *failure, NSError *error, int depth)
{
    id below = [[error userInfo] objectForKey:NSUnderlyingErrorKey];
    failure->domain = vtz_copy([error domain]);
    failure->code = [error code];
    failure->message = vtz_copy([error localizedDescription]);
    failure->reason = vtz_copy([error localizedFailureReason]);
    failure->recovery = vtz_copy([error localizedRecoverySuggestion]);
    if (!failure->message)
        failure->message = vt_strdup("no description");
    if (depth < VTZ_UNDERLYING_MAX && [below isKindOfClass:[NSError class]]) {
        failure->underlying = vt_calloc(1, sizeof *failure->underlying);
        fill(failure->underlying, below, depth + 1);
    }
}

void vtz_fail_error(struct vtz_failure *failure, NSError *error, const char *place)
{
    if (failure->message)
        return;
    if (!error) {
        vtz_fail(failure, VTZ_INTERNAL, "%s%sthe framework failed and gave no error",
                 place ? place : "", place ? ": " : "");
        return;
    }
    fill(failure, error, 0);
    if (place) {
        size_t n = strlen(place) + strlen(failure->message) + 3;
        char *placed = vt_malloc(n);
        snprintf(placed, n, "%s: %s", place, failure->message);
        vt_free(failure->message);
        failure->message = placed;
    }
}
