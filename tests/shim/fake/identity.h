/* A saved state belongs to one machine: its identifier, its MAC addresses and the UUIDs of its USB
 * disks are behind the guest's own state in the file. */
#ifndef VT_TESTS_SHIM_FAKE_IDENTITY_H
#define VT_TESTS_SHIM_FAKE_IDENTITY_H

#import <Virtualization/Virtualization.h>

#include "guest.h"

/* Both are false with `why` set where it cannot be done, or is another machine's. */
bool fake_identity_add(VZVirtualMachineConfiguration *of, const char *path, char why[GUEST_WHY]);
bool fake_identity_check(VZVirtualMachineConfiguration *of, const char *path, bool *other_machine,
                         char why[GUEST_WHY]);

/* A number that no other process gets. */
uint32_t fake_random(void);

#endif
