/* CONFIG's disks, shares, screen and consoles. */
#import "vz/apple.h"

#include <stdio.h>

#define NBD_SECONDS 30.0 /* without an answer, till the guest sees an I/O error */

/* ---- disks ---- */

static VZStorageDeviceAttachment *image(const struct vtz_disk *disk, const char *place,
                                        struct vtz_outcome *out)
{
    static const VZDiskImageCachingMode cachings[] = {
        [VTZ_CACHING_AUTOMATIC] = VZDiskImageCachingModeAutomatic,
        [VTZ_CACHING_CACHED] = VZDiskImageCachingModeCached,
        [VTZ_CACHING_UNCACHED] = VZDiskImageCachingModeUncached};
    static const VZDiskImageSynchronizationMode syncs[] = {
        [VTZ_SYNC_FULL] = VZDiskImageSynchronizationModeFull,
        [VTZ_SYNC_FSYNC] = VZDiskImageSynchronizationModeFsync,
        [VTZ_SYNC_NONE] = VZDiskImageSynchronizationModeNone};
    NSError *error = nil;
    VZStorageDeviceAttachment *attachment =
        [[[VZDiskImageStorageDeviceAttachment alloc] initWithURL:vtz_file_url(disk->path)
                                                        readOnly:disk->read_only
                                                     cachingMode:cachings[disk->caching]
                                             synchronizationMode:syncs[disk->sync]
                                                           error:&error] autorelease];
    if (!attachment)
        vtz_fail_error(&out->failure, error, place);
    return attachment;
}

static VZStorageDeviceAttachment *nbd(const struct vtz_disk *disk, const char *place,
                                      struct vtz_outcome *out)
{
    if (VTZ_HAS(14.0)) {
        NSError *error = nil;
        NSURL *url = [NSURL URLWithString:vtz_string(disk->nbd)];
        VZStorageDeviceAttachment *attachment = nil;
        if (url)
            attachment = [[[VZNetworkBlockDeviceStorageDeviceAttachment alloc]
                        initWithURL:(NSURL *_Nonnull)url
                            timeout:NBD_SECONDS
                     forcedReadOnly:disk->read_only
                synchronizationMode:disk->sync == VTZ_SYNC_NONE ? VZDiskSynchronizationModeNone
                                                                : VZDiskSynchronizationModeFull
                              error:&error] autorelease];
        if (!url)
            vtz_fail(&out->failure, VTZ_BAD_REQUEST, "%s: is no URL", place);
        else if (!attachment)
            vtz_fail_error(&out->failure, error, place);
        return attachment;
    }
    vtz_refuse(&out->failure, VT_APPLE_NBD, place);
    return nil;
}

static VZStorageDeviceConfiguration *virtio_disk(VZStorageDeviceAttachment *attachment,
                                                 const struct vtz_disk *disk, const char *place,
                                                 struct vtz_outcome *out)
{
    VZVirtioBlockDeviceConfiguration *device =
        [[[VZVirtioBlockDeviceConfiguration alloc] initWithAttachment:attachment] autorelease];
    if (!disk->id)
        return device;
    if (VTZ_HAS(12.3)) {
        device.blockDeviceIdentifier = vtz_string(disk->id);
        return device;
    }
    vtz_refuse(&out->failure, VT_APPLE_DISK_ID, place);
    return nil;
}

/* A saved state is restored into a VM whose USB disks have the UUIDs that they were saved with: by
 * their place in CONFIG, they have the same ones each time. */
API_AVAILABLE(macos(13.0))
static void add_uuid(VZUSBMassStorageDeviceConfiguration *device, size_t index)
{
    if (VTZ_HAS(15.0)) {
        char text[40];
        snprintf(text, sizeof text, "766D7465-7374-8000-8000-%012zX", index);
        NSUUID *uuid = [[[NSUUID alloc] initWithUUIDString:vtz_string(text)] autorelease];
        device.uuid = (NSUUID *_Nonnull)uuid;
    }
}

API_AVAILABLE(macos(13.0))
static VZStorageDeviceConfiguration *usb_disk(VZStorageDeviceAttachment *attachment, size_t index)
{
    VZUSBMassStorageDeviceConfiguration *device =
        [[[VZUSBMassStorageDeviceConfiguration alloc] initWithAttachment:attachment] autorelease];
    add_uuid(device, index);
    return device;
}

static VZStorageDeviceConfiguration *disk_device(VZStorageDeviceAttachment *attachment,
                                                 const struct vtz_disk *disk, size_t index,
                                                 const char *place, struct vtz_outcome *out)
{
    switch (disk->bus) {
    case VTZ_BUS_NVME:
        if (VTZ_HAS(14.0))
            return [[[VZNVMExpressControllerDeviceConfiguration alloc]
                initWithAttachment:attachment] autorelease];
        vtz_refuse(&out->failure, VT_APPLE_NVME, place);
        return nil;
    case VTZ_BUS_USB:
        if (VTZ_HAS(13.0))
            return usb_disk(attachment, index);
        vtz_refuse(&out->failure, VT_APPLE_USB_STORAGE, place);
        return nil;
    case VTZ_BUS_VIRTIO:
        break;
    }
    return virtio_disk(attachment, disk, place, out);
}

BOOL vtz_add_disks(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                   struct vtz_outcome *out)
{
    NSMutableArray *devices = [NSMutableArray array];
    char place[40];
    for (size_t i = 0; i < config->disk_count; i++) {
        const struct vtz_disk *disk = &config->disks[i];
        snprintf(place, sizeof place, "config.disks[%zu]", i);
        VZStorageDeviceAttachment *attachment =
            disk->nbd ? nbd(disk, place, out) : image(disk, place, out);
        VZStorageDeviceConfiguration *device =
            attachment
                ? disk_device((VZStorageDeviceAttachment *_Nonnull)attachment, disk, i, place, out)
                : nil;
        if (!device)
            return NO;
        [devices addObject:(VZStorageDeviceConfiguration *_Nonnull)device];
    }
    configuration.storageDevices = devices;
    return YES;
}

/* ---- shares ---- */

static VZSharedDirectory *directory(const struct vtz_dir *dir)
{
    return [[[VZSharedDirectory alloc] initWithURL:vtz_file_url(dir->path)
                                          readOnly:dir->read_only] autorelease];
}

static VZDirectoryShare *share_of(const struct vtz_share *share, const char *place,
                                  struct vtz_outcome *out)
{
    NSMutableDictionary *directories = [NSMutableDictionary dictionary];
    NSError *error = nil;
    if (!share->dirs[0].name)
        return [[[VZSingleDirectoryShare alloc] initWithDirectory:directory(&share->dirs[0])]
            autorelease];
    for (size_t i = 0; i < share->dir_count; i++) {
        NSString *name = vtz_string(share->dirs[i].name);
        if (![VZMultipleDirectoryShare validateName:name error:&error]) {
            vtz_fail_error(&out->failure, error, place);
            return nil;
        }
        [directories setObject:directory(&share->dirs[i]) forKey:name];
    }
    return [[[VZMultipleDirectoryShare alloc] initWithDirectories:directories] autorelease];
}

static NSString *tag_of(const struct vtz_share *share, const char *place, struct vtz_outcome *out)
{
    if (!share->automount)
        return vtz_string(share->tag);
    if (VTZ_HAS(13.0))
        return [VZVirtioFileSystemDeviceConfiguration macOSGuestAutomountTag];
    vtz_refuse(&out->failure, VT_APPLE_AUTOMOUNT, place);
    return nil;
}

static VZVirtioFileSystemDeviceConfiguration *
file_system(NSString *tag, VZDirectoryShare *share, const char *place, struct vtz_outcome *out)
{
    NSError *error = nil;
    VZVirtioFileSystemDeviceConfiguration *device;
    if (![VZVirtioFileSystemDeviceConfiguration validateTag:tag error:&error]) {
        vtz_fail_error(&out->failure, error, place);
        return nil;
    }
    device = [[[VZVirtioFileSystemDeviceConfiguration alloc] initWithTag:tag] autorelease];
    device.share = share;
    return device;
}

static VZDirectoryShare *rosetta(struct vtz_outcome *out)
{
#if VTZ_APPLE_SILICON
    if (VTZ_HAS(13.0)) {
        NSError *error = nil;
        VZDirectoryShare *share;
        if ([VZLinuxRosettaDirectoryShare availability] != VZLinuxRosettaAvailabilityInstalled) {
            vtz_fail(&out->failure, VTZ_UNSUPPORTED,
                     "config.rosetta: Rosetta is not installed on this host "
                     "(softwareupdate --install-rosetta)");
            return nil;
        }
        share = [[[VZLinuxRosettaDirectoryShare alloc] initWithError:&error] autorelease];
        if (!share)
            vtz_fail_error(&out->failure, error, "config.rosetta");
        return share;
    }
#endif
    vtz_refuse(&out->failure, VT_APPLE_ROSETTA, "config.rosetta");
    return nil;
}

BOOL vtz_add_shares(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                    struct vtz_outcome *out)
{
    NSMutableArray *devices = [NSMutableArray array];
    char place[40];
    for (size_t i = 0; i <= config->share_count; i++) {
        BOOL last = i == config->share_count; /* Rosetta's comes after the others */
        if (last && !config->rosetta)
            break;
        if (last)
            snprintf(place, sizeof place, "config.rosetta");
        else
            snprintf(place, sizeof place, "config.shares[%zu]", i);
        NSString *tag = last ? vtz_string(config->rosetta) : tag_of(&config->shares[i], place, out);
        VZDirectoryShare *share = nil;
        VZVirtioFileSystemDeviceConfiguration *device = nil;
        if (tag)
            share = last ? rosetta(out) : share_of(&config->shares[i], place, out);
        if (tag && share)
            device =
                file_system((NSString *_Nonnull)tag, (VZDirectoryShare *_Nonnull)share, place, out);
        if (!device)
            return NO;
        [devices addObject:(VZVirtioFileSystemDeviceConfiguration *_Nonnull)device];
    }
    configuration.directorySharingDevices = devices;
    return YES;
}

/* ---- screen, keyboard, pointer ---- */

/* Apple's own keyboard and trackpad: a VM with USB input cannot be saved. */
static void add_mac_screen(VZVirtualMachineConfiguration *configuration,
                           const struct vtz_config *config)
{
#if VTZ_APPLE_SILICON
    VZMacGraphicsDeviceConfiguration *graphics =
        [[[VZMacGraphicsDeviceConfiguration alloc] init] autorelease];
    NSInteger width = config->has_screen ? (NSInteger)config->width : 1920;
    NSInteger height = config->has_screen ? (NSInteger)config->height : 1200;
    NSInteger ppi = config->has_screen ? (NSInteger)config->ppi : 80;
    graphics.displays =
        @[ [[[VZMacGraphicsDisplayConfiguration alloc] initWithWidthInPixels:width
                                                              heightInPixels:height
                                                               pixelsPerInch:ppi] autorelease] ];
    configuration.graphicsDevices = @[ graphics ];
    if (VTZ_HAS(14.0))
        configuration.keyboards = @[ [[[VZMacKeyboardConfiguration alloc] init] autorelease] ];
    else
        configuration.keyboards = @[ [[[VZUSBKeyboardConfiguration alloc] init] autorelease] ];
    if (VTZ_HAS(13.0))
        configuration.pointingDevices =
            @[ [[[VZMacTrackpadConfiguration alloc] init] autorelease] ];
    else
        configuration.pointingDevices =
            @[ [[[VZUSBScreenCoordinatePointingDeviceConfiguration alloc] init] autorelease] ];
#else
    (void)configuration;
    (void)config;
#endif
}

BOOL vtz_add_screen(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                    struct vtz_outcome *out)
{
    if (config->boot.kind == VTZ_BOOT_MACOS) {
        add_mac_screen(configuration, config);
        return YES;
    }
    if (!config->has_screen)
        return YES;
    if (VTZ_HAS(13.0)) {
        VZVirtioGraphicsDeviceConfiguration *graphics =
            [[[VZVirtioGraphicsDeviceConfiguration alloc] init] autorelease];
        graphics.scanouts = @[ [[[VZVirtioGraphicsScanoutConfiguration alloc]
            initWithWidthInPixels:(NSInteger)config->width
                   heightInPixels:(NSInteger)config->height] autorelease] ];
        configuration.graphicsDevices = @[ graphics ];
        configuration.keyboards = @[ [[[VZUSBKeyboardConfiguration alloc] init] autorelease] ];
        configuration.pointingDevices =
            @[ [[[VZUSBScreenCoordinatePointingDeviceConfiguration alloc] init] autorelease] ];
        return YES;
    }
    vtz_refuse(&out->failure, VT_APPLE_LINUX_SCREEN, "config.screen");
    return NO;
}

/* ---- serial port, clipboard ---- */

static NSFileHandle *handle(int fd)
{
    return [[[NSFileHandle alloc] initWithFileDescriptor:fd closeOnDealloc:NO] autorelease];
}

static BOOL add_clipboard(VZVirtualMachineConfiguration *configuration, struct vtz_outcome *out)
{
    if (VTZ_HAS(13.0)) {
        VZSpiceAgentPortAttachment *agent = [[[VZSpiceAgentPortAttachment alloc] init] autorelease];
        VZVirtioConsolePortConfiguration *port =
            [[[VZVirtioConsolePortConfiguration alloc] init] autorelease];
        VZVirtioConsoleDeviceConfiguration *device =
            [[[VZVirtioConsoleDeviceConfiguration alloc] init] autorelease];
        agent.sharesClipboard = YES;
        port.name = [VZSpiceAgentPortAttachment spiceAgentPortName];
        port.attachment = agent;
        [device.ports setObject:port atIndexedSubscript:0];
        configuration.consoleDevices = @[ device ];
        return YES;
    }
    vtz_refuse(&out->failure, VT_APPLE_CLIPBOARD, "config.clipboard");
    return NO;
}

BOOL vtz_add_consoles(VZVirtualMachineConfiguration *configuration, const struct vtz_config *config,
                      struct vtz_outcome *out)
{
    if (config->console_out >= 0) {
        NSFileHandle *from = config->console_in >= 0 ? handle(config->console_in) : nil;
        VZVirtioConsoleDeviceSerialPortConfiguration *port =
            [[[VZVirtioConsoleDeviceSerialPortConfiguration alloc] init] autorelease];
        port.attachment = [[[VZFileHandleSerialPortAttachment alloc]
            initWithFileHandleForReading:from
                    fileHandleForWriting:handle(config->console_out)] autorelease];
        configuration.serialPorts = @[ port ];
    }
    return !config->clipboard || add_clipboard(configuration, out);
}
