#include "qemu_argv.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/buf.h"
#include "qemu_monitor.h"

/* A comma inside a value is written twice. */
static void add_value(struct vt_args *args, const char *option, const char *prefix,
                      const char *value, const char *suffix)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_puts(&text, prefix);
    for (; *value; value++)
        vt_buf_puts(&text, *value == ',' ? ",," : (char[]){*value, '\0'});
    vt_buf_puts(&text, suffix);
    vt_args_add(args, option);
    vt_args_add(args, vt_buf_str(&text));
    vt_buf_free(&text);
}

static void add_words(struct vt_args *args, const char *const *words)
{
    for (; *words; words++)
        vt_args_add(args, *words);
}

static void add_machine(struct vt_args *args, const struct guest_config *c, const char *arch)
{
    unsigned long long mib = c->memory >> 20;
    static const char *const common[] = {"-nodefaults",
                                         "-no-user-config",
                                         "-display",
                                         "none",
                                         "-S",
                                         "-action",
                                         "reboot=reset,shutdown=poweroff,panic=shutdown",
                                         "-accel",
                                         "tcg,tb-size=128",
                                         "-cpu",
                                         "max",
                                         NULL};
    vt_args_printf(args, "qemu-system-%s", arch);
    add_words(args, common);
    vt_args_add(args, "-object");
    vt_args_printf(args, "memory-backend-memfd,id=ram0,size=%lluM,share=on", mib);
    vt_args_add(args, "-machine");
    vt_args_printf(args, "%s,memory-backend=ram0", strcmp(arch, "aarch64") ? "q35" : "virt");
    vt_args_add(args, "-m");
    vt_args_printf(args, "%llu", mib);
    vt_args_add(args, "-smp");
    vt_args_printf(args, "%u", c->cpus);
    vt_args_add(args, "-kernel");
    vt_args_add(args, c->kernel);
    if (c->initrd) {
        vt_args_add(args, "-initrd");
        vt_args_add(args, c->initrd);
    }
    vt_args_add(args, "-append");
    vt_args_add(args, c->cmdline);
}

static void add_disk(struct vt_args *args, const struct guest_disk *d, size_t i)
{
    static const struct {
        const char *bus, *device;
    } devices[] = {
        {"virtio", "virtio-blk-pci"}, {"nvme", "nvme"}, {"usb", "usb-storage,bus=usb.0"}};
    size_t k = 0;
    char prefix[96], serial[64];
    while (k < 2 && strcmp(devices[k].bus, d->bus) != 0)
        k++;
    snprintf(prefix, sizeof prefix, "if=none,id=d%zu,format=raw%s,file=", i,
             d->read_only ? ",readonly=on" : "");
    /* one that was killed may hold its files a moment longer than its helper lives */
    add_value(args, "-drive", prefix, d->path ? d->path : d->nbd,
              d->path ? ",file.locking=off" : "");
    if (d->id)
        snprintf(serial, sizeof serial, "%s", d->id);
    else
        snprintf(serial, sizeof serial, "fake%zu", i); /* NVMe cannot be without */
    vt_args_add(args, "-device");
    vt_args_printf(args, "%s,drive=d%zu,serial=%s", devices[k].device, i, serial);
}

static void add_devices(struct vt_args *args, const struct guest_config *c, char **share_sockets)
{
    bool usb = c->usb;
    for (size_t i = 0; i < c->disk_count; i++)
        usb |= !strcmp(c->disks[i].bus, "usb");
    if (usb)
        add_words(args, (const char *const[]){"-device", "qemu-xhci,id=usb", NULL});
    for (size_t i = 0; i < c->disk_count; i++)
        add_disk(args, &c->disks[i], i);
    for (size_t i = 0; i < c->nic_count; i++) {
        vt_args_add(args, "-netdev");
        vt_args_printf(args, "user,id=n%zu%s", i,
                       strcmp(c->nics[i].kind, "nat") ? ",restrict=on" : "");
        vt_args_add(args, "-device");
        vt_args_printf(args, "virtio-net-pci,netdev=n%zu,mac=%s", i, c->nics[i].mac);
    }
    for (size_t i = 0; i < c->share_count; i++) {
        char prefix[64], device[64];
        snprintf(prefix, sizeof prefix, "socket,id=fs%zu,path=", i);
        snprintf(device, sizeof device, "vhost-user-fs-pci,chardev=fs%zu,tag=", i);
        add_value(args, "-chardev", prefix, share_sockets[i], ",abstract=on");
        add_value(args, "-device", device, c->shares[i].tag, "");
    }
}

static void add_ports(struct vt_args *args, const struct guest_config *c)
{
    static const char *const serial[] = {"-chardev", "stdio,id=serial,signal=off", "-serial",
                                         "chardev:serial", NULL};
    vt_args_add(args, "-chardev");
    vt_args_printf(args, "socket,id=qmp,fd=%d", QEMU_FD_MONITOR);
    add_words(args, (const char *const[]){"-mon", "chardev=qmp,mode=control", NULL});
    if (c->console_out >= 0)
        add_words(args, serial);
    if (!c->vsock)
        return;
    vt_args_add(args, "-chardev");
    vt_args_printf(args, "socket,id=agent,fd=%d,server=on,wait=off", QEMU_FD_AGENT);
    add_words(args, (const char *const[]){"-device", "virtio-serial-pci,id=ports", "-device",
                                          "virtserialport,bus=ports.0,chardev=agent,"
                                          "name=org.vmtest.agent.0",
                                          NULL});
}

void qemu_argv(struct vt_args *args, const struct guest_config *config, char **share_sockets)
{
    struct utsname host;
    uname(&host);
    add_machine(args, config, host.machine);
    add_devices(args, config, share_sockets);
    add_ports(args, config);
    add_words(args, (const char *const[]){"-object", "rng-random,id=rng0,filename=/dev/urandom",
                                          "-device", "virtio-rng-pci,rng=rng0", NULL});
    if (!strcmp(host.machine, "x86_64"))
        add_words(args, (const char *const[]){"-device", "pvpanic", "-device", "vmgenid,guid=auto",
                                              NULL});
    if (config->restore)
        add_words(args, (const char *const[]){"-incoming", "defer", NULL});
}
