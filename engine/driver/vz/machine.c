#include "driver/vz/machine.h"

#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/vz/digest.h"
#include "driver/vz/disks.h"

#define IDENTITY_FILE "machine.json"
#define CONSOLE_OF_LINUX "console=hvc0" /* the framework's serial port is Virtio's */

static const struct vt_nic plain_nat = {.kind = VT_NIC_NAT};

bool vt_vz_is_macos(const struct vt_vm_config *config)
{
    return !strcmp(config->image->os, "macos");
}

bool vt_vz_has_variables(const struct vt_vz *vz)
{
    return !vt_vz_is_macos(vz->config) && !vz->config->image->kernel;
}

/* --- its parts --- */

static json_t *file_in(const char *dir, const char *name)
{
    char *path = vt_path_join(dir, name);
    json_t *text = json_string(path);
    vt_free(path);
    return text;
}

static json_t *boot_of(const struct vt_vz *vz, const char *scratch)
{
    const struct vt_image *image = vz->config->image;
    if (vt_vz_is_macos(vz->config))
        return json_pack("{s:s, s:o, s:s}", "kind", "macos", "auxiliary",
                         file_in(scratch, VT_VZ_AUXILIARY_FILE), "hardware_model",
                         image->hardware_model);
    if (!image->kernel)
        return json_pack("{s:s, s:o}", "kind", "efi", "variables",
                         file_in(scratch, VT_VZ_VARIABLES_FILE));
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_puts(&line, image->append ? image->append : "");
    if (!strstr(vt_buf_str(&line), CONSOLE_OF_LINUX))
        vt_buf_printf(&line, "%s" CONSOLE_OF_LINUX, line.len ? " " : "");
    json_t *boot = json_pack("{s:s, s:s, s:s*, s:s}", "kind", "linux", "kernel", image->kernel,
                             "initrd", image->initrd, "cmdline", line.data);
    vt_buf_free(&line);
    return boot;
}

/* How a file is cached and written through. */
static void set_modes(const struct vt_vz *vz, json_t *disk)
{
    if (vz->options.disk_caching)
        json_object_set_new(disk, "caching", json_string(vz->options.disk_caching));
    if (vz->options.disk_sync)
        json_object_set_new(disk, "sync", json_string(vz->options.disk_sync));
}

static void add_file(const struct vt_vz *vz, json_t *disks, const char *path, const char *bus,
                     bool read_only)
{
    if (!path)
        return;
    json_t *disk =
        json_pack("{s:s, s:s, s:b}", "path", path, "bus", bus, "read_only", (int)read_only);
    set_modes(vz, disk);
    json_array_append_new(disks, disk);
}

static json_t *disk_of(const struct vt_vz *vz, const struct vt_disk *d, const char *scratch)
{
    json_t *disk = json_pack("{s:s, s:s, s:b}", "bus", vt_disk_bus_name(d->bus), "id", d->name,
                             "read_only", (int)d->read_only);
    char *name = vt_vz_disk_file(d);
    if (d->bus != VT_DISK_VIRTIO) /* only that has a serial number to be told */
        json_object_del(disk, "id");
    if (d->url)
        json_object_set_new(disk, "nbd", json_string(d->url));
    else
        json_object_set_new(
            disk, "path", vt_vz_disk_is_copied(d) ? file_in(scratch, name) : json_string(d->path));
    vt_free(name);
    if (!d->url)
        set_modes(vz, disk);
    return disk;
}

static json_t *disks_of(const struct vt_vz *vz, const char *scratch)
{
    const struct vt_vm_config *c = vz->config;
    json_t *disks = json_array();
    if (c->image->disk) {
        char *name = vt_vz_disk_file(NULL), *path = vt_path_join(scratch, name);
        add_file(vz, disks, path, "virtio", false);
        vt_free(name);
        vt_free(path);
    }
    add_file(vz, disks, c->image->seed, "virtio", true);
    add_file(vz, disks, c->image->iso, "usb", true);
    for (size_t i = 0; i < c->disk_count; i++)
        json_array_append_new(disks, disk_of(vz, &c->disks[i], scratch));
    return disks;
}

static size_t nic_count(const struct vt_vz *vz)
{
    return vz->config->nics ? vz->config->nic_count : 1;
}

static const struct vt_nic *nic_at(const struct vt_vz *vz, size_t i)
{
    return vz->config->nics ? &vz->config->nics[i] : &plain_nat;
}

const char *vt_vz_mac(const struct vt_vz *vz, size_t i)
{
    const json_t *macs = json_object_get(vz->identity, "macs");
    if (i >= nic_count(vz))
        return NULL;
    const char *configured = nic_at(vz, i)->mac;
    return configured ? configured : json_string_value(json_array_get(macs, i));
}

static json_t *nics_of(const struct vt_vz *vz)
{
    json_t *nics = json_array();
    for (size_t i = 0; i < nic_count(vz); i++) {
        const struct vt_nic *n = nic_at(vz, i);
        bool bridged = n->kind == VT_NIC_BRIDGED, vmnet = !bridged && vz->options.vmnet;
        json_array_append_new(nics, json_pack("{s:s, s:s*, s:s*, s:s*, s:s*}", "kind",
                                              bridged ? "bridged"
                                              : vmnet ? "vmnet"
                                                      : "nat",
                                              "mac", vt_vz_mac(vz, i), "interface",
                                              bridged ? n->network : NULL, "mode",
                                              vmnet ? vz->options.vmnet_mode : NULL, "subnet",
                                              vmnet ? vz->options.subnet : NULL));
    }
    return nics;
}

static json_t *shares_of(const struct vt_vm_config *c)
{
    json_t *shares = json_array();
    for (size_t i = 0; i < c->share_count; i++)
        json_array_append_new(shares, json_pack("{s:s, s:s, s:b}", "tag", c->shares[i].name, "path",
                                                c->shares[i].path, "read_only",
                                                (int)c->shares[i].read_only));
    return shares;
}

/* All of them as one, whose tag a macOS guest knows. */
static json_t *one_share_of(const struct vt_vm_config *c)
{
    json_t *paths = json_object();
    for (size_t i = 0; i < c->share_count; i++)
        json_object_set_new(paths, c->shares[i].name,
                            json_pack("{s:s, s:b}", "path", c->shares[i].path, "read_only",
                                      (int)c->shares[i].read_only));
    return json_pack("[{s:s, s:o}]", "tag", "automount", "paths", paths);
}

static void add_options(const struct vt_vz_options *o, json_t *config)
{
    if (o->rosetta)
        json_object_set_new(config, "rosetta", json_string(o->rosetta));
    if (o->nested)
        json_object_set_new(config, "nested", json_true());
    if (o->clipboard)
        json_object_set_new(config, "clipboard", json_true());
    if (!o->screen)
        return;
    json_t *screen = json_pack("{s:i, s:i}", "width", o->width, "height", o->height);
    if (o->ppi)
        json_object_set_new(screen, "ppi", json_integer(o->ppi));
    json_object_set_new(config, "screen", screen);
}

/* --- all of it --- */

static json_t *machine(const struct vt_vz *vz, const char *scratch, const char *console,
                       const char *agent)
{
    const struct vt_vm_config *c = vz->config;
    const struct vt_image *image = c->image;
    json_t *config = json_pack(
        "{s:i, s:I, s:o, s:o, s:o, s:o, s:{s:s, s:b}}", "cpus", c->cpus ? c->cpus : image->cpus,
        "memory", (json_int_t)(c->memory ? c->memory : image->memory), "boot", boot_of(vz, scratch),
        "disks", disks_of(vz, scratch), "nics", nics_of(vz), "shares",
        vz->options.automount ? one_share_of(c) : shares_of(c), "console", "path", console, "input",
        1);
    if (vt_image_has_channel(image, "agent"))
        json_object_set_new(config, "vsock",
                            json_pack("[{s:i, s:s}]", "port", VT_VZ_AGENT_PORT, "socket", agent));
    add_options(&vz->options, config);
    const char *id = vt_json_str(vz->identity, "machine_identifier", NULL);
    if (id)
        json_object_set_new(config, "machine_identifier", json_string(id));
    return config;
}

json_t *vt_vz_machine(const struct vt_vz *vz)
{
    return machine(vz, vz->config->scratch_dir, vz->console, vz->agent);
}

json_t *vt_vz_start_members(const struct vt_vz *vz)
{
    return vz->options.recovery ? json_pack("{s:b}", "recovery", 1) : NULL;
}

void vt_vz_machine_digest(const struct vt_vz *vz, char out[65])
{
    json_t *config = machine(vz, "", "", "");
    char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
    vt_vz_digest(text, strlen(text), out);
    free(text);
    json_decref(config);
}

/* --- what makes it this machine and no other --- */

static enum vt_code save_identity(const struct vt_vz *vz, struct vt_error *err)
{
    char *path = vt_path_join(vz->config->scratch_dir, IDENTITY_FILE);
    enum vt_code code = vt_json_save_unflushed(path, vz->identity, 0600, err);
    vt_free(path);
    return code;
}

enum vt_code vt_vz_identity_take(struct vt_vz *vz, const json_t *made, struct vt_error *err)
{
    static const char *const keys[] = {"machine_identifier", "macs"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(made, keys[i]);
        if (value)
            json_object_set(vz->identity, keys[i], value);
    }
    return save_identity(vz, err);
}

enum vt_code vt_vz_identity_replace(struct vt_vz *vz, const json_t *identity, struct vt_error *err)
{
    json_decref(vz->identity);
    vz->identity = json_is_object(identity) ? json_deep_copy(identity) : json_object();
    return save_identity(vz, err);
}

enum vt_code vt_vz_identity_load(struct vt_vz *vz, struct vt_error *err)
{
    char *path = vt_path_join(vz->config->scratch_dir, IDENTITY_FILE);
    json_t *found = NULL;
    enum vt_code code = vt_is_file(path) ? vt_json_load(path, &found, err) : VT_OK;
    vz->identity = found ? found : json_object();
    vt_free(path);
    return code;
}
