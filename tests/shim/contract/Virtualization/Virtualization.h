/* The contract: the part of Apple's Virtualization API that shim/vz calls, with the macOS that each
 * part needs. Written from the documented names and signatures; it stands in for Apple's header
 * where there is no SDK, and must declare nothing that Apple does not (`scripts/audit-vz-contract`
 * compares the two). */
#ifndef VT_CONTRACT_VIRTUALIZATION_H
#define VT_CONTRACT_VIRTUALIZATION_H

#import <Virtualization/VZBase.h>
#import <Virtualization/VZBoot.h>
#import <Virtualization/VZDevices.h>
#import <Virtualization/VZMac.h>
#import <Virtualization/VZMachine.h>
#import <Virtualization/VZStorage.h>

#endif
