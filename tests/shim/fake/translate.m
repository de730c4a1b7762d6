#import "translate.h"

#include <stdlib.h>

static const char *path_of(NSURL *url)
{
    return url ? [[url path] fileSystemRepresentation] : NULL;
}

static void translate_boot(VZBootLoader *loader, struct guest_config *to)
{
    if ([loader isKindOfClass:[VZLinuxBootLoader class]]) {
        VZLinuxBootLoader *linux_loader = (VZLinuxBootLoader *)loader;
        to->boot = "linux";
        to->kernel = path_of([linux_loader kernelURL]);
        to->initrd = path_of([linux_loader initialRamdiskURL]);
        to->cmdline = [[linux_loader commandLine] UTF8String] ?: "";
    } else if ([loader isKindOfClass:[VZEFIBootLoader class]]) {
        to->boot = "efi";
        to->variables = path_of([[(VZEFIBootLoader *)loader variableStore] URL]);
    } else {
        to->boot = "macos";
    }
}

struct guest_disk fake_translate_disk(VZStorageDeviceConfiguration *device)
{
    struct guest_disk disk = {.bus = "virtio"};
    id attachment = [device attachment];
    if ([attachment isKindOfClass:[VZDiskImageStorageDeviceAttachment class]]) {
        disk.path = path_of([(VZDiskImageStorageDeviceAttachment *)attachment URL]);
        disk.read_only = [(VZDiskImageStorageDeviceAttachment *)attachment isReadOnly];
    } else {
        VZNetworkBlockDeviceStorageDeviceAttachment *nbd = attachment;
        disk.nbd = [[[nbd URL] absoluteString] UTF8String];
        disk.read_only = [nbd isForcedReadOnly];
    }
    if ([device isKindOfClass:[VZNVMExpressControllerDeviceConfiguration class]])
        disk.bus = "nvme";
    else if ([device isKindOfClass:[VZUSBMassStorageDeviceConfiguration class]])
        disk.bus = "usb";
    else
        disk.id = [[(VZVirtioBlockDeviceConfiguration *)device blockDeviceIdentifier] UTF8String];
    return disk;
}

static void add_share(struct guest_config *to, struct guest_share *shares, NSString *tag,
                      NSString *name, VZSharedDirectory *directory)
{
    shares[to->share_count++] = (struct guest_share){.tag = [tag UTF8String],
                                                     .name = [name UTF8String],
                                                     .path = path_of([directory URL]),
                                                     .read_only = [directory isReadOnly]};
}

static void translate_shares(NSArray *devices, struct guest_config *to)
{
    size_t room = 1;
    for (VZVirtioFileSystemDeviceConfiguration *device in devices)
        room += [[device share] isKindOfClass:[VZMultipleDirectoryShare class]]
                    ? [[(VZMultipleDirectoryShare *)[device share] directories] count]
                    : 1;
    struct guest_share *shares = calloc(room, sizeof *shares);
    to->shares = shares;
    for (VZVirtioFileSystemDeviceConfiguration *device in devices) {
        id share = [device share];
        if ([share isKindOfClass:[VZSingleDirectoryShare class]])
            add_share(to, shares, [device tag], nil, [(VZSingleDirectoryShare *)share directory]);
        if (![share isKindOfClass:[VZMultipleDirectoryShare class]])
            continue; /* Rosetta's has no directory of the user's */
        NSDictionary *directories = [(VZMultipleDirectoryShare *)share directories];
        for (NSString *name in directories)
            add_share(to, shares, [device tag], name, [directories objectForKey:name]);
    }
}

static void translate_nics(NSArray *devices, struct guest_config *to)
{
    struct guest_nic *nics = calloc([devices count] + 1, sizeof *nics);
    to->nics = nics;
    for (VZNetworkDeviceConfiguration *device in devices) {
        id attachment = [device attachment];
        nics[to->nic_count++] = (struct guest_nic){
            .mac = [[[device MACAddress] string] UTF8String],
            .kind = [attachment isKindOfClass:[VZNATNetworkDeviceAttachment class]] ? "nat"
                    : [attachment isKindOfClass:[VZBridgedNetworkDeviceAttachment class]]
                        ? "bridged"
                        : "vmnet"};
    }
}

static void translate_console(NSArray *ports, struct guest_config *to)
{
    id attachment = [[ports lastObject] attachment];
    to->console_out = to->console_in = -1;
    if (![attachment isKindOfClass:[VZFileHandleSerialPortAttachment class]])
        return;
    to->console_out =
        [[(VZFileHandleSerialPortAttachment *)attachment fileHandleForWriting] fileDescriptor];
    if ([(VZFileHandleSerialPortAttachment *)attachment fileHandleForReading])
        to->console_in =
            [[(VZFileHandleSerialPortAttachment *)attachment fileHandleForReading] fileDescriptor];
}

void fake_translate(VZVirtualMachineConfiguration *from, struct guest_config *to)
{
    NSArray *devices = [from storageDevices];
    struct guest_disk *disks = calloc([devices count] + 1, sizeof *disks);
    *to = (struct guest_config){.memory = [from memorySize], .cpus = (unsigned)[from CPUCount]};
    translate_boot([from bootLoader], to);
    to->disks = disks;
    for (VZStorageDeviceConfiguration *device in devices)
        disks[to->disk_count++] = fake_translate_disk(device);
    translate_shares([from directorySharingDevices], to);
    translate_nics([from networkDevices], to);
    translate_console([from serialPorts], to);
    to->vsock = [[from socketDevices] count] > 0;
    to->usb = [[from usbControllers] count] > 0;
}

void fake_translated_free(struct guest_config *config)
{
    free((void *)config->disks);
    free((void *)config->shares);
    free((void *)config->nics);
}
