/* A simulated VM for tests: made from a script, driven to the end of one operation at a time. */
#ifndef VT_TESTS_VM_SIM_H
#define VT_TESTS_VM_SIM_H

#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "vmtest/vm.h"

#define FAST "\"boot_seconds\": 2, \"latency\": 0.01" /* for scripts */

struct rig {
    struct vt_loop *loop;
    struct vt_vm *vm;
    struct vt_error err;
    char states[512]; /* "starting running " … as they were told */
};

/* What an operation's callback told. */
struct seen {
    int calls;
    struct vt_error why;
    bool has_result;
    int status;
    char signal[16];
    char out[4096], errors[4096];
    size_t out_size;
    bool truncated;
    double duration, at; /* at: the loop's time of the callback */
    struct rig *rig;
};

static inline void rig_on_state(struct vt_vm *vm, enum vt_vm_state state, const char *reason,
                                void *user)
{
    (void)vm;
    (void)reason;
    struct rig *rig = user;
    size_t used = strlen(rig->states);
    snprintf(rig->states + used, sizeof rig->states - used, "%s ", vt_vm_state_name(state));
}

static inline enum vt_code rig_try(struct rig *rig, const char *script,
                                   const struct vt_image *image)
{
    *rig = (struct rig){.loop = vt_loop_new(NULL)};
    json_t *sim = script ? json_loads(script, 0, NULL) : NULL;
    assert_true(!script || sim);
    vt_drivers_init();
    const struct vt_vm_config config = {.name = "web", .driver = "sim", .sim = sim, .image = image};
    enum vt_code code = vt_vm_new(rig->loop, &config, &rig->vm, &rig->err);
    json_decref(sim);
    if (!code)
        vt_vm_on_state(rig->vm, rig_on_state, rig);
    return code;
}

static inline void rig_make(struct rig *rig, const char *script)
{
    if (rig_try(rig, script, NULL))
        fail_msg("%s", rig->err.message);
}

static inline void rig_end(struct rig *rig)
{
    vt_vm_free(rig->vm, false);
    vt_loop_free(rig->loop);
}

static inline void on_op(struct vt_op *op, void *user)
{
    struct seen *seen = user;
    seen->calls++;
    seen->at = vt_loop_now(seen->rig->loop);
    if (vt_op_error(op))
        seen->why = *vt_op_error(op);
    seen->has_result = vt_op_result(op) != NULL;
}

static inline void on_exec(struct vt_op *op, void *user)
{
    struct seen *seen = user;
    on_op(op, user);
    const struct vt_exec_result *r = vt_op_result(op);
    if (!r)
        return;
    seen->status = r->status;
    snprintf(seen->signal, sizeof seen->signal, "%s", r->signal ? r->signal : "");
    snprintf(seen->out, sizeof seen->out, "%s", r->out);
    snprintf(seen->errors, sizeof seen->errors, "%s", r->err);
    seen->out_size = r->out_size;
    seen->truncated = r->truncated;
    seen->duration = r->duration;
}

/* Runs the loop until the operation called back. */
static inline void await(struct rig *rig, const struct seen *seen)
{
    for (int i = 0; i < 2000000 && !seen->calls; i++)
        vt_loop_run_once(rig->loop, true);
    assert_int_equal(seen->calls, 1);
}

/* Runs the loop for that many virtual seconds. */
static inline void pass_time(struct rig *rig, double seconds)
{
    struct seen slept = {.rig = rig};
    assert_non_null(vt_sleep(rig->loop, seconds, on_op, &slept, NULL));
    await(rig, &slept);
}

static inline void start_vm(struct rig *rig)
{
    struct seen seen = {.rig = rig};
    assert_non_null(vt_vm_start(rig->vm, true, 0, on_op, &seen, NULL));
    await(rig, &seen);
    assert_string_equal(seen.why.message, "");
    assert_int_equal(vt_vm_state(rig->vm), VT_VM_RUNNING);
}

static inline struct vt_op *begin_line(struct rig *rig, const char *line, double timeout,
                                       struct seen *seen)
{
    *seen = (struct seen){.rig = rig};
    const struct vt_exec_opts opts = {.command = line, .timeout = timeout};
    struct vt_op *op = vt_vm_exec(rig->vm, &opts, on_exec, seen, &rig->err);
    if (!op)
        fail_msg("%s", rig->err.message);
    return op;
}

/* Runs a shell line to its end. */
static inline void run_line(struct rig *rig, const char *line, struct seen *seen)
{
    begin_line(rig, line, 1e6, seen);
    await(rig, seen);
}

/* Each operation with ordinary arguments. */
typedef struct vt_op *(*op_fn)(struct rig *rig, struct seen *seen, struct vt_error *err);

static inline struct vt_op *op_start(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    return vt_vm_start(rig->vm, true, 0, on_op, seen, err);
}

static inline struct vt_op *op_stop(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    return vt_vm_stop(rig->vm, 0, on_op, seen, err);
}

static inline struct vt_op *op_kill(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    return vt_vm_kill(rig->vm, on_op, seen, err);
}

static inline struct vt_op *op_pause(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    return vt_vm_pause(rig->vm, on_op, seen, err);
}

static inline struct vt_op *op_resume(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    return vt_vm_resume(rig->vm, on_op, seen, err);
}

static inline struct vt_op *op_reboot(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    return vt_vm_reboot(rig->vm, false, 0, on_op, seen, err);
}

static inline struct vt_op *op_reset(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    return vt_vm_reboot(rig->vm, true, 0, on_op, seen, err);
}

static inline struct vt_op *op_wait(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    return vt_vm_wait_stopped(rig->vm, 5, on_op, seen, err);
}

static inline struct vt_op *op_exec(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    const struct vt_exec_opts opts = {.command = "sleep 3; echo a", .timeout = 100};
    return vt_vm_exec(rig->vm, &opts, on_exec, seen, err);
}

static inline struct vt_op *op_put(struct rig *rig, struct seen *seen, struct vt_error *err)
{
    const struct vt_transfer_opts opts = {
        .direction = VT_PUT, .remote = "/tmp/x", .data = "bytes", .size = 5, .timeout = 100};
    return vt_vm_transfer(rig->vm, &opts, on_op, seen, err);
}

#endif
