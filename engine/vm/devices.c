/* The screen, the keyboard, the console's input, shares and disks of a VM: a check, then the
 * driver. */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "vm/internal.h"

#define DEVICE_S 30.0 /* for the driver to do one thing; scaled */
#define CHORD_S 0.5   /* and for each chord that is pressed, besides */
#define TYPED_MAX ((size_t)4096)

struct device_op {
    struct vm_op base;
    const char *path;          /* screenshot */
    const char *const *chords; /* keys */
    const struct vt_share *share;
    const struct vt_disk *disk;
    const char *name;
    uint64_t size;
};

static void device_abort(struct vt_op *op, struct vt_error *why)
{
    struct vm_op *self = (struct vm_op *)(void *)op;
    vt__vm_op_forget_inner(self);
    vt_error_append(why, " (VM %s)", self->vm->config.name);
}

static void device_ended(struct vm_op *self)
{
    vt__vm_op_forget_inner(self);
    vt_op_fail(&self->op, &self->vm->end);
}

#define CLASS(id, what)                                                                            \
    static const struct vt_op_class id = {                                                         \
        .name = (what), .abort = device_abort, .free = vt__vm_op_detach}
CLASS(screenshot_class, "vm.screenshot");
CLASS(keys_class, "vm.send_keys");
CLASS(share_class, "vm.share");
CLASS(unshare_class, "vm.unshare");
CLASS(resize_class, "vm.resize_disk");
CLASS(attach_disk_class, "vm.attach_disk");
CLASS(detach_disk_class, "vm.detach_disk");

static void call(void *instance, struct vt_op *op, void *user)
{
    const struct device_op *d = user;
    const struct vt_driver *driver = d->base.vm->driver;
    if (d->base.op.cls == &screenshot_class)
        driver->screenshot(instance, d->path, op);
    else if (d->base.op.cls == &keys_class)
        driver->send_keys(instance, d->chords, op);
    else if (d->base.op.cls == &share_class)
        driver->share(instance, d->share, op);
    else if (d->base.op.cls == &unshare_class)
        driver->unshare(instance, d->name, op);
    else if (d->base.op.cls == &attach_disk_class)
        driver->attach_disk(instance, d->disk, op);
    else if (d->base.op.cls == &detach_disk_class)
        driver->detach_disk(instance, d->name, op);
    else
        driver->resize_disk(instance, d->name, d->size, op);
}

/* The arguments are used during this call alone: the driver copies what it keeps. */
static struct vt_op *begin(struct vt_vm *vm, const struct vt_op_class *cls, enum vt_capability cap,
                           const struct device_op *args, vt_op_fn done, void *user,
                           struct vt_error *err)
{
    unsigned states = 1u << VT_VM_RUNNING | 1u << VT_VM_PAUSED;
    if (!vt_vm_supports(vm, cap, err) || vt__vm_need_state(vm, states, cls->name, err))
        return NULL;
    double s = DEVICE_S * vt_vm_time_scale(vm);
    for (const char *const *c = args->chords; c && *c; c++)
        s += CHORD_S;
    struct vm_op *self = vt__vm_op_new(vm, sizeof(struct device_op), cls, s, done, user);
    struct device_op *d = (struct device_op *)(void *)self;
    d->path = args->path;
    d->chords = args->chords;
    d->share = args->share;
    d->disk = args->disk;
    d->name = args->name;
    d->size = args->size;
    self->ended = device_ended;
    self->inner = vt__vm_call_driver(vm, call, d, vt__vm_op_relay, self);
    d->path = d->name = NULL;
    d->chords = NULL;
    d->share = NULL;
    d->disk = NULL;
    return &self->op;
}

struct vt_op *vt_vm_screenshot(struct vt_vm *vm, const char *path, vt_op_fn done, void *user,
                               struct vt_error *err)
{
    const struct device_op args = {.path = path};
    if (!path || path[0] != '/') {
        vt_fail(err, VT_EINVAL, "vm.screenshot", "a screenshot needs an absolute path");
        return NULL;
    }
    return begin(vm, &screenshot_class, VT_CAP_SCREENSHOT, &args, done, user, err);
}

struct vt_op *vt_vm_send_keys(struct vt_vm *vm, const char *const *chords, vt_op_fn done,
                              void *user, struct vt_error *err)
{
    const struct device_op args = {.chords = chords};
    if (!chords || !chords[0]) {
        vt_fail(err, VT_EINVAL, "vm.send_keys", "no keys are named");
        return NULL;
    }
    return begin(vm, &keys_class, VT_CAP_KEYS, &args, done, user, err);
}

/* What a US keyboard has: the key of each character, and whether it needs shift. */
static bool key_of(char c, char out[32])
{
    static const char shifted[] = "!@#$%^&*()", digits[] = "1234567890";
    static const struct {
        char plain, shift;
        const char *name;
    } keys[] = {
        {'-', '_', "minus"},         {'=', '+', "equal"},      {'[', '{', "bracket_left"},
        {']', '}', "bracket_right"}, {';', ':', "semicolon"},  {'\'', '"', "apostrophe"},
        {'`', '~', "grave_accent"},  {'\\', '|', "backslash"}, {',', '<', "comma"},
        {'.', '>', "dot"},           {'/', '?', "slash"},      {' ', '\0', "spc"},
        {'\n', '\0', "ret"},         {'\t', '\0', "tab"},
    };
    const char *at;
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        snprintf(out, 32, "%c", c);
    else if (c >= 'A' && c <= 'Z')
        snprintf(out, 32, "shift-%c", c - 'A' + 'a');
    else if (c && (at = strchr(shifted, c)))
        snprintf(out, 32, "shift-%c", digits[at - shifted]);
    else {
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            if (c && (keys[i].plain == c || keys[i].shift == c)) {
                snprintf(out, 32, "%s%s", keys[i].shift == c ? "shift-" : "", keys[i].name);
                return true;
            }
        }
        return false;
    }
    return true;
}

struct vt_op *vt_vm_type_text(struct vt_vm *vm, const char *text, vt_op_fn done, void *user,
                              struct vt_error *err)
{
    size_t n = text ? strlen(text) : 0, i = 0;
    if (!n || n > TYPED_MAX) {
        vt_fail(err, VT_EINVAL, "vm.type", "text to type is to have 1 to %zu bytes", TYPED_MAX);
        return NULL;
    }
    char(*names)[32] = vt_calloc(n, sizeof *names);
    const char **chords = vt_calloc(n + 1, sizeof *chords);
    struct vt_op *op = NULL;
    while (i < n && key_of(text[i], names[i])) {
        chords[i] = names[i];
        i++;
    }
    if (i < n)
        vt_fail(err, VT_EINVAL, "vm.type", "byte %zu of the text (0x%02x) is on no US keyboard",
                i + 1, (unsigned)(unsigned char)text[i]);
    else
        op = vt_vm_send_keys(vm, chords, done, user, err);
    vt_free(chords);
    vt_free(names);
    return op;
}

enum vt_code vt_vm_console_write(struct vt_vm *vm, const void *data, size_t n, struct vt_error *err)
{
    if (!vt_vm_supports(vm, VT_CAP_CONSOLE_WRITE, err))
        return VT_EUNSUPPORTED;
    enum vt_code code = vt__vm_need_state(vm, 1u << VT_VM_RUNNING, "vm.console", err);
    return code ? code : vm->driver->console_write(vm->instance, data, n, err);
}

struct vt_op *vt_vm_share(struct vt_vm *vm, const struct vt_share *share, vt_op_fn done, void *user,
                          struct vt_error *err)
{
    const struct device_op args = {.share = share};
    if (!share || !share->name || !vt_is_plain_name(share->name) || !share->path ||
        share->path[0] != '/') {
        vt_fail(err, VT_EINVAL, "vm.share", "a share needs a plain name and an absolute path");
        return NULL;
    }
    return begin(vm, &share_class, VT_CAP_HOT_SHARE, &args, done, user, err);
}

struct vt_op *vt_vm_unshare(struct vt_vm *vm, const char *name, vt_op_fn done, void *user,
                            struct vt_error *err)
{
    const struct device_op args = {.name = name};
    if (!name) {
        vt_fail(err, VT_EINVAL, "vm.unshare", "a share needs a name");
        return NULL;
    }
    return begin(vm, &unshare_class, VT_CAP_HOT_SHARE, &args, done, user, err);
}

struct vt_op *vt_vm_resize_disk(struct vt_vm *vm, const char *name, uint64_t size, vt_op_fn done,
                                void *user, struct vt_error *err)
{
    const struct device_op args = {.name = name, .size = size};
    if (!name || size < 512 || size % 512) {
        vt_fail(err, VT_EINVAL, "vm.resize_disk",
                "a disk needs a name and a size that is a multiple of 512 bytes");
        return NULL;
    }
    return begin(vm, &resize_class, VT_CAP_RESIZE, &args, done, user, err);
}

static bool is_configured(const struct vt_vm_config *c, const char *name)
{
    size_t i = 0;
    while (i < c->disk_count && strcmp(c->disks[i].name, name) != 0)
        i++;
    return i < c->disk_count || !strcmp(name, "disk0");
}

static enum vt_code check_attached(const struct vt_vm *vm, const struct vt_disk *disk,
                                   struct vt_error *err)
{
    const char *op = attach_disk_class.name, *name = vm->config.name;
    if (!disk)
        return vt_fail(err, VT_EINVAL, op, "VM %s: no disk is named", name);
    if (disk->url) {
        vt_fail(err, VT_EUNSUPPORTED, op,
                "VM %s: a server's disk (\"url\") is plugged into no VM that runs", name);
        vt_hint(err, "name it in the VM's configuration");
        return VT_EUNSUPPORTED;
    }
    if (vt__vm_disk_check(&vm->config, disk, 1, op, err))
        return VT_EINVAL;
    if (is_configured(&vm->config, disk->name))
        return vt_fail(err, VT_EBUSY, op, "VM %s has a disk \"%s\" already", name, disk->name);
    return VT_OK;
}

struct vt_op *vt_vm_attach_disk(struct vt_vm *vm, const struct vt_disk *disk, vt_op_fn done,
                                void *user, struct vt_error *err)
{
    const struct device_op args = {.disk = disk};
    if (!vt_vm_supports(vm, VT_CAP_HOT_DISK, err) || check_attached(vm, disk, err))
        return NULL;
    return begin(vm, &attach_disk_class, VT_CAP_HOT_DISK, &args, done, user, err);
}

struct vt_op *vt_vm_detach_disk(struct vt_vm *vm, const char *name, vt_op_fn done, void *user,
                                struct vt_error *err)
{
    const struct device_op args = {.name = name};
    const char *op = detach_disk_class.name;
    if (!vt_vm_supports(vm, VT_CAP_HOT_DISK, err))
        return NULL;
    if (!name)
        vt_fail(err, VT_EINVAL, op, "the disk to take out needs a name");
    else if (is_configured(&vm->config, name))
        vt_fail(err, VT_EUNSUPPORTED, op,
                "VM %s: the disk \"%s\" is part of its configuration: it is there as long as the "
                "VM runs",
                vm->config.name, name);
    else
        return begin(vm, &detach_disk_class, VT_CAP_HOT_DISK, &args, done, user, err);
    return NULL;
}
