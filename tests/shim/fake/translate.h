/* The framework's configuration, as the guest behind the fake is told it. */
#ifndef VT_TESTS_SHIM_TRANSLATE_H
#define VT_TESTS_SHIM_TRANSLATE_H

#import <Virtualization/Virtualization.h>

#include "guest.h"

/* The texts live as long as the autorelease pool; the arrays till fake_translated_free(). */
void fake_translate(VZVirtualMachineConfiguration *from, struct guest_config *to);
struct guest_disk fake_translate_disk(VZStorageDeviceConfiguration *device);
void fake_translated_free(struct guest_config *config);

#endif
