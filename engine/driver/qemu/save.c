/* Taking a snapshot: hold the guest, freeze the disks' layers, save the devices' state, copy the
 * RAM, let the guest go on. Shared RAM is left out of the state, so that takes some milliseconds. A
 * VM that runs on a snapshot's memory sends all of its state to a converter first, a second QEMU
 * with shared RAM whose guest never runs, so that every snapshot has the same form. */
#include "driver/qemu/save.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sparse.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/converter.h"
#include "driver/qemu/extra.h"
#include "driver/qemu/facts.h"
#include "driver/qemu/files.h"
#include "driver/qemu/share.h"
#include "driver/qemu/slots.h"

#define OP "vm.snapshot"
#define STATE_BYTES ((uint64_t)16 << 20) /* room for the devices' state and the rest */
#define BANDWIDTH ((json_int_t)1 << 40)

struct vt_qemu_save {
    struct vt_qemu *q;
    struct vt_op *op;
    char *dir;
    json_t *facts;
    bool resume; /* the guest ran */
    bool held, frozen, done_migrating;
    unsigned pending;                        /* replies that are still to come */
    struct vt_error error;                   /* the first of them */
    void (*next)(struct vt_qemu_save *self); /* when they have come, and the migration is done */
    bool migrates;                           /* next waits for that, too; */
    unsigned arrivals;                       /* so many of its ends have told so far, of */
    unsigned wanted;
    struct vt_qemu_converter *converter;
    struct vt_op *files;
};

static void end(struct vt_qemu_save *self)
{
    struct vt_qemu *q = self->q;
    if (self->files)
        vt_op_forget(self->files);
    if (q->qmp)
        vt_monitor_forget(q->qmp, self);
    vt_qemu_converter_free(self->converter);
    q->save = NULL;
    vt_free(self->dir);
    json_decref(self->facts);
    vt_free(self);
}

/* The new layers are not in use: forgets them. */
static void thaw(struct vt_qemu_save *self)
{
    struct vt_qemu *q = self->q;
    for (size_t i = 0; q->qmp && i < q->disk_count; i++) {
        char top[VT_QEMU_NODE_MAX];
        vt_qemu_disk_top(&q->disks[i], top);
        vt_monitor_request(q->qmp, "blockdev-del", json_pack("{s:s}", "node-name", top), NULL,
                           NULL);
    }
    vt_qemu_disks_pop(q);
}

/* The guest goes on as it was; also after a failure half way. */
static void let_go(struct vt_qemu_save *self)
{
    struct vt_qemu *q = self->q;
    if (!self->held || !q->qmp)
        return;
    if (self->migrates)
        vt_monitor_request(q->qmp, "migrate_cancel", NULL, NULL, NULL);
    if (self->resume)
        vt_monitor_request(q->qmp, "cont", NULL, NULL, NULL);
    else
        q->saved = self->done_migrating;
}

static void fail(struct vt_qemu_save *self, const struct vt_error *why)
{
    struct vt_op *op = self->op;
    struct vt_error own = *why;
    let_go(self);
    end(self);
    vt_error_append(&own, " (the snapshot was given up)");
    vt_op_fail(op, &own);
}

static void advance(struct vt_qemu_save *self)
{
    if (self->pending || (self->migrates && !self->error.code && self->arrivals < self->wanted))
        return;
    if (self->error.code && self->next) {
        if (self->held && !self->frozen)
            thaw(self);
        struct vt_error why = self->error;
        fail(self, &why);
        return;
    }
    void (*next)(struct vt_qemu_save *) = self->next;
    self->next = NULL;
    self->migrates = false;
    if (next)
        next(self);
}

static void on_reply(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu_save *self = user;
    (void)result;
    self->pending--;
    if (why)
        vt_error_copy(&self->error, why);
    advance(self);
}

static void ask(struct vt_qemu_save *self, struct vt_monitor *qmp, const char *name, json_t *args)
{
    self->pending++;
    vt_monitor_request(qmp, name, args, on_reply, self);
}

static void ask_with(struct vt_qemu_save *self, struct vt_monitor *qmp, int *slot, int fd)
{
    *slot = fd;
    ask(self, qmp, "getfd", json_pack("{s:s}", "fdname", "vmtest"));
    *slot = -1;
}

static void set_capabilities(struct vt_qemu_save *self, struct vt_monitor *qmp, bool ignore_shared)
{
    ask(self, qmp, "migrate-set-capabilities", vt_qemu_migration_capabilities(ignore_shared));
    ask(self, qmp, "migrate-set-parameters", json_pack("{s:I}", "max-bandwidth", BANDWIDTH));
}

/* --- last: let the guest go on --- */

static void on_saved(struct vt_qemu_save *self)
{
    struct vt_op *op = self->op;
    end(self);
    vt_op_succeed(op, NULL);
}

static void release(struct vt_qemu_save *self)
{
    self->next = on_saved;
    if (self->held && self->resume)
        ask(self, self->q->qmp, "cont", NULL);
    else
        self->q->saved = self->done_migrating;
    advance(self);
}

static void on_files(struct vt_op *inner, void *user)
{
    struct vt_qemu_save *self = user;
    self->files = NULL;
    if (vt_op_error(inner))
        fail(self, vt_op_error(inner));
    else
        release(self);
}

/* Everything that goes into the folder: all layers but the one that is written to now, the RAM. */
static void gather(struct vt_qemu_save *self)
{
    struct vt_qemu *q = self->q;
    struct vt_qemu_files files = {.linked = VT_ARGS_INIT};
    for (size_t i = 0; i < q->disk_count; i++) {
        const struct vt_qemu_disk *disk = &q->disks[i];
        for (size_t k = 0; k + 1 < disk->count; k++) {
            char *to = vt_path_join(self->dir, vt_path_base(disk->layers[k]));
            vt_args_add(&files.linked, disk->layers[k]);
            vt_args_add(&files.linked, to);
            vt_free(to);
        }
    }
    if (q->process) {
        long pid = self->converter ? vt_qemu_converter_pid(self->converter)
                                   : vt_qemu_process_pid(q->process);
        char *from =
            vt_qemu_memory_find(pid, self->converter ? vt_qemu_converter_folder(self->converter)
                                                     : q->config->scratch_dir);
        char *to = vt_path_join(self->dir, VT_QEMU_MEMORY_FILE);
        vt_args_add(&files.copied, from);
        vt_args_add(&files.copied, to);
        vt_free(from);
        vt_free(to);
    }
    vt_qemu_facts_add(q, self->facts);
    self->files = vt_qemu_files_run(q->loop, &files, on_files, self);
}

/* --- the state --- */

static void save_state(struct vt_qemu_save *self)
{
    struct vt_qemu *q = self->q;
    struct vt_monitor *qmp = self->converter ? vt_qemu_converter_qmp(self->converter) : q->qmp;
    int *slot = self->converter ? vt_qemu_converter_slot(self->converter) : &q->send_fd;
    char *path = vt_path_join(self->dir, VT_QEMU_STATE_FILE);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        struct vt_error why = VT_ERROR_INIT;
        vt_fail_sys(&why, errno, OP, "cannot make %s", path);
        vt_free(path);
        fail(self, &why);
        return;
    }
    vt_free(path);
    self->next = gather;
    self->migrates = true;
    self->arrivals = 0;
    self->wanted = 1;
    set_capabilities(self, qmp, true);
    ask_with(self, qmp, slot, fd);
    ask(self, qmp, "migrate", json_pack("{s:s}", "uri", "fd:vmtest"));
    close(fd);
}

/* From the VM's process into the converter, RAM and all. */
static void convert(struct vt_qemu_save *self)
{
    struct vt_qemu *q = self->q;
    struct vt_monitor *to = vt_qemu_converter_qmp(self->converter);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
        struct vt_error why = VT_ERROR_INIT;
        vt_fail_sys(&why, errno, OP, "cannot make a socket");
        fail(self, &why);
        return;
    }
    self->next = save_state;
    self->migrates = true;
    self->arrivals = 0;
    self->wanted = 2;
    set_capabilities(self, to, false);
    ask_with(self, to, vt_qemu_converter_slot(self->converter), pair[1]);
    ask(self, to, "migrate-incoming", json_pack("{s:s}", "uri", "fd:vmtest"));
    set_capabilities(self, q->qmp, false);
    ask_with(self, q->qmp, &q->send_fd, pair[0]);
    ask(self, q->qmp, "migrate", json_pack("{s:s}", "uri", "fd:vmtest"));
    close(pair[0]);
    close(pair[1]);
}

static void on_reason(const json_t *result, const struct vt_error *failed, void *user)
{
    struct vt_qemu_save *self = user;
    struct vt_error why = VT_ERROR_INIT;
    if (failed)
        why = *failed;
    vt_fail(&why, VT_EHYPERVISOR, OP, "QEMU could not save VM %s: %s", self->q->config->name,
            vt_json_str(result, "error-desc", "it does not say why"));
    fail(self, &why);
}

void vt_qemu_save_event(struct vt_qemu_save *self, const char *status)
{
    struct vt_qemu *q = self->q;
    bool failed = !strcmp(status, "failed") || !strcmp(status, "cancelled");
    if (!self->migrates || (!failed && strcmp(status, "completed") != 0))
        return;
    if (failed) {
        self->migrates = false;
        self->next = NULL;
        vt_monitor_request(q->qmp, "query-migrate", NULL, on_reason, self);
        return;
    }
    self->done_migrating = true;
    self->arrivals++;
    advance(self);
}

/* --- holding the guest --- */

static void on_frozen(struct vt_qemu_save *self)
{
    self->frozen = true;
    if (self->converter)
        convert(self);
    else
        save_state(self);
}

static json_t *freeze_action(const struct vt_qemu_disk *disk)
{
    json_t *layer = vt_qemu_disk_layer(disk, disk->count - 1);
    json_t *action = json_pack("{s:s, s:{s:o, s:o}}", "type", "blockdev-snapshot", "data", "node",
                               json_incref(json_object_get(layer, "backing")), "overlay",
                               json_incref(json_object_get(layer, "node-name")));
    json_decref(layer);
    return action;
}

static void hold(struct vt_qemu_save *self)
{
    struct vt_qemu *q = self->q;
    struct vt_error why = VT_ERROR_INIT;
    if (vt_qemu_disks_push(q, &why)) {
        fail(self, &why);
        return;
    }
    self->held = true;
    self->next = on_frozen;
    if (q->saved)
        ask(self, q->qmp, "cont", NULL);
    q->saved = false;
    ask(self, q->qmp, "stop", NULL);
    json_t *actions = json_array();
    for (size_t i = 0; i < q->disk_count; i++) {
        json_t *layer = vt_qemu_disk_layer(&q->disks[i], q->disks[i].count - 1);
        json_object_set_new(layer, "backing", json_null()); /* the transaction gives it one */
        ask(self, q->qmp, "blockdev-add", layer);
        json_array_append_new(actions, freeze_action(&q->disks[i]));
    }
    if (q->disk_count)
        ask(self, q->qmp, "transaction", json_pack("{s:O}", "actions", actions));
    json_decref(actions);
}

static void on_converter(const struct vt_error *why, void *user)
{
    struct vt_qemu_save *self = user;
    if (why->code)
        fail(self, why);
    else
        hold(self);
}

static void on_converter_event(const char *status, void *user)
{
    vt_qemu_save_event(user, status);
}

static void start_converter(struct vt_qemu_save *self)
{
    static const struct vt_qemu_converter_handler calls = {.ready_or_ended = on_converter,
                                                           .migration = on_converter_event};
    struct vt_error why = VT_ERROR_INIT;
    self->converter = vt_qemu_converter_start(self->q, &calls, self, &why);
    if (!self->converter)
        fail(self, &why);
}

/* --- first: can it be done --- */

static void on_blockers(const json_t *result, const struct vt_error *failed, void *user)
{
    struct vt_qemu_save *self = user;
    const json_t *reasons = json_object_get(result, "blocked-reasons");
    struct vt_error why = VT_ERROR_INIT;
    if (failed)
        why = *failed;
    else if (json_array_size(reasons))
        vt_fail(&why, VT_EUNSUPPORTED, OP, "QEMU cannot save VM %s as it is: %s",
                self->q->config->name, json_string_value(json_array_get(reasons, 0)));
    if (why.code)
        fail(self, &why);
    else if (self->q->memory_private)
        start_converter(self);
    else
        hold(self);
}

static enum vt_code check_room(const struct vt_qemu_save *self, struct vt_error *why)
{
    const struct vt_qemu *q = self->q;
    uint64_t needed = vt_qemu_memory_size(q);
    if (!q->memory_private) { /* only what the guest has touched */
        char *path = vt_qemu_memory_find(vt_qemu_process_pid(q->process), q->config->scratch_dir);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            needed = vt_data_bytes(fd);
            close(fd);
        }
        vt_free(path);
    }
    return vt_snapshot_check_room(self->dir, needed + STATE_BYTES, why);
}

/* Nothing runs: what is there becomes the snapshot's, and the VM writes into a new layer. */
static void save_disks(struct vt_qemu_save *self)
{
    struct vt_qemu *q = self->q;
    struct vt_error why = VT_ERROR_INIT;
    if (vt_qemu_disks_ready(q, &why) || vt_qemu_disks_push(q, &why))
        fail(self, &why);
    else
        gather(self);
}

void vt_qemu_snapshot(void *instance, const char *dir, json_t *facts, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_qemu_save *self = vt_calloc(1, sizeof *self);
    struct vt_error why = VT_ERROR_INIT;
    self->q = q;
    self->op = op;
    self->dir = vt_strdup(dir);
    self->facts = json_incref(facts);
    self->resume = vt_vm_state(q->vm) == VT_VM_RUNNING;
    q->save = self;
    if (!q->process)
        save_disks(self);
    else if (check_room(self, &why))
        fail(self, &why);
    else
        vt_monitor_request(q->qmp, "query-migrate", NULL, on_blockers, self);
}

enum vt_code vt_qemu_snapshot_check(void *instance, struct vt_error *err)
{
    /* QEMU itself is asked for what else there may be, before anything is touched */
    const struct vt_qemu *q = instance;
    return vt_snapshot_check_disks(q->config, err) ||
                   vt_qemu_share_blocks_snapshot(instance, err) ||
                   vt_qemu_slots_block_snapshot(instance, err)
               ? VT_EUNSUPPORTED
               : VT_OK;
}

void vt_qemu_save_forget(struct vt_qemu *q, const struct vt_op *op)
{
    struct vt_qemu_save *self = q->save;
    if (!self || (op && self->op != op))
        return;
    let_go(self);
    end(self);
}
