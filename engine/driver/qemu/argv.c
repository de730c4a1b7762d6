#include "driver/qemu/argv.h"

#include <string.h>

#include "core/mem.h"

static const struct vt_qemu_arch archs[] = {
    {.name = "x86_64",
     .machine = "q35",
     .panic_device = "pvpanic",
     .generation_device = "vmgenid,guid=auto",
     .card = "VGA",
     .screen_unasked = true},
    {.name = "aarch64",
     .machine = "virt",
     .panic_device = "pvpanic-pci",
     .card = "virtio-gpu-pci",
     .keyboard = "usb-kbd,bus=usb.0"},
};

const struct vt_qemu_arch *vt_qemu_arch(const char *name)
{
    for (size_t i = 1; i < sizeof archs / sizeof *archs; i++)
        if (!strcmp(archs[i].name, name))
            return &archs[i];
    return &archs[0];
}

void vt_qemu_escape(struct vt_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == ',')
            vt_buf_putc(out, ',');
        vt_buf_putc(out, *text);
    }
}

void vt_qemu_option(struct vt_args *args, const char *name, const char *value)
{
    vt_args_add(args, name);
    vt_args_add(args, value);
}

void vt_qemu_path_option(struct vt_args *args, const char *name, const char *prefix,
                         const char *path, const char *suffix)
{
    struct vt_buf value = VT_BUF_INIT;
    vt_buf_puts(&value, prefix);
    vt_qemu_escape(&value, path);
    vt_buf_puts(&value, suffix);
    vt_qemu_option(args, name, vt_buf_str(&value));
    vt_buf_free(&value);
}

void vt_qemu_argv_machine(struct vt_args *args, const char *arch, const char *accel)
{
    bool emulated = !strcmp(accel, "tcg");
    vt_qemu_option(args, "-machine", vt_qemu_arch(arch)->machine);
    /* 128 MiB of translated code serve a guest as well as the default of 1 GiB */
    vt_qemu_option(args, "-accel", emulated ? "tcg,tb-size=128" : accel);
    vt_qemu_option(args, "-cpu", emulated ? "max" : "host");
}

static void add_boot(struct vt_args *args, const struct vt_qemu_machine *m)
{
    const struct vt_image *image = m->config->image;
    vt_qemu_argv_firmware(args, m->firmware, m->vars);
    if (image->kernel)
        vt_qemu_option(args, "-kernel", image->kernel);
    if (image->initrd)
        vt_qemu_option(args, "-initrd", image->initrd);
    if (image->kernel && image->append)
        vt_qemu_option(args, "-append", image->append);
}

static bool needs_usb(const struct vt_vm_config *c)
{
    bool usb = (c->screen || c->vnc) && vt_qemu_arch(c->image->arch)->keyboard;
    for (size_t i = 0; i < c->disk_count; i++)
        usb |= c->disks[i].bus == VT_DISK_USB;
    return usb;
}

static void add_disks(struct vt_args *args, const struct vt_qemu_machine *m)
{
    if (needs_usb(m->config))
        vt_qemu_option(args, "-device", "qemu-xhci,id=usb");
    for (size_t i = 0; i < m->disk_count; i++)
        if (m->dry)
            vt_qemu_disk_argv_dry(args, &m->disks[i]);
        else
            vt_qemu_disk_argv(args, &m->disks[i]);
    if (m->config->image->disk) {
        char top[VT_QEMU_NODE_MAX];
        vt_qemu_disk_top(&m->disks[0], top);
        vt_args_add(args, "-device");
        vt_args_printf(args, "virtio-blk-pci,drive=%s,id=%s%s", top, m->disks[0].id,
                       m->config->image->kernel ? "" : ",bootindex=0");
    }
    /* behind the image's disk: the guest counts them in this order */
    vt_qemu_argv_media(args, m->config->image);
    vt_qemu_argv_extra(args, m);
}

static void add_devices(struct vt_args *args, const struct vt_qemu_machine *m)
{
    vt_args_add(args, "-chardev");
    vt_args_printf(args, "socket,id=qmp,fd=%d,server=on,wait=off", VT_QEMU_FD_QMP);
    vt_qemu_option(args, "-mon", "chardev=qmp,mode=control");
    vt_qemu_argv_console(args, m);
    vt_qemu_argv_screen(args, m);
    vt_qemu_argv_net(args, m);
    vt_qemu_argv_shares(args, m);
    vt_qemu_argv_ports(args, m);
    vt_qemu_option(args, "-object", "rng-random,id=rng0,filename=/dev/urandom");
    vt_qemu_option(args, "-device", "virtio-rng-pci,rng=rng0");
    const struct vt_qemu_arch *arch = vt_qemu_arch(m->config->image->arch);
    vt_qemu_option(args, "-device", arch->panic_device);
    if (arch->generation_device) /* new with each process: a guest that knows it seeds itself anew
                                  */
        vt_qemu_option(args, "-device", arch->generation_device);
    vt_qemu_argv_slots(args, m);
}

void vt_qemu_argv(struct vt_args *args, const struct vt_qemu_machine *m)
{
    const struct vt_vm_config *c = m->config;
    vt_args_add(args, m->program);
    vt_qemu_path_option(args, "-name", "guest=", c->name, "");
    vt_args_add(args, "-nodefaults");
    vt_args_add(args, "-no-user-config");
    vt_qemu_option(args, "-display", "none");
    vt_args_add(args, "-S");
    vt_qemu_option(args, "-action", "reboot=reset,shutdown=poweroff,panic=shutdown");
    vt_qemu_argv_machine(args, c->image->arch, m->accel);
    vt_qemu_memory_argv(args, m->memory);
    vt_args_add(args, "-smp");
    vt_args_printf(args, "%d", c->cpus ? c->cpus : c->image->cpus);
    add_boot(args, m);
    add_disks(args, m);
    add_devices(args, m);
    if (m->incoming)
        vt_qemu_option(args, "-incoming", "defer");
}
