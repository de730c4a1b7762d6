/* The part of Apple's vmnet API that shim/vz calls. */
#ifndef VT_CONTRACT_VMNET_H
#define VT_CONTRACT_VMNET_H

#include <netinet/in.h>
#include <stdint.h>
#ifdef __APPLE__
#include <os/availability.h>
#endif

#ifndef API_AVAILABLE
#define API_AVAILABLE(...)
#endif

typedef enum __attribute__((enum_extensibility(open)))
: uint32_t {
      VMNET_HOST_MODE = 1000,
      VMNET_SHARED_MODE = 1001,
      VMNET_BRIDGED_MODE = 1002
  } vmnet_mode_t;

typedef enum __attribute__((enum_extensibility(open)))
: uint32_t {
      VMNET_SUCCESS = 1000,
      VMNET_FAILURE = 1001,
      VMNET_MEM_FAILURE = 1002,
      VMNET_INVALID_ARGUMENT = 1003,
      VMNET_INVALID_ACCESS = 1005,
      VMNET_SHARING_SERVICE_BUSY = 1009,
      VMNET_NOT_AUTHORIZED = 1010
  } vmnet_return_t;

typedef struct vmnet_network_configuration *vmnet_network_configuration_ref;
typedef struct vmnet_network *vmnet_network_ref;

/* Both results are freed by CFRelease(). */
vmnet_network_configuration_ref _Nullable vmnet_network_configuration_create(
    vmnet_mode_t mode, vmnet_return_t *_Nullable status) API_AVAILABLE(macos(26.0));
vmnet_network_ref _Nullable vmnet_network_create(vmnet_network_configuration_ref _Nonnull config,
                                                 vmnet_return_t *_Nullable status)
    API_AVAILABLE(macos(26.0));

/* The address is called the subnet's in Apple's header; programs that use it give the host's own,
 * the second of the subnet, and tell that the network does not start with the first. */
vmnet_return_t vmnet_network_configuration_set_ipv4_subnet(
    vmnet_network_configuration_ref _Nonnull config, struct in_addr const *_Nonnull subnet_addr,
    struct in_addr const *_Nonnull subnet_mask) API_AVAILABLE(macos(26.0));

#endif
