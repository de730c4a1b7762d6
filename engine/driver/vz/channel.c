/* The ways into the guest: the agent over vsock, ssh to the guest's own address. */
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "driver/vz/leases.h"
#include "driver/vz/machine.h"
#include "guest/agent.h"
#include "guest/ssh.h"

#define SSH_PORT 22

/* The interface with NAT, whose address is known on this host; (size_t)-1: there is none. */
static size_t nat_of(const struct vt_vm_config *c)
{
    size_t i = 0;
    while (c->nics && i < c->nic_count && c->nics[i].kind != VT_NIC_NAT)
        i++;
    return c->nics && i == c->nic_count ? (size_t)-1 : i;
}

static bool find_address(const struct vt_vz *vz, char out[VT_VZ_ADDRESS_MAX])
{
    const char *mac = vt_vz_mac(vz, nat_of(vz->config));
    struct vt_buf text = VT_BUF_INIT;
    bool found = mac && vt_read_file(VT_VZ_LEASES, VT_VZ_LEASES_MAX, &text, NULL) == VT_OK &&
                 vt_vz_lease_find(vt_buf_str(&text), text.len, mac, out);
    vt_buf_free(&text);
    return found;
}

/* Asked before each attempt to connect: the guest has its address some time after it booted. */
static bool find_host(void *user, char *host, size_t size, struct vt_error *why)
{
    const struct vt_vz *vz = user;
    char address[VT_VZ_ADDRESS_MAX];
    const char *mac = vt_vz_mac(vz, nat_of(vz->config));
    if (find_address(vz, address)) {
        snprintf(host, size, "%s", address);
        return true;
    }
    vt_fail(why, VT_EGUEST, "ssh", "%s has no address for VM %s (%s) yet", VT_VZ_LEASES,
            vz->config->name, mac ? mac : "no MAC address");
    return false;
}

static bool has_channel(const struct vt_vz *vz, const char *kind, struct vt_error *why)
{
    const struct vt_image *image = vz->config->image;
    bool ssh = !strcmp(kind, "ssh");
    if (!strcmp(kind, "qga")) {
        vt_fail(why, VT_EUNSUPPORTED, "vm",
                "the Virtualization framework has no port for QEMU's guest agent");
        vt_hint(why, "put vmtest's agent into the guest, and use channel = \"agent\"");
    } else if (ssh && nat_of(vz->config) == (size_t)-1) {
        vt_fail(why, VT_EUNSUPPORTED, "vm",
                "VM %s: the address of a guest without an interface with NAT is not known here, so "
                "there is no ssh to it",
                vz->config->name);
        vt_hint(why, "give it one, or an image with vmtest's agent and channel = \"agent\"");
    } else if (ssh && !image->ssh_user) {
        vt_fail(why, VT_EUNSUPPORTED, "vm", "the image \"%s\" names no ssh user", image->name);
        vt_hint(why, "add \"ssh\" to %s/image.json", image->dir);
    } else if (!ssh && !vt_image_has_channel(image, kind)) {
        vt_fail(why, VT_EUNSUPPORTED, "vm", "the image \"%s\" names no channel \"%s\"", image->name,
                kind);
        vt_hint(why, "put it into the guest, and add it to \"channels\" in %s/image.json",
                image->dir);
    } else {
        return true;
    }
    return false;
}

bool vt_vz_has_way_in(const struct vt_vz *vz, struct vt_error *why)
{
    return has_channel(vz, vt_vm_channel_kind(vz->config), why);
}

struct vt_channel *vt_vz_channel(void *instance, const char *kind, struct vt_error *err)
{
    struct vt_vz *vz = instance;
    const struct vt_image *image = vz->config->image;
    if (!has_channel(vz, kind, err))
        return NULL;
    if (!strcmp(kind, "agent"))
        return vt_agent_new(vz->loop, &(struct vt_agent_config){.socket_path = vz->agent}, err);
    const struct vt_ssh_config ssh = {.find = find_host,
                                      .find_user = vz,
                                      .port = SSH_PORT,
                                      .user = image->ssh_user,
                                      .key_file = image->ssh_key,
                                      .password = image->ssh_password,
                                      .host_key = image->ssh_host_key};
    return vt_ssh_new(vz->loop, &ssh, err);
}

void vt_vz_channel_info(const struct vt_vz *vz, json_t *facts)
{
    const struct vt_image *image = vz->config->image;
    char address[VT_VZ_ADDRESS_MAX];
    json_object_set_new(facts, "channel", json_string(vt_vm_channel_kind(vz->config)));
    if (vt_image_has_channel(image, "agent"))
        json_object_set_new(facts, "agent", json_pack("{s:s}", "socket", vz->agent));
    if (!vz->helper || !find_address(vz, address))
        return;
    json_object_set_new(facts, "address", json_string(address));
    if (image->ssh_user)
        json_object_set_new(facts, "ssh",
                            json_pack("{s:s, s:i, s:s, s:s*, s:s*}", "host", address, "port",
                                      SSH_PORT, "user", image->ssh_user, "key", image->ssh_key,
                                      "host_key", image->ssh_host_key));
}
