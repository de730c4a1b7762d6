/* The fake's vmnet, and the freeing of what it makes. */
#import <Virtualization/Virtualization.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <vmnet/vmnet.h>

struct vmnet_network_configuration {
    struct in_addr host;
};

struct vmnet_network {
    struct in_addr host;
};

static int alive; /* of both kinds */

vmnet_network_configuration_ref vmnet_network_configuration_create(vmnet_mode_t mode,
                                                                   vmnet_return_t *status)
{
    if (mode != VMNET_HOST_MODE && mode != VMNET_SHARED_MODE)
        abort();
    *status = VMNET_SUCCESS;
    alive++;
    return calloc(1, sizeof(struct vmnet_network_configuration));
}

vmnet_return_t vmnet_network_configuration_set_ipv4_subnet(vmnet_network_configuration_ref config,
                                                           struct in_addr const *address,
                                                           struct in_addr const *mask)
{
    if (!(ntohl(address->s_addr) & ~ntohl(mask->s_addr)))
        return VMNET_FAILURE; /* the subnet's own address is no host's */
    config->host = *address;
    return VMNET_SUCCESS;
}

vmnet_network_ref vmnet_network_create(vmnet_network_configuration_ref config,
                                       vmnet_return_t *status)
{
    vmnet_network_ref network;
    *status = fake_failing("vmnet") ? (vmnet_return_t)fake_failing("vmnet") : VMNET_SUCCESS;
    if (*status != VMNET_SUCCESS)
        return NULL;
    network = calloc(1, sizeof *network);
    network->host = config->host;
    alive++;
    return network;
}

void CFRelease(const void *object)
{
    if (!object || --alive < 0)
        fake_broken("an object was released too often", @selector(release));
    free((void *)object);
}

@implementation VZVmnetNetworkDeviceAttachment
- (instancetype)initWithNetwork:(vmnet_network_ref)network
{
    if (!network)
        fake_broken("nil was given", _cmd);
    return [super init];
}
@end
