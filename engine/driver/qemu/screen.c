/* The screen: a graphics card, its picture as a file, and VNC. */
#include "driver/qemu/screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/instance.h"

#define OP "vm.screenshot"

/* A PC gets its card unasked: it has the keyboard anyway, and the boot takes no longer. Its memory
 * is part of every snapshot, so that one is small: 1024 by 768. */
#define UNASKED_CARD "VGA,vgamem_mb=4"

bool vt_qemu_has_screen(const struct vt_vm_config *c)
{
    return c->screen || c->vnc || vt_qemu_arch(c->image->arch)->screen_unasked;
}

void vt_qemu_argv_screen(struct vt_args *args, const struct vt_qemu_machine *m)
{
    const struct vt_vm_config *c = m->config;
    const struct vt_qemu_arch *arch = vt_qemu_arch(c->image->arch);
    bool asked = c->screen || c->vnc;
    if (asked) {
        vt_qemu_option(args, "-device", arch->card);
        if (arch->keyboard)
            vt_qemu_option(args, "-device", arch->keyboard);
    } else if (arch->screen_unasked) {
        vt_qemu_option(args, "-device", UNASKED_CARD);
    }
    if (m->vnc)
        vt_qemu_path_option(args, "-vnc", "unix:", m->vnc, "");
}

/* "7.2.22" → 702 */
static int version_number(const char *version)
{
    int major = 0, minor = 0;
    return version && sscanf(version, "%d.%d", &major, &minor) == 2 ? major * 100 + minor : 0;
}

bool vt_qemu_screen_supports(const struct vt_qemu *q, enum vt_capability cap, struct vt_error *why)
{
    if (cap == VT_CAP_SCREENSHOT && q->version && version_number(q->version) < 701) {
        vt_fail(why, VT_EUNSUPPORTED, OP, "QEMU %s cannot write PNG files: 7.1 and later do",
                q->version);
        return false;
    }
    if (vt_qemu_has_screen(q->config))
        return true;
    vt_fail(why, VT_EUNSUPPORTED, "vm", "VM %s has no screen and no keyboard", q->config->name);
    vt_hint(why, "give it some with \"screen\": true");
    return false;
}

/* QEMU writes aside; whole pictures alone get the name that was asked for. */
struct vt_qemu_shot {
    struct vt_op *op; /* NULL: nobody waits for it any more */
    char *path, *aside;
};

static void drop_shot(struct vt_qemu *q)
{
    struct vt_qemu_shot *shot = q->shot;
    q->shot = NULL;
    if (!shot)
        return;
    unlink(shot->aside);
    vt_free(shot->path);
    vt_free(shot->aside);
    vt_free(shot);
}

static void on_dumped(const json_t *result, const struct vt_error *failed, void *user)
{
    struct vt_qemu *q = user;
    struct vt_qemu_shot *shot = q->shot;
    struct vt_error why = VT_ERROR_INIT;
    (void)result;
    if (!shot)
        return;
    if (failed)
        why = *failed;
    else if (shot->op && rename(shot->aside, shot->path))
        vt_fail_sys(&why, errno, OP, "cannot write %s", shot->path);
    struct vt_op *op = shot->op;
    drop_shot(q);
    if (op && why.code)
        vt_op_fail(op, &why);
    else if (op)
        vt_op_succeed(op, NULL);
}

void vt_qemu_screenshot(void *instance, const char *path, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_error why = VT_ERROR_INIT;
    char *dir = vt_path_dir(path);
    if (!q->qmp)
        vt_fail(&why, VT_ESTATE, OP, "VM %s does not run", q->config->name);
    else if (q->shot)
        vt_fail(&why, VT_EBUSY, OP, "VM %s: another screenshot is being taken", q->config->name);
    else if (!vt_is_dir(dir))
        vt_fail(&why, VT_ENOTFOUND, OP, "there is no folder %s", dir);
    vt_free(dir);
    if (why.code) {
        vt_op_fail(op, &why);
        return;
    }
    char unique[13];
    struct vt_buf aside = VT_BUF_INIT;
    vt_random_hex(unique, 12);
    vt_buf_printf(&aside, "%s.%s.part", path, unique);
    q->shot = vt_calloc(1, sizeof *q->shot);
    *q->shot =
        (struct vt_qemu_shot){.op = op, .path = vt_strdup(path), .aside = vt_buf_steal(&aside)};
    vt_monitor_request(q->qmp, "screendump",
                       json_pack("{s:s, s:s}", "filename", q->shot->aside, "format", "png"),
                       on_dumped, q);
}

void vt_qemu_screen_forget(struct vt_qemu *q, const struct vt_op *op)
{
    if (q->shot && q->shot->op == op)
        q->shot->op = NULL; /* QEMU may still write: what it wrote goes when it says so */
}

void vt_qemu_screen_drop(struct vt_qemu *q)
{
    if (q->shot)
        drop_shot(q);
}
