/* CONFIG of protocol.md as C structs. All texts are borrowed from the JSON they were read from and
 * are never empty; NULL: not given. Paths are absolute. */
#ifndef VT_VZ_CONFIG_H
#define VT_VZ_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vz/failure.h"

struct json_t; /* jansson's */

enum {
    VTZ_DISKS_MAX = 32,
    VTZ_NICS_MAX = 16,
    VTZ_SHARES_MAX = 32,
    VTZ_DIRS_MAX = 64, /* of one share */
    VTZ_PORTS_MAX = 64,
    VTZ_TAG_MAX = 35 /* bytes: the framework takes less than 36 */
};

enum vtz_boot_kind { VTZ_BOOT_LINUX, VTZ_BOOT_EFI, VTZ_BOOT_MACOS };

struct vtz_boot {
    enum vtz_boot_kind kind;
    const char *kernel, *initrd, *cmdline; /* linux; the last two may be NULL */
    const char *variables;                 /* efi */
    const char *auxiliary;                 /* macos */
    const char *hardware_model;            /* macos, base64 */
};

enum vtz_bus { VTZ_BUS_VIRTIO, VTZ_BUS_NVME, VTZ_BUS_USB };
enum vtz_caching { VTZ_CACHING_AUTOMATIC, VTZ_CACHING_CACHED, VTZ_CACHING_UNCACHED };
enum vtz_sync { VTZ_SYNC_FULL, VTZ_SYNC_FSYNC, VTZ_SYNC_NONE };

struct vtz_disk {
    const char *path, *nbd; /* exactly one */
    enum vtz_bus bus;
    bool read_only;
    const char *id; /* with VTZ_BUS_VIRTIO alone; may be NULL */
    enum vtz_caching caching;
    enum vtz_sync sync;
};

enum vtz_nic_kind { VTZ_NIC_NAT, VTZ_NIC_BRIDGED, VTZ_NIC_VMNET };

struct vtz_nic {
    enum vtz_nic_kind kind;
    const char *mac;       /* "02:00:00:11:22:33", may be NULL */
    const char *bridge;    /* bridged: the interface's id */
    bool host_only;        /* vmnet: mode "host" */
    bool has_subnet;       /* vmnet */
    uint32_t subnet, mask; /* IPv4, in the host's byte order */
};

struct vtz_dir {
    const char *name; /* inside the share; NULL: it is the share */
    const char *path;
    bool read_only;
};

struct vtz_share {
    const char *tag;
    bool automount; /* the tag is the framework's own */
    const struct vtz_dir *dirs;
    size_t dir_count; /* at least 1 */
};

struct vtz_port {
    uint32_t port;
    const char *socket;
};

struct vtz_config {
    uint64_t memory; /* bytes */
    unsigned cpus;
    struct vtz_boot boot;
    struct vtz_disk disks[VTZ_DISKS_MAX];
    size_t disk_count;
    struct vtz_nic nics[VTZ_NICS_MAX];
    size_t nic_count;
    struct vtz_share shares[VTZ_SHARES_MAX];
    size_t share_count;
    const char *rosetta; /* a tag, may be NULL */
    bool has_screen;
    unsigned width, height, ppi; /* pixels; ppi 80 where it was not told */
    const char *console;         /* the file of the serial output, may be NULL */
    bool console_input;
    int console_out,
        console_in; /* descriptors for the guest's serial port, -1: none. Not from JSON:
                     * the core opens them before it calls the backend, and owns them */
    struct vtz_port ports[VTZ_PORTS_MAX]; /* of vsock */
    size_t port_count;
    bool clipboard, nested, balloon, entropy;
    const char *machine_identifier; /* base64, may be NULL */
    struct json_t *source;          /* what the texts lie in: a reference of its own */
};

/* Reads and checks CONFIG. NULL with *failure set ("config.disks[1].path: …"): 1 where it is no
 * such object. Files are not looked at. Opens nothing. */
struct vtz_config *vtz_config_read(struct json_t *source, struct vtz_failure *failure);

void vtz_config_free(struct vtz_config *config); /* NULL is fine; leaves the descriptors alone */

#endif
