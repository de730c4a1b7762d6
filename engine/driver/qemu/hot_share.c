#include "driver/qemu/hot_share.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/share.h"
#include "driver/qemu/slots.h"
#include "vmtest/log.h"

#define SHARE "vm.share"
#define UNSHARE "vm.unshare"

struct hot_share {
    struct vt_qemu *q;
    struct vt_qemu_slot *slot;
    struct vt_qemu_share share; /* share.config points to `own` */
    struct vt_share own;
    struct vt_error failed; /* why it is taken back */
};

static struct hot_share *of(const struct vt_qemu_slot *s)
{
    return s->own;
}

static char *path_of(const struct vt_qemu *q, size_t i, const char *suffix)
{
    char name[VT_QEMU_SLOT_ID_MAX];
    vt_qemu_slot_id(i, suffix, name);
    return vt_path_join(q->config->state_dir, name);
}

static const char *suffix_of(bool read_only)
{
    return read_only ? "-ro" : "-rw";
}

static void take(struct vt_qemu *q, struct vt_qemu_slot *s, const struct vt_share *share,
                 bool virtiofs)
{
    struct hot_share *h = vt_calloc(1, sizeof *h);
    h->q = q;
    h->slot = s;
    h->own = (struct vt_share){.name = vt_strdup(share->name),
                               .path = vt_strdup(share->path),
                               .read_only = share->read_only};
    h->share.config = &h->own;
    h->share.virtiofs = virtiofs;
    h->share.socket = path_of(q, vt_qemu_slot_index(q, s), "-fs");
    s->own = h;
}

static void release(struct vt_qemu_slot *s, bool gone)
{
    struct hot_share *h = s->own;
    if (h->q->qmp)
        vt_monitor_forget(h->q->qmp, h);
    if (gone)
        vt_qemu_share_end(&h->share);
    vt_free_const(h->own.name);
    vt_free_const(h->own.path);
    vt_free(h->share.socket);
    vt_free(h);
}

static json_t *chardev_of(const struct vt_qemu *q, const struct vt_qemu_slot *s)
{
    char chardev[VT_QEMU_SLOT_ID_MAX];
    vt_qemu_slot_id(vt_qemu_slot_index(q, s), "-fs", chardev);
    return json_pack("{s:s}", "id", chardev);
}

static void on_removed(const json_t *result, const struct vt_error *why, void *user)
{
    struct hot_share *h = user;
    (void)result;
    if (why)
        vt_log(VT_LOG_WARNING, "VM %s: the share \"%s\" was taken away, but not its chardev: %s",
               h->q->config->name, h->own.name, why->message);
    vt_qemu_slot_cleared(h->q, h->slot);
}

/* QEMU forgets what it was asked by one who leaves, so its reply is waited for. */
static void deleted(struct vt_qemu *q, struct vt_qemu_slot *s)
{
    if (of(s)->share.virtiofs)
        vt_monitor_request(q->qmp, "chardev-remove", chardev_of(q, s), on_removed, of(s));
    else
        vt_qemu_slot_cleared(q, s);
}

static const struct vt_qemu_plug share_plug = {
    .what = "share",
    .plug_op = SHARE,
    .unplug_op = UNSHARE,
    .make_room = "take one away (vm:unshare, vm:detach_disk), or give it with the VM's "
                 "configuration",
    .deleted = deleted,
    .release = release,
};

void vt_qemu_argv_hot_share(struct vt_args *args, const struct vt_qemu_machine *m, size_t i)
{
    static const char *const options[] = {VT_QEMU_9P_READ_WRITE, VT_QEMU_9P_READ_ONLY};
    for (int read_only = 0; read_only < 2; read_only++) {
        char id[VT_QEMU_SLOT_ID_MAX], prefix[64];
        vt_qemu_slot_id(i, suffix_of(read_only), id);
        snprintf(prefix, sizeof prefix, "local,id=%s,path=", id);
        char *path = vt_path_join(m->config->state_dir, id);
        vt_qemu_path_option(args, "-fsdev", prefix, path, options[read_only]);
        vt_free(path);
    }
}

/* --- giving --- */

static void on_taken_back(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct vt_error failed = of(vt_qemu_slot_replied(q))->failed;
    (void)result;
    (void)why;
    vt_qemu_slot_plugged(q, &failed);
}

static void on_given(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct vt_qemu_slot *s = vt_qemu_slot_replied(q);
    (void)result;
    char *link = path_of(q, vt_qemu_slot_index(q, s), suffix_of(of(s)->own.read_only));
    unlink(link); /* QEMU has the folder open */
    vt_free(link);
    if (!why || !of(s)->share.virtiofs) {
        vt_qemu_slot_plugged(q, why);
        return;
    }
    of(s)->failed = *why;
    vt_qemu_slot_ask(q, "chardev-remove", chardev_of(q, s), on_taken_back);
}

/* `backend`: the member of the device that names what stands behind it; `tag`: that of its tag. */
static void add_device(struct vt_qemu *q, const struct vt_qemu_slot *s, const char *driver,
                       const char *backend, const char *suffix, const char *tag)
{
    size_t i = vt_qemu_slot_index(q, s);
    char id[VT_QEMU_SLOT_ID_MAX], behind[VT_QEMU_SLOT_ID_MAX], port[VT_QEMU_SLOT_ID_MAX];
    vt_qemu_slot_id(i, "", id);
    vt_qemu_slot_id(i, suffix, behind);
    vt_qemu_slot_id(i, "-port", port);
    vt_qemu_slot_ask(q, "device_add",
                     json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", driver, "id", id, backend,
                               behind, tag, s->name, "bus", port),
                     on_given);
}

static void on_chardev(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct vt_qemu_slot *s = vt_qemu_slot_replied(q);
    (void)result;
    if (why)
        vt_qemu_slot_plugged(q, why);
    else
        add_device(q, s, "vhost-user-fs-pci", "chardev", "-fs", "tag");
}

static void give_virtiofs(struct vt_qemu *q, const struct vt_qemu_slot *s)
{
    char chardev[VT_QEMU_SLOT_ID_MAX];
    vt_qemu_slot_id(vt_qemu_slot_index(q, s), "-fs", chardev);
    json_t *address =
        json_pack("{s:s, s:{s:s}}", "type", "unix", "data", "path", of(s)->share.socket);
    vt_qemu_slot_ask(q, "chardev-add",
                     json_pack("{s:s, s:{s:s, s:{s:o, s:b}}}", "id", chardev, "backend", "type",
                               "socket", "data", "addr", address, "server", 0),
                     on_chardev);
}

static enum vt_code give_9p(struct vt_qemu *q, const struct vt_qemu_slot *s, struct vt_error *err)
{
    const struct vt_share *own = &of(s)->own;
    char *link = path_of(q, vt_qemu_slot_index(q, s), suffix_of(own->read_only));
    enum vt_code code = VT_OK;
    unlink(link);
    if (symlink(own->path, link))
        code = vt_fail_sys(err, errno, SHARE, "cannot make the link %s", link);
    else
        add_device(q, s, "virtio-9p-pci", "fsdev", suffix_of(own->read_only), "mount_tag");
    vt_free(link);
    return code;
}

static bool is_configured(const struct vt_qemu *q, const char *name)
{
    for (size_t i = 0; i < q->config->share_count; i++)
        if (!strcmp(q->config->shares[i].name, name))
            return true;
    return false;
}

/* virtiofsd shares the guest's memory, which must be the VM's own then. */
static bool by_virtiofs(const struct vt_qemu *q, const struct vt_share *share)
{
    return !q->memory_private && !strchr(share->path, ',') && vt_qemu_can_serve_virtiofs();
}

void vt_qemu_share(void *instance, const struct vt_share *share, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_error why = VT_ERROR_INIT;
    struct vt_qemu_slot *s = NULL;
    if (is_configured(q, share->name))
        vt_fail(&why, VT_EBUSY, SHARE, "VM %s has a share \"%s\" already", q->config->name,
                share->name);
    else
        s = vt_qemu_slot_begin(q, &share_plug, share->name, op, &why);
    if (!s) {
        vt_op_fail(op, &why);
        return;
    }
    take(q, s, share, by_virtiofs(q, share));
    if (!vt_qemu_share_serve(q, &of(s)->share, SHARE, &why)) {
        if (of(s)->share.virtiofs)
            give_virtiofs(q, s);
        else
            give_9p(q, s, &why);
    }
    if (why.code)
        vt_qemu_slot_plugged(q, &why);
}

void vt_qemu_unshare(void *instance, const char *name, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_error why = VT_ERROR_INIT;
    if (!is_configured(q, name)) {
        vt_qemu_slot_unplug(q, &share_plug, name, op);
        return;
    }
    vt_fail(&why, VT_EUNSUPPORTED, UNSHARE,
            "VM %s: the share \"%s\" is part of its configuration: it is there as long as the VM"
            " runs",
            q->config->name, name);
    vt_op_fail(op, &why);
}

/* --- facts --- */

void vt_qemu_hot_shares_info(const struct vt_qemu *q, json_t *facts)
{
    json_t *list = json_object_get(facts, "shares");
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        const struct vt_qemu_slot *s = vt_qemu_slot(q, i);
        if (s->plug != &share_plug)
            continue;
        vt_qemu_share_info(&of(s)->share, list);
        json_t *last = json_array_get(list, json_array_size(list) - 1);
        json_object_set_new(last, "slot", json_integer((json_int_t)i));
        json_object_set_new(last, "path", json_string(of(s)->own.path));
    }
}

void vt_qemu_hot_shares_restore(struct vt_qemu *q, const json_t *facts)
{
    const json_t *list = json_object_get(facts, "shares");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        struct vt_qemu_slot *s = vt_qemu_slot_take_up(q, &share_plug, entry);
        if (!s)
            continue;
        const struct vt_share share = {.name = s->name,
                                       .path = vt_json_str(entry, "path", ""),
                                       .read_only = vt_json_bool(entry, "read_only", false)};
        take(q, s, &share, !strcmp(vt_json_str(entry, "kind", ""), "virtiofs"));
    }
}
