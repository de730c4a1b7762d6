/* Snapshots: a suspended clone that is kept and never run itself, since running deletes what was
 * saved. `tart suspend` returns before anything is saved, and a VM that cannot be saved dies. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"
#include "driver/tart/instance.h"

/* --- taking one --- */

static void on_up_again(struct vt_tart *t)
{
    struct vt_error failed = t->job.failed;
    if (failed.code)
        vt_tart_fail(t, &failed);
    else
        vt_tart_done(t);
}

static void go_on(struct vt_tart *t)
{
    if (t->job.memory)
        vt_tart_launch(t, on_up_again);
    else
        on_up_again(t);
}

static void on_kept(struct vt_tart *t, const char *said, size_t n)
{
    (void)said;
    (void)n;
    go_on(t);
}

static void on_not_kept(struct vt_tart *t, const struct vt_error *why)
{
    t->job.failed = *why;
    go_on(t);
}

static void keep(struct vt_tart *t)
{
    const char *const words[] = {"clone", t->name, t->job.kept, NULL};
    vt_tart_step(t, "cannot copy it for its snapshot", words, on_kept, on_not_kept);
}

static void on_state_saved(struct vt_tart *t, const struct vt_tart_vm *own)
{
    if (own && own->state == VT_TART_SUSPENDED) {
        keep(t);
        return;
    }
    struct vt_error why = VT_ERROR_INIT, said = VT_ERROR_INIT;
    struct vt_buf tail = VT_BUF_INIT;
    vt_tart_log_tail(t->log, &tail);
    vt_tart_explain(vt_buf_str(&tail), "vm.snapshot", "saving it failed", &said);
    vt_fail(&why, VT_EHYPERVISOR, "vm.snapshot", "VM %s could not be saved, and tart ended it: %s",
            t->config->name, said.message);
    vt_hint(&why, "not every device can be saved; snapshots need macOS 14 and a macOS guest, else "
                  "say tart = {suspendable = false}");
    vt_buf_free(&tail);
    vt_tart_fail(t, &why);
}

static void saved_if_gone(struct vt_tart *t)
{
    if (t->job.gone && !t->job.inner)
        vt_tart_ask(t, on_state_saved);
}

static void on_suspended(struct vt_tart *t, int status, int sig)
{
    (void)status; /* the state alone tells whether it was saved */
    (void)sig;
    t->job.gone = true;
    saved_if_gone(t);
}

static void on_suspend_asked(struct vt_tart *t, const char *said, size_t n)
{
    (void)said;
    (void)n;
    saved_if_gone(t);
}

static void suspend(struct vt_tart *t)
{
    const char *const words[] = {"suspend", t->name, NULL};
    t->job.ended = on_suspended;
    vt_tart_step(t, "cannot have it saved", words, on_suspend_asked, NULL);
}

enum vt_code vt_tart_snapshot_check(void *instance, struct vt_error *err)
{
    const struct vt_tart *t = instance;
    if (!t->job.op)
        return VT_OK;
    return vt_fail(err, VT_EBUSY, "vm.snapshot", "VM %s is busy: %s is under way", t->config->name,
                   t->job.op);
}

void vt_tart_snapshot(void *instance, const char *dir, json_t *facts, struct vt_op *op)
{
    struct vt_tart *t = instance;
    struct vt_error why = VT_ERROR_INIT;
    char kept[VT_TART_NAME_SIZE];
    vt_tart_begin(t, "vm.snapshot", op, false);
    vt_tart_new_name(t->config->name, kept);
    memcpy(t->job.kept, kept, sizeof kept);
    t->job.memory = t->process != NULL;
    /* a copy of a VM that is off is given an address of its own */
    const char *lineage = t->job.memory ? t->lineage : kept;
    json_object_set_new(facts, "tart", json_pack("{s:s, s:s}", "name", kept, "lineage", lineage));
    t->job.starts = !t->job.memory; /* it does not run, and need not be said to have ended */
    if (vt_tart_own(kept, lineage, dir, true, &why))
        vt_tart_fail(t, &why);
    else if (t->job.memory)
        suspend(t);
    else
        vt_tart_prepare(t, keep);
}

/* --- going back to one --- */

static void on_up(struct vt_tart *t)
{
    struct vt_buf tail = VT_BUF_INIT;
    struct vt_error why = VT_ERROR_INIT;
    vt_tart_log_tail(t->log, &tail);
    if (vt_tart_says_collision(vt_buf_str(&tail))) {
        vt_fail(&why, VT_EBUSY, "vm.restore",
                "VM %s did not go on where it was saved: another VM with its MAC address runs, so "
                "tart gave it a new one and threw the saved state away",
                t->config->name);
        vt_hint(&why, "`tart list` shows what runs: end what is a copy of this VM");
        vt_tart_fail(t, &why);
    } else {
        vt_tart_done(t);
    }
    vt_buf_free(&tail);
}

static void on_state_copied(struct vt_tart *t, const struct vt_tart_vm *own)
{
    struct vt_error why = VT_ERROR_INIT;
    if (own && own->state == VT_TART_SUSPENDED) {
        vt_tart_launch(t, on_up);
        return;
    }
    vt_fail(&why, VT_ESTATE, "vm.restore",
            "VM %s: the saved state of its snapshot (%s in tart) is gone", t->config->name,
            t->job.kept);
    vt_hint(&why, "whoever runs that one uses it up; take the snapshot anew");
    vt_tart_fail(t, &why);
}

static void on_copied(struct vt_tart *t, const char *said, size_t n)
{
    (void)said;
    (void)n;
    t->cloned = true;
    if (t->job.memory)
        vt_tart_ask(t, on_state_copied);
    else
        vt_tart_done(t);
}

static void copy(struct vt_tart *t, const char *said, size_t n)
{
    struct vt_error why = VT_ERROR_INIT;
    (void)said;
    (void)n;
    const char *const words[] = {"clone", t->job.kept, t->name, NULL};
    if (!t->job.memory) /* there is nothing saved that could be thrown away */
        memcpy(t->lineage, t->name, sizeof t->lineage);
    if (vt_tart_own(t->name, t->lineage, t->config->scratch_dir, false, &why))
        vt_tart_fail(t, &why);
    else
        vt_tart_step(t, "cannot copy its snapshot", words, on_copied, NULL);
}

static void on_not_removed(struct vt_tart *t, const struct vt_error *why)
{
    if (why->code == VT_ENOTFOUND)
        copy(t, NULL, 0);
    else
        vt_tart_fail(t, why);
}

static void replace(struct vt_tart *t)
{
    struct vt_error why = VT_ERROR_INIT;
    if (t->job.memory &&
        vt_tart_lineage_lock(t->lineage, t->config->name, "vm.restore", &t->lineage_fd, &why)) {
        vt_tart_fail(t, &why);
        return;
    }
    if (!t->name[0]) {
        vt_tart_new_name(t->config->name, t->name);
        copy(t, NULL, 0);
        return;
    }
    const char *const words[] = {"delete", t->name, NULL};
    t->cloned = false;
    vt_tart_step(t, "cannot remove what it was", words, copy, on_not_removed);
}

void vt_tart_restore(void *instance, const char *dir, const json_t *facts, struct vt_op *op)
{
    struct vt_tart *t = instance;
    const json_t *own = json_object_get(facts, "tart");
    (void)dir;
    vt_tart_begin(t, "vm.restore", op, true);
    t->job.memory = vt_json_bool(facts, "memory", false);
    snprintf(t->job.kept, sizeof t->job.kept, "%s", vt_json_str(own, "name", ""));
    snprintf(t->lineage, sizeof t->lineage, "%s", vt_json_str(own, "lineage", ""));
    vt_tart_halt(t, replace);
}

enum vt_code vt_tart_restore_check(void *instance, const char *dir, const json_t *facts,
                                   struct vt_error *err)
{
    const struct vt_tart *t = instance;
    const json_t *own = json_object_get(facts, "tart");
    const char *name = vt_json_str(own, "name", ""), *lineage = vt_json_str(own, "lineage", "");
    char found[VT_TART_NAME_SIZE], of[VT_TART_NAME_SIZE];
    int fd = -1;
    if (!vt_tart_owned(dir, found, of) || strcmp(found, name) != 0 || strcmp(of, lineage) != 0)
        return vt_fail(err, VT_ESTATE, "vm.restore",
                       "the snapshot %s does not say which VM of tart it is", dir);
    if (!vt_json_bool(facts, "memory", false) || (t->process && !strcmp(lineage, t->lineage)))
        return VT_OK;
    enum vt_code code = vt_tart_lineage_lock(lineage, t->config->name, "vm.restore", &fd, err);
    if (fd >= 0)
        close(fd);
    return code;
}
