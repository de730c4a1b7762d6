/* Whether a configuration makes sense, whatever driver it is for. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/text.h"
#include "vm/internal.h"

#define OP "vm.new"
#define SERIAL_MAX 20 /* bytes of a virtio disk's serial number (virtio 1.2, 5.2.6.1) */
#define TAG_MAX 31    /* bytes of a 9p mount tag as QEMU takes it; virtiofs takes 35 */
#define BRIDGE_MAX 15 /* bytes of a Linux interface's name */

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
    size_t i = 0;
    while (i < count && strcmp(word, words[i]) != 0)
        i++;
    return i < count;
}

static enum vt_code check_machine(const struct vt_vm_config *c, const struct vt_driver *driver,
                                  struct vt_error *err)
{
    if (!c->name || !vt_is_plain_name(c->name))
        return vt_fail(err, VT_EINVAL, OP,
                       "\"%s\" cannot be a VM's name: 1 to 64 letters, digits, '.', '_', '-'",
                       c->name ? c->name : "");
    if (!c->image && driver->needs_image)
        return vt_fail(err, VT_EINVAL, OP, "VM %s: the %s driver needs an image", c->name,
                       driver->name);
    if (c->memory && c->memory < (16u << 20))
        return vt_fail(err, VT_EINVAL, OP, "VM %s: %llu bytes of memory are too few (at least 16M)",
                       c->name, (unsigned long long)c->memory);
    if (c->cpus < 0 || c->cpus > 256)
        return vt_fail(err, VT_EINVAL, OP, "VM %s: %d is no number of processors (1 to 256)",
                       c->name, c->cpus);
    if (c->channel && !is_one_of(c->channel, vt_channel_names(), 3))
        return vt_fail(err, VT_EINVAL, OP, "VM %s: \"%s\" is no channel (agent, ssh, qga)", c->name,
                       c->channel);
    static const char *const accels[] = {"auto", "kvm", "hvf", "tcg"};
    const char *accel = c->accel ? c->accel : "auto";
    if (!is_one_of(accel, accels, 4))
        return vt_fail(err, VT_EINVAL, OP, "VM %s: \"%s\" is no acceleration (auto, kvm, hvf, tcg)",
                       c->name, accel);
    if (!(c->wait >= 0))
        return vt_fail(err, VT_EINVAL, OP, "VM %s: a wait cannot be shorter than 0", c->name);
    for (size_t i = 0; i < c->forward_count; i++)
        if (c->forwards[i].host_port < 0 || c->forwards[i].host_port > 65535 ||
            c->forwards[i].guest_port < 1 || c->forwards[i].guest_port > 65535)
            return vt_fail(err, VT_EINVAL, OP, "VM %s: %d:%d is no pair of ports", c->name,
                           c->forwards[i].host_port, c->forwards[i].guest_port);
    return VT_OK;
}

enum vt_code vt__vm_disk_check(const struct vt_vm_config *c, const struct vt_disk *d, size_t place,
                               const char *op, struct vt_error *err)
{
    if (!d->name || !vt_is_plain_name(d->name) || strlen(d->name) > SERIAL_MAX)
        return vt_fail(err, VT_EINVAL, op,
                       "VM %s: disk %zu needs a plain name of at most %d characters", c->name,
                       place, SERIAL_MAX);
    if (!strcmp(d->name, "disk0"))
        return vt_fail(err, VT_EINVAL, op, "VM %s: \"disk0\" is the name of the image's own disk",
                       c->name);
    if (!!d->size + !!d->path + !!d->url != 1)
        return vt_fail(err, VT_EINVAL, op,
                       "VM %s: disk \"%s\" needs exactly one of \"size\", \"path\" and \"url\"",
                       c->name, d->name);
    if (d->size % 512 || (d->size && d->read_only) || (d->size && d->direct))
        return vt_fail(err, VT_EINVAL, op,
                       "VM %s: disk \"%s\": a new disk has a size that is a multiple of 512 bytes, "
                       "and is neither \"read_only\" nor \"direct\"",
                       c->name, d->name);
    if (d->path && d->path[0] != '/')
        return vt_fail(err, VT_EINVAL, op, "VM %s: disk \"%s\": \"%s\" is no absolute path",
                       c->name, d->name, d->path);
    static const char *const formats[] = {"raw", "qcow2"};
    if (d->format && (!d->path || !is_one_of(d->format, formats, 2)))
        return vt_fail(err, VT_EINVAL, op,
                       "VM %s: disk \"%s\": \"format\" is \"raw\" or \"qcow2\", of a \"path\"",
                       c->name, d->name);
    return VT_OK;
}

enum vt_code vt_vm_disk_file_check(const struct vt_vm_config *c, const struct vt_disk *d,
                                   const char *op, struct vt_error *err)
{
    if (!vt_is_file(d->path))
        return vt_fail(err, VT_ENOTFOUND, op, "VM %s: disk \"%s\": there is no file %s", c->name,
                       d->name, d->path);
    if (access(d->path, d->direct && !d->read_only ? R_OK | W_OK : R_OK))
        return vt_fail_sys(err, errno, op, "VM %s: disk \"%s\": %s", c->name, d->name, d->path);
    return VT_OK;
}

static enum vt_code check_disk(const struct vt_vm_config *c, size_t i, struct vt_error *err)
{
    const struct vt_disk *d = &c->disks[i];
    enum vt_code code = vt__vm_disk_check(c, d, i + 1, OP, err);
    for (size_t k = 0; !code && k < i; k++)
        if (!strcmp(c->disks[k].name, d->name))
            code =
                vt_fail(err, VT_EINVAL, OP, "VM %s: two disks are called \"%s\"", c->name, d->name);
    return code;
}

/* Six pairs of hexadecimal digits; the first byte's lowest bit would make it a multicast address.
 */
static bool is_mac(const char *text)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    for (size_t i = 0; i < 17; i++)
        if (i % 3 == 2 ? text[i] != ':' : !text[i] || !strchr(digits, text[i]))
            return false;
    return !text[17] && !strchr("13579bdfBDF", text[1]);
}

static enum vt_code check_nic(const struct vt_vm_config *c, size_t i, struct vt_error *err)
{
    const struct vt_nic *n = &c->nics[i];
    if (n->mac && !is_mac(n->mac))
        return vt_fail(
            err, VT_EINVAL, OP,
            "VM %s: \"%s\" is no MAC address of one interface, like \"52:54:00:12:34:56\"", c->name,
            n->mac);
    for (size_t k = 0; n->mac && k < i; k++)
        if (c->nics[k].mac && !strcmp(c->nics[k].mac, n->mac))
            return vt_fail(err, VT_EINVAL, OP, "VM %s: two interfaces have the MAC address %s",
                           c->name, n->mac);
    if (n->kind == VT_NIC_NAT ? n->network != NULL
                              : !n->network || !vt_is_plain_name(n->network) ||
                                    (n->kind == VT_NIC_BRIDGED && strlen(n->network) > BRIDGE_MAX))
        return vt_fail(err, VT_EINVAL, OP, "VM %s: interface %zu %s", c->name, i + 1,
                       n->kind == VT_NIC_NAT        ? "with NAT has no \"network\""
                       : n->kind == VT_NIC_ISOLATED ? "needs the name of its \"network\""
                                                    : "needs the bridge's name as \"network\"");
    return VT_OK;
}

static enum vt_code check_share(const struct vt_vm_config *c, size_t i, struct vt_error *err)
{
    const struct vt_share *s = &c->shares[i];
    if (!s->name || !vt_is_plain_name(s->name) || strlen(s->name) > TAG_MAX)
        return vt_fail(err, VT_EINVAL, OP,
                       "VM %s: share %zu needs a plain name of at most %d characters", c->name,
                       i + 1, TAG_MAX);
    if (!s->path || s->path[0] != '/')
        return vt_fail(err, VT_EINVAL, OP, "VM %s: share \"%s\" needs an absolute path", c->name,
                       s->name);
    for (size_t k = 0; k < i; k++)
        if (!strcmp(c->shares[k].name, s->name))
            return vt_fail(err, VT_EINVAL, OP, "VM %s: two shares are called \"%s\"", c->name,
                           s->name);
    return VT_OK;
}

enum vt_code vt__vm_unsupported(const struct vt_vm_config *c, const struct vt_driver *driver,
                                enum vt_capability cap, const char *op, struct vt_error *err)
{
    const char *why = driver->support[cap].why;
    return vt_fail(err, VT_EUNSUPPORTED, op, "VM %s: the %s driver has no \"%s\"%s%s", c->name,
                   driver->name, vt_capability_name(cap), why ? ": " : "", why ? why : "");
}

/* A driver's own table is for that driver. */
static enum vt_code check_own_tables(const struct vt_vm_config *c, const struct vt_driver *driver,
                                     struct vt_error *err)
{
    const struct {
        const char *driver;
        const json_t *table;
    } own[] = {{"ssh", c->ssh}, {"tart", c->tart}, {"vz", c->vz}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (own[i].table && strcmp(own[i].driver, driver->name) != 0)
            return vt_fail(err, VT_EINVAL, OP,
                           "VM %s: \"%s\" is for the driver of that name, and this is %s", c->name,
                           own[i].driver, driver->name);
    return VT_OK;
}

/* Refuses what the driver cannot do on any VM; what depends on the VM is its create()'s affair. */
static enum vt_code need(const struct vt_vm_config *c, const struct vt_driver *driver, bool asked,
                         enum vt_capability cap, struct vt_error *err)
{
    if (!asked || driver->support[cap].can != VT_NO)
        return VT_OK;
    return vt__vm_unsupported(c, driver, cap, OP, err);
}

static bool has_nic(const struct vt_vm_config *c, enum vt_nic_kind kind)
{
    size_t i = 0;
    while (i < c->nic_count && c->nics[i].kind != kind)
        i++;
    return i < c->nic_count;
}

bool vt_vm_has_nat(const struct vt_vm_config *config)
{
    return !config->nics || has_nic(config, VT_NIC_NAT);
}

static bool has_url(const struct vt_vm_config *c)
{
    size_t i = 0;
    while (i < c->disk_count && !c->disks[i].url)
        i++;
    return i < c->disk_count;
}

static enum vt_code check_needs(const struct vt_vm_config *c, const struct vt_driver *driver,
                                struct vt_error *err)
{
    const struct {
        enum vt_capability cap;
        bool asked;
    } needs[] = {
        {VT_CAP_DISKS, c->disk_count > 0},
        {VT_CAP_NBD, has_url(c)},
        {VT_CAP_SHARES, c->share_count > 0},
        {VT_CAP_NAT, has_nic(c, VT_NIC_NAT)},
        {VT_CAP_ISOLATED, has_nic(c, VT_NIC_ISOLATED)},
        {VT_CAP_BRIDGED, has_nic(c, VT_NIC_BRIDGED)},
        {VT_CAP_NO_NETWORK, c->nics && !c->nic_count},
        {VT_CAP_FORWARD, c->forward_count > 0},
        {VT_CAP_SCREENSHOT, c->screen},
        {VT_CAP_VNC, c->vnc},
    };
    enum vt_code code = VT_OK;
    for (size_t i = 0; !code && i < sizeof needs / sizeof *needs; i++)
        code = need(c, driver, needs[i].asked, needs[i].cap, err);
    return code;
}

enum vt_code vt__vm_config_check(const struct vt_vm_config *c, const struct vt_driver *driver,
                                 struct vt_error *err)
{
    enum vt_code code = check_machine(c, driver, err);
    if (!code)
        code = check_own_tables(c, driver, err);
    for (size_t i = 0; !code && i < c->disk_count; i++)
        code = check_disk(c, i, err);
    for (size_t i = 0; !code && i < c->nic_count; i++)
        code = check_nic(c, i, err);
    for (size_t i = 0; !code && i < c->share_count; i++)
        code = check_share(c, i, err);
    if (!code && c->forward_count && !vt_vm_has_nat(c))
        code = vt_fail(err, VT_EINVAL, OP, "VM %s: a forward needs an interface with NAT", c->name);
    return code ? code : check_needs(c, driver, err);
}

enum vt_code vt_vm_check_folders(const struct vt_vm_config *c, struct vt_error *err)
{
    const char *const dirs[] = {c->state_dir, c->scratch_dir};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        if (!dirs[i] || dirs[i][0] != '/' || !vt_is_dir(dirs[i]))
            return vt_fail(err, VT_EINVAL, OP, "VM %s: %s is no folder with an absolute path",
                           c->name, dirs[i] ? dirs[i] : "(none)");
    if (c->console_log && c->console_log[0] != '/')
        return vt_fail(err, VT_EINVAL, OP, "VM %s: %s is no absolute path", c->name,
                       c->console_log);
    return VT_OK;
}
