/* What the installer needs of the fake's one VM. */
#ifndef VT_TESTS_SHIM_MACHINE_H
#define VT_TESTS_SHIM_MACHINE_H

#import <Virtualization/Virtualization.h>

dispatch_queue_t fake_queue_of_machine(void);
void fake_check_queue(SEL where); /* off the VM's queue: a rule is broken */
void fake_install(VZVirtualMachineState state);

#endif
