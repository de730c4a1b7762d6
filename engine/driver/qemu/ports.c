/* The ports of guest agents, and the ways into the guest. */
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/instance.h"
#include "guest/agent.h"
#include "guest/qga.h"
#include "guest/ssh.h"

/* Channels that are a port, each with a socket of the channel's name in the VM's state folder. */
struct port {
    const char *channel;
    const char *name; /* as the guest sees it */
};

static const struct port ports[] = {
    {.channel = "agent", .name = "org.vmtest.agent.0"},
    {.channel = "qga", .name = "org.qemu.guest_agent.0"},
};

static bool is_port(const char *channel)
{
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
        if (!strcmp(ports[i].channel, channel))
            return true;
    return false;
}

void vt_qemu_argv_ports(struct vt_args *args, const struct vt_qemu_machine *m)
{
    bool bus = false;
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        const struct port *p = &ports[i];
        if (!vt_image_has_channel(m->config->image, p->channel))
            continue;
        if (!bus)
            vt_qemu_option(args, "-device", "virtio-serial-pci,id=ports");
        bus = true;
        char *path = vt_path_join(m->config->state_dir, p->channel);
        struct vt_buf prefix = VT_BUF_INIT;
        vt_buf_printf(&prefix, "socket,id=%s,server=on,wait=off,path=", p->channel);
        vt_qemu_path_option(args, "-chardev", prefix.data, path, "");
        vt_buf_free(&prefix);
        vt_free(path);
        vt_args_add(args, "-device");
        vt_args_printf(args, "virtserialport,bus=ports.0,chardev=%s,name=%s", p->channel, p->name);
    }
}

void vt_qemu_ports_remove(const struct vt_qemu *q)
{
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        char *path = vt_path_join(q->config->state_dir, ports[i].channel);
        vt_remove_tree(path, NULL);
        vt_free(path);
    }
}

static bool has_channel(const struct vt_qemu *q, const char *kind, struct vt_error *why)
{
    const struct vt_image *image = q->config->image;
    if (!strcmp(kind, "ssh") && !vt_vm_has_nat(q->config)) {
        vt_fail(why, VT_EUNSUPPORTED, "vm", "VM %s: no interface with NAT leads to its ssh",
                q->config->name);
        vt_hint(why, "give it one, or an image with vmtest's agent and channel = \"agent\"");
        return false;
    }
    if (is_port(kind) ? vt_image_has_channel(image, kind) : !strcmp(kind, "ssh") && image->ssh_user)
        return true;
    if (strcmp(kind, "ssh") != 0) {
        vt_fail(why, VT_EUNSUPPORTED, "vm", "the image \"%s\" names no channel \"%s\"", image->name,
                kind);
        vt_hint(why, "put it into the guest, and add it to \"channels\" in %s/image.json",
                image->dir);
    } else {
        vt_fail(why, VT_EUNSUPPORTED, "vm", "the image \"%s\" names no ssh user", image->name);
        vt_hint(why, "add \"ssh\" to %s/image.json", image->dir);
    }
    return false;
}

bool vt_qemu_has_way_in(const struct vt_qemu *q, struct vt_error *why)
{
    return has_channel(q, vt_vm_channel_kind(q->config), why);
}

struct vt_channel *vt_qemu_channel(void *instance, const char *kind, struct vt_error *err)
{
    struct vt_qemu *q = instance;
    const struct vt_image *image = q->config->image;
    if (!has_channel(q, kind, err))
        return NULL;
    if (is_port(kind)) {
        char *path = vt_path_join(q->config->state_dir, kind);
        struct vt_channel *ch =
            !strcmp(kind, "agent")
                ? vt_agent_new(q->loop, &(struct vt_agent_config){.socket_path = path}, err)
                : vt_qga_new(q->loop, &(struct vt_qga_config){.socket_path = path}, err);
        vt_free(path);
        return ch;
    }
    const struct vt_ssh_config ssh = {.host = "127.0.0.1",
                                      .port = q->forwards[0].host_port,
                                      .user = image->ssh_user,
                                      .key_file = image->ssh_key,
                                      .password = image->ssh_password,
                                      .host_key = image->ssh_host_key};
    return vt_ssh_new(q->loop, &ssh, err);
}

void vt_qemu_ports_info(const struct vt_qemu *q, json_t *facts)
{
    json_object_set_new(facts, "channel", json_string(vt_vm_channel_kind(q->config)));
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        if (!vt_image_has_channel(q->config->image, ports[i].channel))
            continue;
        char *path = vt_path_join(q->config->state_dir, ports[i].channel);
        json_object_set_new(facts, ports[i].channel, json_pack("{s:s}", "socket", path));
        vt_free(path);
    }
}
