#include "identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MARK "\nmachine "

enum { IDENTITY_MAX = 4096 };

static NSString *identity(VZVirtualMachineConfiguration *of)
{
    NSMutableString *text = [NSMutableString stringWithUTF8String:MARK];
    id platform = [of platform];
    [text appendString:[[[platform machineIdentifier] dataRepresentation]
                           base64EncodedStringWithOptions:0]
                           ?: @"-"];
    for (VZNetworkDeviceConfiguration *device in [of networkDevices])
        [text appendFormat:@" %@", [[device MACAddress] string]];
    for (id device in [of storageDevices])
        if (fake_has(15) && [device isKindOfClass:[VZUSBMassStorageDeviceConfiguration class]])
            [text appendFormat:@" %@", [[device uuid] UUIDString]];
    return text;
}

bool fake_identity_add(VZVirtualMachineConfiguration *of, const char *path, char why[GUEST_WHY])
{
    FILE *f = fopen(path, "a");
    bool good = f && fputs([identity(of) UTF8String], f) >= 0;
    if (f)
        good = fclose(f) == 0 && good;
    if (!good)
        snprintf(why, GUEST_WHY, "the machine's identity cannot be saved");
    return good;
}

/* What is behind the guest's state, as text; "" where nothing is. */
static void read_identity(const char *path, char out[IDENTITY_MAX])
{
    char tail[IDENTITY_MAX];
    FILE *f = fopen(path, "r");
    size_t n = 0, at;
    out[0] = '\0';
    if (f && fseek(f, 0, SEEK_END) == 0) {
        long size = ftell(f);
        fseek(f, size < IDENTITY_MAX - 1 ? 0 : size - (IDENTITY_MAX - 1), SEEK_SET);
        n = fread(tail, 1, IDENTITY_MAX - 1, f);
    }
    if (f)
        fclose(f);
    for (at = n; at > 0; at--)
        if (n - at >= strlen(MARK) && !memcmp(tail + at, MARK, strlen(MARK))) {
            memcpy(out, tail + at, n - at);
            out[n - at] = '\0';
            return;
        }
}

bool fake_identity_check(VZVirtualMachineConfiguration *of, const char *path, bool *other_machine,
                         char why[GUEST_WHY])
{
    char saved[IDENTITY_MAX];
    read_identity(path, saved);
    *other_machine = saved[0] != '\0';
    if (!saved[0])
        snprintf(why, GUEST_WHY, "this is no saved guest");
    else if (strcmp(saved, [identity(of) UTF8String]) != 0)
        snprintf(why, GUEST_WHY, "it was saved by another machine");
    else
        return true;
    return false;
}

uint32_t fake_random(void)
{
    uint32_t bits;
    if (getrandom(&bits, sizeof bits, 0) != sizeof bits)
        abort();
    return bits;
}
