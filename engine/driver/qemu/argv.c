#include "driver/qemu/argv.h"

#include <string.h>

#include "core/mem.h"

#define MIB ((uint64_t)1 << 20)

/* What differs between the machines that QEMU emulates. */
struct arch {
    const char *name;
    const char *machine;
    const char *panic_device;
};

static const struct arch archs[] = {
    {.name = "x86_64", .machine = "q35", .panic_device = "pvpanic"},
    {.name = "aarch64", .machine = "virt", .panic_device = "pvpanic-pci"},
};

static const struct arch *find_arch(const char *name)
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

static void option(struct vt_args *args, const char *name, const char *value)
{
    vt_args_add(args, name);
    vt_args_add(args, value);
}

/* NAME PREFIX + escaped PATH + SUFFIX */
static void path_option(struct vt_args *args, const char *name, const char *prefix,
                        const char *path, const char *suffix)
{
    struct vt_buf value = VT_BUF_INIT;
    vt_buf_puts(&value, prefix);
    vt_qemu_escape(&value, path);
    vt_buf_puts(&value, suffix);
    option(args, name, vt_buf_str(&value));
    vt_buf_free(&value);
}

void vt_qemu_argv_machine(struct vt_args *args, const char *arch, const char *accel)
{
    bool emulated = !strcmp(accel, "tcg");
    option(args, "-machine", find_arch(arch)->machine);
    /* 128 MiB of translated code serve a guest as well as the default of 1 GiB */
    option(args, "-accel", emulated ? "tcg,tb-size=128" : accel);
    option(args, "-cpu", emulated ? "max" : "host");
}

static void add_boot(struct vt_args *args, const struct vt_qemu_machine *m)
{
    const struct vt_image *image = m->config->image;
    if (m->firmware)
        option(args, "-bios", m->firmware);
    if (image->kernel)
        option(args, "-kernel", image->kernel);
    if (image->initrd)
        option(args, "-initrd", image->initrd);
    if (image->kernel && image->append)
        option(args, "-append", image->append);
    if (!m->overlay)
        return;
    /* an overlay lives no longer than its VM: nobody needs it on the platter */
    path_option(args, "-drive",
                "if=none,id=disk0,format=qcow2,cache=unsafe,discard=unmap,file=", m->overlay, "");
    option(args, "-device",
           image->kernel ? "virtio-blk-pci,drive=disk0" : "virtio-blk-pci,drive=disk0,bootindex=0");
}

static void add_devices(struct vt_args *args, const struct vt_qemu_machine *m)
{
    struct vt_buf qmp = VT_BUF_INIT, console = VT_BUF_INIT;
    vt_buf_printf(&qmp, "socket,id=qmp,fd=%d,server=on,wait=off", VT_QEMU_FD_QMP);
    option(args, "-chardev", vt_buf_str(&qmp));
    vt_buf_free(&qmp);
    option(args, "-mon", "chardev=qmp,mode=control");
    vt_buf_printf(&console, "socket,id=console,fd=%d", VT_QEMU_FD_CONSOLE);
    if (m->config->console_log) {
        vt_buf_puts(&console, ",logappend=on,logfile=");
        vt_qemu_escape(&console, m->config->console_log);
    }
    option(args, "-chardev", vt_buf_str(&console));
    vt_buf_free(&console);
    option(args, "-serial", "chardev:console");
    option(args, "-netdev", "user,id=net0");
    option(args, "-device", "virtio-net-pci,netdev=net0,romfile=");
    option(args, "-object", "rng-random,id=rng0,filename=/dev/urandom");
    option(args, "-device", "virtio-rng-pci,rng=rng0");
    option(args, "-device", find_arch(m->config->image->arch)->panic_device);
}

void vt_qemu_argv(struct vt_args *args, const struct vt_qemu_machine *m)
{
    const struct vt_vm_config *c = m->config;
    uint64_t memory = c->memory ? c->memory : c->image->memory;
    vt_args_add(args, m->program);
    path_option(args, "-name", "guest=", c->name, "");
    vt_args_add(args, "-nodefaults");
    vt_args_add(args, "-no-user-config");
    option(args, "-display", "none");
    vt_args_add(args, "-S");
    option(args, "-action", "reboot=reset,shutdown=poweroff,panic=shutdown");
    vt_qemu_argv_machine(args, c->image->arch, m->accel);
    vt_args_add(args, "-m");
    vt_args_printf(args, "%llu", (unsigned long long)((memory + MIB - 1) / MIB));
    vt_args_add(args, "-smp");
    vt_args_printf(args, "%d", c->cpus ? c->cpus : c->image->cpus);
    add_boot(args, m);
    add_devices(args, m);
}
