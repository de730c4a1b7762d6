#include "vz/config.h"

#include <string.h>

#include "core/mem.h"
#include "vz/config_devices.h"
#include "vz/take.h"

#define MIB (UINT64_C(1) << 20)

static void read_boot(struct vtz_config *c, json_t *value, struct vtz_failure *failure)
{
    static const char *const kinds[] = {
        [VTZ_BOOT_LINUX] = "linux", [VTZ_BOOT_EFI] = "efi", [VTZ_BOOT_MACOS] = "macos"};
    struct vtz_boot *boot = &c->boot;
    struct vtz_take take;
    vtz_take_begin(&take, value, failure, "config.boot");
    boot->kind = (enum vtz_boot_kind)vtz_take_word(&take, "kind", kinds, 3, -1);
    switch (boot->kind) {
    case VTZ_BOOT_LINUX:
        boot->kernel = vtz_take_path(&take, "kernel", VTZ_REQUIRED);
        boot->initrd = vtz_take_path(&take, "initrd", VTZ_OPTIONAL);
        boot->cmdline = vtz_take_text(&take, "cmdline", VTZ_OPTIONAL);
        break;
    case VTZ_BOOT_EFI:
        boot->variables = vtz_take_path(&take, "variables", VTZ_REQUIRED);
        break;
    case VTZ_BOOT_MACOS:
        boot->auxiliary = vtz_take_path(&take, "auxiliary", VTZ_REQUIRED);
        boot->hardware_model = vtz_take_base64(&take, "hardware_model", VTZ_REQUIRED);
        break;
    }
    vtz_take_end(&take);
}

static void read_screen(struct vtz_config *c, json_t *value, struct vtz_failure *failure)
{
    struct vtz_take take;
    if (!value)
        return;
    vtz_take_begin(&take, value, failure, "config.screen");
    c->has_screen = true;
    c->width = (unsigned)vtz_take_uint(&take, "width", 1, 16384);
    c->height = (unsigned)vtz_take_uint(&take, "height", 1, 16384);
    c->ppi = (unsigned)vtz_take_uint_or(&take, "ppi", 1, 1000, 80);
    vtz_take_end(&take);
}

static void read_console(struct vtz_config *c, json_t *value, struct vtz_failure *failure)
{
    struct vtz_take take;
    if (!value)
        return;
    vtz_take_begin(&take, value, failure, "config.console");
    c->console_input = vtz_take_bool(&take, "input", false);
    c->console = c->console_input ? vtz_take_socket(&take, "path", strlen(".in"))
                                  : vtz_take_path(&take, "path", VTZ_REQUIRED);
    vtz_take_end(&take);
}

static void check_whole(const struct vtz_config *c, struct vtz_failure *failure)
{
    bool linux_guest = c->boot.kind != VTZ_BOOT_MACOS;
    if (c->memory % MIB)
        vtz_fail(failure, VTZ_BAD_REQUEST, "config.memory: has to be a multiple of 1 MiB");
    if (c->rosetta && !linux_guest)
        vtz_fail(failure, VTZ_BAD_REQUEST, "config.rosetta: is for Linux guests");
    if (c->rosetta && strlen(c->rosetta) > VTZ_TAG_MAX)
        vtz_fail(failure, VTZ_BAD_REQUEST, "config.rosetta: has to be of at most %d bytes",
                 VTZ_TAG_MAX);
    if (c->nested && !linux_guest)
        vtz_fail(failure, VTZ_BAD_REQUEST, "config.nested: is for Linux guests");
    for (size_t i = 0; i < c->disk_count && !linux_guest; i++)
        if (c->disks[i].bus == VTZ_BUS_NVME)
            vtz_fail(failure, VTZ_BAD_REQUEST,
                     "config.disks[%zu].bus: \"nvme\" is for Linux guests", i);
    for (size_t i = 0; i < c->share_count && c->rosetta; i++)
        if (!strcmp(c->shares[i].tag, c->rosetta))
            vtz_fail(failure, VTZ_BAD_REQUEST, "config.rosetta: a share has this tag already");
}

struct vtz_config *vtz_config_read(json_t *source, struct vtz_failure *failure)
{
    struct vtz_config *c = vt_calloc(1, sizeof *c);
    struct vtz_take take;
    c->source = json_incref(source);
    c->console_in = c->console_out = -1;
    vtz_take_begin(&take, source, failure, "config");
    c->cpus = (unsigned)vtz_take_uint(&take, "cpus", 1, 1024);
    c->memory = vtz_take_uint(&take, "memory", MIB, INT64_MAX);
    json_t *boot = vtz_take_value(&take, "boot", VTZ_REQUIRED);
    if (boot)
        read_boot(c, boot, failure);
    vtz_read_disks(c, vtz_take_array(&take, "disks", VTZ_DISKS_MAX), failure);
    vtz_read_nics(c, vtz_take_array(&take, "nics", VTZ_NICS_MAX), failure);
    vtz_read_shares(c, vtz_take_array(&take, "shares", VTZ_SHARES_MAX), failure);
    vtz_read_ports(c, vtz_take_array(&take, "vsock", VTZ_PORTS_MAX), failure);
    c->rosetta = vtz_take_text(&take, "rosetta", VTZ_OPTIONAL);
    read_screen(c, vtz_take_value(&take, "screen", VTZ_OPTIONAL), failure);
    read_console(c, vtz_take_value(&take, "console", VTZ_OPTIONAL), failure);
    c->clipboard = vtz_take_bool(&take, "clipboard", false);
    c->nested = vtz_take_bool(&take, "nested", false);
    c->balloon = vtz_take_bool(&take, "balloon", true);
    c->entropy = vtz_take_bool(&take, "entropy", true);
    c->machine_identifier = vtz_take_base64(&take, "machine_identifier", VTZ_OPTIONAL);
    vtz_take_end(&take);
    if (!failure->message)
        check_whole(c, failure);
    if (!failure->message)
        return c;
    vtz_config_free(c);
    return NULL;
}

void vtz_config_free(struct vtz_config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->share_count; i++)
        vt_free_const(config->shares[i].dirs);
    json_decref(config->source);
    vt_free(config);
}
