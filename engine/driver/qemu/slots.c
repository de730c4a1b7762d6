#include "driver/qemu/slots.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/share.h"

#define UNPLUG_S 15.0 /* for a guest to give up what it does not use: Linux takes 5 s at most */
#define ID_MAX 16

struct slot {
    struct vt_qemu_share share; /* share.config points to `own` */
    struct vt_share own;        /* name NULL: the slot is free */
    bool leaving;               /* the guest was asked to give it up */
};

struct vt_qemu_slots {
    struct slot v[VT_QEMU_SLOTS];
    struct slot *at;  /* of the operation under way, or of the reply that QEMU owes */
    struct vt_op *op; /* or NULL */
    bool pending;     /* QEMU owes a reply, also where the operation was forgotten meanwhile */
    struct vt_timer unplug;
};

static size_t index_of(const struct vt_qemu *q, const struct slot *s)
{
    return (size_t)(s - q->slots->v);
}

/* Of the device, and, with a suffix, of what belongs to it. */
static void id_of(size_t i, const char *suffix, char out[ID_MAX])
{
    snprintf(out, ID_MAX, "slot%u%s", (unsigned)i, suffix);
}

static char *path_of(const struct vt_qemu *q, size_t i, const char *suffix)
{
    char name[ID_MAX];
    id_of(i, suffix, name);
    return vt_path_join(q->config->state_dir, name);
}

static const char *suffix_of(bool read_only)
{
    return read_only ? "-ro" : "-rw";
}

void vt_qemu_slots_init(struct vt_qemu *q)
{
    q->slots = vt_calloc(1, sizeof *q->slots);
}

static void take(struct vt_qemu *q, struct slot *s, const struct vt_share *share, bool virtiofs)
{
    s->own = (struct vt_share){.name = vt_strdup(share->name),
                               .path = vt_strdup(share->path),
                               .read_only = share->read_only};
    s->share.config = &s->own;
    s->share.virtiofs = virtiofs;
    s->share.socket = path_of(q, index_of(q, s), "-fs");
}

static void release(struct slot *s)
{
    if (s->own.name)
        vt_qemu_share_end(&s->share);
    vt_free_const(s->own.name);
    vt_free_const(s->own.path);
    vt_free(s->share.socket);
    *s = (struct slot){0};
}

void vt_qemu_slots_end(struct vt_qemu *q)
{
    vt_timer_clear(&q->slots->unplug);
    q->slots->at = NULL;
    q->slots->pending = false;
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++)
        release(&q->slots->v[i]);
}

void vt_qemu_slots_free(struct vt_qemu *q)
{
    /* what runs on has its shares still: only its owner ends them */
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        q->slots->v[i].share.pid = 0;
        vt_free_const(q->slots->v[i].own.name);
        vt_free_const(q->slots->v[i].own.path);
        vt_free(q->slots->v[i].share.socket);
    }
    vt_timer_clear(&q->slots->unplug);
    vt_free(q->slots);
    q->slots = NULL;
}

/* --- the command line --- */

void vt_qemu_argv_slots(struct vt_args *args, const struct vt_qemu_machine *m)
{
    static const char *const options[] = {VT_QEMU_9P_READ_WRITE, VT_QEMU_9P_READ_ONLY};
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        for (int read_only = 0; read_only < 2; read_only++) {
            char id[ID_MAX], prefix[64];
            id_of(i, suffix_of(read_only), id);
            snprintf(prefix, sizeof prefix, "local,id=%s,path=", id);
            char *path = vt_path_join(m->config->state_dir, id);
            vt_qemu_path_option(args, "-fsdev", prefix, path, options[read_only]);
            vt_free(path);
        }
        vt_args_add(args, "-device");
        vt_args_printf(args, "pcie-root-port,id=slot%zu-port,chassis=%zu,slot=%zu", i, i + 1,
                       i + 1);
    }
}

/* --- one operation at a time --- */

static void finish(struct vt_qemu *q, const struct vt_error *why)
{
    struct vt_op *op = q->slots->op;
    q->slots->op = NULL;
    if (!q->slots->pending)
        q->slots->at = NULL;
    vt_timer_clear(&q->slots->unplug);
    if (op && why)
        vt_op_fail(op, why);
    else if (op)
        vt_op_succeed(op, NULL);
}

void vt_qemu_slots_forget(struct vt_qemu *q, const struct vt_op *op)
{
    struct vt_qemu_slots *slots = q->slots;
    if (!slots->op || (op && slots->op != op))
        return;
    slots->op = NULL; /* what was asked of QEMU goes on */
    if (!slots->pending)
        slots->at = NULL;
    vt_timer_clear(&slots->unplug);
}

static void ask(struct vt_qemu *q, const char *command, json_t *arguments, vt_monitor_reply_fn fn)
{
    q->slots->pending = true;
    vt_monitor_request(q->qmp, command, arguments, fn, q);
}

static enum vt_code begin(struct vt_qemu *q, const char *what, struct vt_op *op,
                          struct vt_error *err)
{
    if (!q->qmp)
        return vt_fail(err, VT_ESTATE, what, "VM %s does not run", q->config->name);
    if (q->slots->op || q->slots->pending)
        return vt_fail(err, VT_EBUSY, what, "VM %s: another share is being given or taken away",
                       q->config->name);
    q->slots->op = op;
    return VT_OK;
}

static struct slot *find(const struct vt_qemu *q, const char *name)
{
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++)
        if (q->slots->v[i].own.name && !strcmp(q->slots->v[i].own.name, name))
            return &q->slots->v[i];
    return NULL;
}

static bool is_configured(const struct vt_qemu *q, const char *name)
{
    for (size_t i = 0; i < q->config->share_count; i++)
        if (!strcmp(q->config->shares[i].name, name))
            return true;
    return false;
}

/* --- giving --- */

#define SHARE "vm.share"

static void remove_chardev(struct vt_qemu *q, const struct slot *s)
{
    char chardev[ID_MAX];
    id_of(index_of(q, s), "-fs", chardev);
    if (s->share.virtiofs)
        vt_monitor_request(q->qmp, "chardev-remove", json_pack("{s:s}", "id", chardev), NULL, NULL);
}

static void on_given(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct slot *s = q->slots->at;
    (void)result;
    q->slots->pending = false;
    char *link = path_of(q, index_of(q, s), suffix_of(s->own.read_only));
    unlink(link); /* QEMU has the folder open */
    vt_free(link);
    if (why) {
        remove_chardev(q, s);
        release(s);
    }
    vt_vm_changed(q->vm);
    finish(q, why);
}

static void on_chardev(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct slot *s = q->slots->at;
    size_t i = index_of(q, s);
    char id[ID_MAX], chardev[ID_MAX], port[ID_MAX];
    (void)result;
    q->slots->pending = false;
    if (why) {
        release(s);
        finish(q, why);
        return;
    }
    id_of(i, "", id);
    id_of(i, "-fs", chardev);
    id_of(i, "-port", port);
    ask(q, "device_add",
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "vhost-user-fs-pci", "id", id, "chardev",
                  chardev, "tag", s->own.name, "bus", port),
        on_given);
}

static void give_virtiofs(struct vt_qemu *q, struct slot *s)
{
    char chardev[ID_MAX];
    id_of(index_of(q, s), "-fs", chardev);
    json_t *address = json_pack("{s:s, s:{s:s}}", "type", "unix", "data", "path", s->share.socket);
    ask(q, "chardev-add",
        json_pack("{s:s, s:{s:s, s:{s:o, s:b}}}", "id", chardev, "backend", "type", "socket",
                  "data", "addr", address, "server", 0),
        on_chardev);
}

static enum vt_code give_9p(struct vt_qemu *q, struct slot *s, struct vt_error *err)
{
    size_t i = index_of(q, s);
    char id[ID_MAX], fsdev[ID_MAX], port[ID_MAX];
    id_of(i, "", id);
    id_of(i, suffix_of(s->own.read_only), fsdev);
    id_of(i, "-port", port);
    char *link = path_of(q, i, suffix_of(s->own.read_only));
    enum vt_code code = VT_OK;
    unlink(link);
    if (symlink(s->own.path, link))
        code = vt_fail_sys(err, errno, SHARE, "cannot make the link %s", link);
    else
        ask(q, "device_add",
            json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "virtio-9p-pci", "id", id, "fsdev",
                      fsdev, "mount_tag", s->own.name, "bus", port),
            on_given);
    vt_free(link);
    return code;
}

static struct slot *free_slot(struct vt_qemu *q, const struct vt_share *share, struct vt_error *err)
{
    if (find(q, share->name) || is_configured(q, share->name)) {
        vt_fail(err, VT_EBUSY, SHARE, "VM %s has a share \"%s\" already", q->config->name,
                share->name);
        return NULL;
    }
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++)
        if (!q->slots->v[i].own.name)
            return &q->slots->v[i];
    vt_fail(err, VT_ELIMIT, SHARE, "VM %s has %d shares that were given while it runs: no more",
            q->config->name, VT_QEMU_SLOTS);
    vt_hint(err, "take one away (vm:unshare), or give it with the VM's configuration");
    return NULL;
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
    if (begin(q, SHARE, op, &why)) {
        vt_op_fail(op, &why);
        return;
    }
    struct slot *s = free_slot(q, share, &why);
    if (!s) {
        finish(q, &why);
        return;
    }
    q->slots->at = s;
    take(q, s, share, by_virtiofs(q, share));
    if (!vt_qemu_share_serve(q, &s->share, SHARE, &why)) {
        if (s->share.virtiofs)
            give_virtiofs(q, s);
        else
            give_9p(q, s, &why);
    }
    if (!why.code)
        return;
    release(s);
    finish(q, &why);
}

/* --- taking away --- */

#define UNSHARE "vm.unshare"

static void on_late(struct vt_timer *timer)
{
    struct vt_qemu *q = timer->user;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EBUSY, UNSHARE,
            "VM %s: the guest does not give up the share \"%s\": it is mounted still, or the guest"
            " does not know hot-plugging",
            q->config->name, q->slots->at->own.name);
    vt_hint(&why, "unmount it in the guest: it goes as soon as it is free");
    finish(q, &why);
}

/* The slot is free, whatever held it. */
static void clear(struct vt_qemu *q, struct slot *s)
{
    remove_chardev(q, s);
    release(s);
    vt_vm_changed(q->vm);
    if (q->slots->at == s)
        finish(q, NULL);
}

/* A process before this one may have asked already: the device is on its way out, or gone. */
static void on_asked(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu *q = user;
    struct slot *s = q->slots->at;
    (void)result;
    q->slots->pending = false;
    if (!s->own.name) { /* the event came first */
        finish(q, NULL);
    } else if (why && strstr(why->message, "not found")) {
        clear(q, s);
    } else if (why && !strstr(why->message, "already in the process of unplug")) {
        s->leaving = false;
        finish(q, why);
    } else if (!q->slots->op) { /* forgotten, or late */
        q->slots->at = NULL;
    }
}

static struct slot *given(const struct vt_qemu *q, const char *name, struct vt_error *err)
{
    struct slot *s = find(q, name);
    if (is_configured(q, name))
        vt_fail(
            err, VT_EUNSUPPORTED, UNSHARE,
            "VM %s: the share \"%s\" is part of its configuration: it is there as long as the VM"
            " runs",
            q->config->name, name);
    else if (!s)
        vt_fail(err, VT_ENOTFOUND, UNSHARE, "VM %s has no share \"%s\"", q->config->name, name);
    return s;
}

void vt_qemu_unshare(void *instance, const char *name, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_error why = VT_ERROR_INIT;
    struct slot *s = given(q, name, &why);
    char id[ID_MAX];
    if (!s || begin(q, UNSHARE, op, &why)) {
        vt_op_fail(op, &why);
        return;
    }
    q->slots->at = s;
    vt_timer_set(&q->slots->unplug, q->loop, UNPLUG_S, on_late, q);
    bool again = s->leaving;
    s->leaving = true;
    id_of(index_of(q, s), "", id);
    if (!again) /* QEMU takes no second request while the first waits */
        ask(q, "device_del", json_pack("{s:s}", "id", id), on_asked);
}

void vt_qemu_slots_deleted(struct vt_qemu *q, const json_t *data)
{
    const char *device = vt_json_str(data, "device", "");
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        struct slot *s = &q->slots->v[i];
        char id[ID_MAX];
        id_of(i, "", id);
        if (!s->own.name || strcmp(device, id) != 0)
            continue;
        clear(q, s);
    }
}

/* --- facts --- */

bool vt_qemu_slots_block_snapshot(const struct vt_qemu *q, struct vt_error *err)
{
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        const struct slot *s = &q->slots->v[i];
        if (!s->own.name)
            continue;
        vt_fail(err, VT_EUNSUPPORTED, "vm.snapshot",
                "VM %s was given the share \"%s\" while it ran: a restored VM would not have it",
                q->config->name, s->own.name);
        vt_hint(err, "take it away first (vm:unshare), and give it again afterwards");
        return true;
    }
    return false;
}

void vt_qemu_slots_info(const struct vt_qemu *q, json_t *facts)
{
    json_t *list = json_object_get(facts, "shares");
    for (size_t i = 0; i < VT_QEMU_SLOTS; i++) {
        const struct slot *s = &q->slots->v[i];
        if (!s->own.name)
            continue;
        vt_qemu_share_info(&s->share, list);
        json_t *last = json_array_get(list, json_array_size(list) - 1);
        json_object_set_new(last, "slot", json_integer((json_int_t)i));
        json_object_set_new(last, "path", json_string(s->own.path));
    }
}

void vt_qemu_slots_restore(struct vt_qemu *q, const json_t *facts)
{
    const json_t *list = json_object_get(facts, "shares");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        int64_t slot = vt_json_int(entry, "slot", -1);
        const struct vt_share share = {.name = vt_json_str(entry, "name", ""),
                                       .path = vt_json_str(entry, "path", ""),
                                       .read_only = vt_json_bool(entry, "read_only", false)};
        if (slot < 0 || slot >= VT_QEMU_SLOTS || q->slots->v[slot].own.name)
            continue;
        take(q, &q->slots->v[slot], &share, !strcmp(vt_json_str(entry, "kind", ""), "virtiofs"));
    }
}
