#include "driver/qemu/converter.h"

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/facts.h"
#include "vm/tie.h"

#define OP "vm.snapshot"
#define FOLDER "c" /* in state_dir: a socket's path is short */

struct vt_qemu_converter {
    struct vt_qemu_converter_handler handler;
    void *user;
    struct vt_qemu_process *process;
    struct vt_monitor *qmp;
    int slot;
    char *folder, *log;
};

static void on_write(const char *data, size_t n, void *user)
{
    struct vt_qemu_converter *c = user;
    int fd = c->slot;
    if (fd < 0 || !vt_qemu_process_write_fd(c->process, data, n, fd))
        vt_qemu_process_write(c->process, data, n);
}

static void on_event(const char *name, const json_t *event, void *user)
{
    struct vt_qemu_converter *c = user;
    if (!strcmp(name, "MIGRATION"))
        c->handler.migration(vt_json_str(json_object_get(event, "data"), "status", ""), c->user);
}

static void on_broken(const struct vt_error *why, void *user)
{
    struct vt_qemu_converter *c = user;
    c->handler.ready_or_ended(why, c->user);
}

static void on_qmp(const char *data, size_t n, void *user)
{
    struct vt_qemu_converter *c = user;
    vt_monitor_feed(c->qmp, data, n);
}

static void on_console(const char *data, size_t n, void *user)
{
    (void)data; /* its guest never runs */
    (void)n;
    (void)user;
}

static void on_ended(int status, int sig, void *user)
{
    struct vt_qemu_converter *c = user;
    struct vt_error why = VT_ERROR_INIT;
    struct vt_buf log = VT_BUF_INIT;
    vt_qemu_tail(c->log, &log);
    vt_fail(&why, VT_EHYPERVISOR, OP, "the QEMU that converts a state ended (%s %d): %s",
            sig ? "signal" : "status", sig ? sig : status, vt_buf_str(&log));
    vt_buf_free(&log);
    c->handler.ready_or_ended(&why, c->user);
}

static void on_capabilities(const json_t *result, const struct vt_error *failed, void *user)
{
    struct vt_qemu_converter *c = user;
    struct vt_error why = VT_ERROR_INIT;
    (void)result;
    if (failed)
        why = *failed;
    c->handler.ready_or_ended(&why, c->user);
}

static enum vt_code launch(struct vt_qemu_converter *c, struct vt_qemu *q, struct vt_error *err)
{
    struct vt_args args = VT_ARGS_INIT;
    struct vt_qemu_memory memory = VT_QEMU_MEMORY_NONE;
    struct vt_vm_config config = *q->config;
    const struct vt_tie tie = {.tied = true};
    char *vars = vt_path_join(c->folder, "efi-vars.fd");
    config.console_log = NULL;
    config.state_dir = c->folder;
    const struct vt_qemu_machine machine = {.program = q->program,
                                            .accel = q->accel,
                                            .config = &config,
                                            .disks = q->disks,
                                            .disk_count = q->disk_count,
                                            .memory = &memory,
                                            .nics = q->nics,
                                            .nic_count = q->nic_count,
                                            .shares = q->shares,
                                            .incoming = true,
                                            .dry = true,
                                            .firmware = &q->firmware,
                                            .vars = q->vars ? vars : NULL};
    char *qmp = vt_path_join(c->folder, "q"), *console = vt_path_join(c->folder, "c");
    enum vt_code code = vt_mkdirs(c->folder, err);
    if (!code)
        code = vt_qemu_memory_new(&memory, vt_qemu_memory_size(q), c->folder, err);
    if (!code && q->vars)
        code = vt_qemu_firmware_copy_vars(&q->firmware, vars, err);
    if (!code)
        code = vt_tie_begin(&args, &tie, err);
    if (!code) {
        vt_qemu_argv(&args, &machine);
        const struct vt_qemu_process_opts opts = {.qmp_path = qmp,
                                                  .console_path = console,
                                                  .log_path = c->log,
                                                  .fds = &memory.fd,
                                                  .fd_count = memory.fd >= 0,
                                                  .lease = -1,
                                                  .args = &args};
        const struct vt_qemu_process_handler handler = {
            .qmp = on_qmp, .console = on_console, .ended = on_ended, .user = c};
        c->process = vt_qemu_process_start(q->loop, &opts, &handler, err);
        code = c->process ? VT_OK : VT_EHYPERVISOR;
    }
    vt_qemu_memory_clear(&memory);
    vt_args_free(&args);
    vt_free(vars);
    vt_free(qmp);
    vt_free(console);
    return code;
}

struct vt_qemu_converter *vt_qemu_converter_start(struct vt_qemu *q,
                                                  const struct vt_qemu_converter_handler *handler,
                                                  void *user, struct vt_error *err)
{
    struct vt_qemu_converter *c = vt_calloc(1, sizeof *c);
    const struct vt_monitor_handler qmp = {
        .write = on_write, .event = on_event, .broken = on_broken, .user = c};
    c->handler = *handler;
    c->user = user;
    c->slot = -1;
    c->folder = vt_path_join(q->config->state_dir, FOLDER);
    c->log = vt_path_join(c->folder, "log");
    if (launch(c, q, err)) {
        vt_qemu_converter_free(c);
        return NULL;
    }
    c->qmp = vt_monitor_new(&vt_qmp, &qmp);
    vt_monitor_request(c->qmp, "qmp_capabilities", NULL, on_capabilities, c);
    return c;
}

void vt_qemu_converter_free(struct vt_qemu_converter *c)
{
    if (!c)
        return;
    vt_monitor_free(c->qmp);
    vt_qemu_process_free(c->process, false);
    vt_remove_tree(c->folder, NULL);
    vt_free(c->folder);
    vt_free(c->log);
    vt_free(c);
}

struct vt_monitor *vt_qemu_converter_qmp(const struct vt_qemu_converter *c)
{
    return c->qmp;
}

long vt_qemu_converter_pid(const struct vt_qemu_converter *c)
{
    return vt_qemu_process_pid(c->process);
}

const char *vt_qemu_converter_folder(const struct vt_qemu_converter *c)
{
    return c->folder;
}

int *vt_qemu_converter_slot(struct vt_qemu_converter *c)
{
    return &c->slot;
}
