/* CONFIG's networks. */
#import "vz/apple.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <vmnet/vmnet.h>

#include "core/mem.h"

static VZNetworkDeviceAttachment *bridged(const struct vtz_nic *nic, const char *place,
                                          struct vtz_outcome *out)
{
    NSString *wanted = vtz_string(nic->bridge);
    for (VZBridgedNetworkInterface *interface in [VZBridgedNetworkInterface networkInterfaces])
        if ([interface.identifier isEqualToString:wanted])
            return [[[VZBridgedNetworkDeviceAttachment alloc] initWithInterface:interface]
                autorelease];
    vtz_fail(&out->failure, VTZ_BAD_REQUEST,
             "%s.interface: this host has no interface \"%s\" to bridge to", place, nic->bridge);
    return nil;
}

#if VTZ_SDK(260000)
API_AVAILABLE(macos(26.0))
static vmnet_network_ref new_network(const struct vtz_nic *nic, vmnet_return_t *status)
{
    vmnet_network_configuration_ref configuration = vmnet_network_configuration_create(
        nic->host_only ? VMNET_HOST_MODE : VMNET_SHARED_MODE, status);
    vmnet_network_ref network = NULL;
    if (!configuration)
        return NULL;
    if (nic->has_subnet) {
        struct in_addr host = {.s_addr = htonl(nic->subnet + 1)};
        struct in_addr mask = {.s_addr = htonl(nic->mask)};
        *status = vmnet_network_configuration_set_ipv4_subnet(configuration, &host, &mask);
    }
    if (!nic->has_subnet || *status == VMNET_SUCCESS)
        network = vmnet_network_create(configuration, status);
    CFRelease(configuration);
    return network;
}

static const char *meaning_of(vmnet_return_t status)
{
    switch (status) {
    case VMNET_INVALID_ARGUMENT:
        return "it does not take the subnet";
    case VMNET_MEM_FAILURE: /* said to be the one without any entitlement */
    case VMNET_INVALID_ACCESS:
    case VMNET_NOT_AUTHORIZED:
        return "the helper is not allowed to: is it signed (docs/mac.md)?";
    case VMNET_SHARING_SERVICE_BUSY:
        return "another service of this host shares its network: end Internet Sharing";
    default:
        return "its subnet may be in use";
    }
}
#endif

static VZNetworkDeviceAttachment *vmnet(const struct vtz_nic *nic, const char *place,
                                        struct vtz_outcome *out)
{
#if VTZ_SDK(260000)
    if (VTZ_HAS(26.0)) {
        vmnet_return_t status = VMNET_FAILURE;
        vmnet_network_ref network = new_network(nic, &status);
        VZNetworkDeviceAttachment *attachment;
        if (!network) {
            vtz_fail(&out->failure, VTZ_UNSUPPORTED,
                     "%s: vmnet made no network (its status is %u); %s", place, (unsigned)status,
                     meaning_of(status));
            return nil;
        }
        attachment = [[[VZVmnetNetworkDeviceAttachment alloc]
            initWithNetwork:(vmnet_network_ref _Nonnull)network] autorelease];
        CFRelease(network);
        return attachment;
    }
#else
    (void)nic;
#endif
    vtz_refuse(&out->failure, VT_APPLE_VMNET, place);
    return nil;
}

static VZNetworkDeviceAttachment *attachment_of(const struct vtz_nic *nic, const char *place,
                                                struct vtz_outcome *out)
{
    switch (nic->kind) {
    case VTZ_NIC_NAT:
        return [[[VZNATNetworkDeviceAttachment alloc] init] autorelease];
    case VTZ_NIC_BRIDGED:
        return bridged(nic, place, out);
    case VTZ_NIC_VMNET:
        return vmnet(nic, place, out);
    }
    return nil;
}

BOOL vtz_add_nics(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                  struct vtz_outcome *out)
{
    NSMutableArray *devices = [NSMutableArray array];
    char place[40];
    out->made.macs = vt_calloc(VTZ_NICS_MAX, sizeof *out->made.macs);
    for (size_t i = 0; i < config->nic_count; i++) {
        const struct vtz_nic *nic = &config->nics[i];
        snprintf(place, sizeof place, "config.nics[%zu]", i);
        VZNetworkDeviceAttachment *attachment = attachment_of(nic, place, out);
        VZVirtioNetworkDeviceConfiguration *device;
        VZMACAddress *mac;
        if (!attachment)
            return NO;
        mac = nic->mac ? [[[VZMACAddress alloc] initWithString:vtz_string(nic->mac)] autorelease]
                       : [VZMACAddress randomLocallyAdministeredAddress];
        if (!mac) {
            vtz_fail(&out->failure, VTZ_BAD_REQUEST, "%s.mac: is no MAC address", place);
            return NO;
        }
        device = [[[VZVirtioNetworkDeviceConfiguration alloc] init] autorelease];
        device.attachment = attachment;
        device.MACAddress = (VZMACAddress *_Nonnull)mac;
        out->made.macs[out->made.mac_count++] = vtz_copy(mac.string);
        [devices addObject:device];
    }
    configuration.networkDevices = devices;
    return YES;
}
