#include "vz/config_devices.h"

#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "vz/take.h"

enum { DISK_ID_MAX = 20 };

static void read_disk(struct vtz_disk *d, struct vtz_take *take)
{
    static const char *const buses[] = {
        [VTZ_BUS_VIRTIO] = "virtio", [VTZ_BUS_NVME] = "nvme", [VTZ_BUS_USB] = "usb"};
    static const char *const cachings[] = {[VTZ_CACHING_AUTOMATIC] = "automatic",
                                           [VTZ_CACHING_CACHED] = "cached",
                                           [VTZ_CACHING_UNCACHED] = "uncached"};
    static const char *const syncs[] = {
        [VTZ_SYNC_FULL] = "full", [VTZ_SYNC_FSYNC] = "fsync", [VTZ_SYNC_NONE] = "none"};
    d->path = vtz_take_path(take, "path", VTZ_OPTIONAL);
    d->nbd = vtz_take_text(take, "nbd", VTZ_OPTIONAL);
    d->bus = (enum vtz_bus)vtz_take_word(take, "bus", buses, 3, -1);
    d->read_only = vtz_take_bool(take, "read_only", false);
    d->id = vtz_take_text(take, "id", VTZ_OPTIONAL);
    d->caching = (enum vtz_caching)vtz_take_word(take, "caching", cachings, 3, 0);
    d->sync = (enum vtz_sync)vtz_take_word(take, "sync", syncs, 3, 0);
    vtz_take_end(take);
    if (!d->path == !d->nbd)
        vtz_take_fail(take, "path", "either \"path\" or \"nbd\" is needed");
    if (d->nbd && strncmp(d->nbd, "nbd://", 6) != 0 && strncmp(d->nbd, "nbds://", 7) != 0 &&
        strncmp(d->nbd, "nbd+unix://", 11) != 0 && strncmp(d->nbd, "nbds+unix://", 12) != 0)
        vtz_take_fail(take, "nbd", "is no URL of NBD");
    if (d->nbd && d->caching != VTZ_CACHING_AUTOMATIC)
        vtz_take_fail(take, "caching", "is for image files");
    if (d->nbd && d->sync == VTZ_SYNC_FSYNC)
        vtz_take_fail(take, "sync", "\"fsync\" is for image files");
    if (d->id && d->bus != VTZ_BUS_VIRTIO)
        vtz_take_fail(take, "id", "is for disks of \"virtio\"");
    for (const char *c = d->id; c && *c; c++)
        if (*c < ' ' || *c > '~' || c - d->id >= DISK_ID_MAX) {
            vtz_take_fail(take, "id", "has to be ASCII of at most %d characters", DISK_ID_MAX);
            break;
        }
}

void vtz_read_disks(struct vtz_config *config, const json_t *list, struct vtz_failure *failure)
{
    struct vtz_take take;
    for (size_t i = 0; i < json_array_size(list); i++) {
        vtz_take_begin(&take, json_array_get(list, i), failure, "config.disks[%zu]", i);
        read_disk(&config->disks[config->disk_count++], &take);
    }
}

static bool is_mac(const char *text)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? text[i] != ':' : !text[i] || !strchr(hex, text[i]))
            return false;
    return !text[17];
}

static void read_nic(struct vtz_nic *nic, struct vtz_take *take)
{
    static const char *const kinds[] = {
        [VTZ_NIC_NAT] = "nat", [VTZ_NIC_BRIDGED] = "bridged", [VTZ_NIC_VMNET] = "vmnet"};
    static const char *const modes[] = {"shared", "host"};
    nic->kind = (enum vtz_nic_kind)vtz_take_word(take, "kind", kinds, 3, -1);
    nic->mac = vtz_take_text(take, "mac", VTZ_OPTIONAL);
    if (nic->mac && !is_mac(nic->mac))
        vtz_take_fail(take, "mac", "has to be like \"02:00:00:11:22:33\"");
    if (nic->kind == VTZ_NIC_BRIDGED)
        nic->bridge = vtz_take_text(take, "interface", VTZ_REQUIRED);
    if (nic->kind == VTZ_NIC_VMNET) {
        const char *subnet = vtz_take_text(take, "subnet", VTZ_OPTIONAL);
        nic->host_only = vtz_take_word(take, "mode", modes, 2, 0) == 1;
        nic->has_subnet = subnet && vt_parse_subnet(subnet, &nic->subnet, &nic->mask);
        if (subnet && !nic->has_subnet)
            vtz_take_fail(take, "subnet", "has to be a network like \"192.168.77.0/24\"");
    }
    vtz_take_end(take);
}

void vtz_read_nics(struct vtz_config *config, const json_t *list, struct vtz_failure *failure)
{
    struct vtz_take take;
    for (size_t i = 0; i < json_array_size(list); i++) {
        vtz_take_begin(&take, json_array_get(list, i), failure, "config.nics[%zu]", i);
        read_nic(&config->nics[config->nic_count++], &take);
    }
}

static bool is_dir_name(const char *name)
{
    return *name && strlen(name) <= 255 && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static size_t read_dirs(struct vtz_dir *dirs, json_t *paths, struct vtz_take *share)
{
    const char *name;
    json_t *value;
    size_t n = 0;
    if (!json_is_object(paths) || !json_object_size(paths) ||
        json_object_size(paths) > VTZ_DIRS_MAX) {
        vtz_take_fail(share, "paths", "has to be an object of 1 to %d members", VTZ_DIRS_MAX);
        return 0;
    }
    json_object_foreach(paths, name, value)
    {
        struct vtz_take take;
        vtz_take_begin(&take, value, share->failure, "%.60s.paths.%.60s", share->place, name);
        if (!is_dir_name(name))
            vtz_take_fail(share, "paths", "\"%.60s\" cannot be a directory's name", name);
        dirs[n].name = name;
        dirs[n].path = vtz_take_path(&take, "path", VTZ_REQUIRED);
        dirs[n++].read_only = vtz_take_bool(&take, "read_only", false);
        vtz_take_end(&take);
    }
    return n;
}

static void read_share(struct vtz_share *share, struct vtz_take *take)
{
    share->tag = vtz_take_text(take, "tag", VTZ_REQUIRED);
    share->automount = share->tag && !strcmp(share->tag, "automount");
    if (share->tag && strlen(share->tag) > VTZ_TAG_MAX)
        vtz_take_fail(take, "tag", "has to be of at most %d bytes", VTZ_TAG_MAX);
    const char *path = vtz_take_path(take, "path", VTZ_OPTIONAL);
    json_t *paths = vtz_take_value(take, "paths", VTZ_OPTIONAL);
    bool read_only = false;
    if (!path == !paths)
        vtz_take_fail(take, "path", "either \"path\" or \"paths\" is needed");
    if (!paths)
        read_only = vtz_take_bool(take, "read_only", false);
    vtz_take_end(take);
    struct vtz_dir *dirs = vt_calloc(paths ? VTZ_DIRS_MAX : 1, sizeof *dirs);
    share->dirs = dirs;
    if (paths) {
        share->dir_count = read_dirs(dirs, paths, take);
    } else {
        share->dir_count = 1;
        dirs[0] = (struct vtz_dir){.path = path, .read_only = read_only};
    }
}

void vtz_read_shares(struct vtz_config *config, const json_t *list, struct vtz_failure *failure)
{
    struct vtz_take take;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct vtz_share *share = &config->shares[config->share_count++];
        vtz_take_begin(&take, json_array_get(list, i), failure, "config.shares[%zu]", i);
        read_share(share, &take);
        for (size_t k = 0; k < i && share->tag; k++)
            if (config->shares[k].tag && !strcmp(config->shares[k].tag, share->tag))
                vtz_take_fail(&take, "tag", "another share has it already");
    }
}

void vtz_read_ports(struct vtz_config *config, const json_t *list, struct vtz_failure *failure)
{
    struct vtz_take take;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct vtz_port *port = &config->ports[config->port_count++];
        vtz_take_begin(&take, json_array_get(list, i), failure, "config.vsock[%zu]", i);
        port->port = (uint32_t)vtz_take_uint(&take, "port", 0, UINT32_MAX - 1);
        port->socket = vtz_take_socket(&take, "socket", 0);
        vtz_take_end(&take);
    }
}
