#include <stdio.h>

#include "core/mem.h"
#include "guest/qga_internal.h"

static const double poll_first = 0.004, poll_most = 0.1, poll_growth = 1.5; /* seconds */

struct vt__qga_run {
    struct vt__qga_member member; /* first */
    struct vt_loop *loop;
    struct vt_timer timer;
    double pause;
    json_int_t pid; /* 0: not started yet */
    vt__qga_run_fn fn;
    void *user;
    struct vt__qga_result result;
};

static void free_run(struct vt__qga_run *run)
{
    vt__qga_quit(&run->member);
    vt_timer_clear(&run->timer);
    vt_buf_free(&run->result.out);
    vt_buf_free(&run->result.err);
    vt_free(run);
}

static void finish(struct vt__qga_run *run, const struct vt_error *why)
{
    run->fn(run->user, why ? NULL : &run->result, why);
    free_run(run);
}

static void fail_proto(struct vt__qga_run *run, const char *what)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EPROTO, "qga", "the QEMU guest agent broke its protocol: %s", what);
    finish(run, &why);
}

static const char *signal_name(json_int_t sig)
{
    static const char *const names[] = {
        [1] = "HUP",     [2] = "INT",   [3] = "QUIT",  [4] = "ILL",   [5] = "TRAP",
        [6] = "ABRT",    [7] = "BUS",   [8] = "FPE",   [9] = "KILL",  [10] = "USR1",
        [11] = "SEGV",   [12] = "USR2", [13] = "PIPE", [14] = "ALRM", [15] = "TERM",
        [16] = "STKFLT", [24] = "XCPU", [25] = "XFSZ", [31] = "SYS"};
    const char *name =
        sig > 0 && sig < (json_int_t)(sizeof names / sizeof names[0]) ? names[sig] : NULL;
    return name ? name : "unknown";
}

static bool take_stream(const json_t *status, const char *key, struct vt_buf *out)
{
    const json_t *data = json_object_get(status, key);
    return !data || (json_is_string(data) &&
                     vt__base64_decode(json_string_value(data), json_string_length(data), out));
}

static void ask_status(struct vt_timer *timer);

static void lost(struct vt__qga_member *m, const struct vt_error *why)
{
    struct vt__qga_run *run = (struct vt__qga_run *)(void *)m;
    if (run->fn)
        finish(run, why);
    else
        free_run(run);
}

static void on_status(void *user, json_t *status, const char *problem)
{
    struct vt__qga_run *run = user;
    const json_t *sig = json_object_get(status, "signal");
    if (problem) {
        struct vt_error why = VT_ERROR_INIT;
        vt__qga_refused(problem, &why);
        finish(run, &why);
        return;
    }
    if (!json_is_true(json_object_get(status, "exited"))) {
        vt_timer_set(&run->timer, run->loop, run->pause, ask_status, run);
        run->pause = run->pause * poll_growth < poll_most ? run->pause * poll_growth : poll_most;
        return;
    }
    struct vt__qga_result *r = &run->result;
    if (!take_stream(status, "out-data", &r->out) || !take_stream(status, "err-data", &r->err)) {
        fail_proto(run, "output that is no base64");
        return;
    }
    r->signal = sig ? signal_name(json_integer_value(sig)) : NULL;
    r->status = sig ? -1 : (int)json_integer_value(json_object_get(status, "exitcode"));
    r->truncated = json_is_true(json_object_get(status, "out-truncated")) ||
                   json_is_true(json_object_get(status, "err-truncated"));
    finish(run, NULL);
}

static void ask_status(struct vt_timer *timer)
{
    struct vt__qga_run *run = timer->user;
    vt__qga_ask(run->member.conn, "guest-exec-status", json_pack("{s:I}", "pid", run->pid),
                on_status, run);
}

/* The group where setsid made it one, else the process alone; what does not want to, a bit later.
 */
static void kill_group(struct vt__qga_conn *c, json_int_t pid)
{
    char line[200];
    snprintf(line, sizeof line,
             "kill -s TERM -- -%lld 2>/dev/null || kill -s TERM %lld; sleep 1; "
             "kill -s KILL -- -%lld",
             (long long)pid, (long long)pid, (long long)pid);
    vt__qga_ask(c, "guest-exec", json_pack("{s:s, s:[s, s]}", "path", "/bin/sh", "arg", "-c", line),
                NULL, NULL);
}

static void on_started(void *user, json_t *result, const char *problem)
{
    struct vt__qga_run *run = user;
    run->pid = json_integer_value(json_object_get(result, "pid"));
    if (!run->fn) { /* stopped meanwhile */
        if (run->pid)
            kill_group(run->member.conn, run->pid);
        free_run(run);
    } else if (problem) {
        struct vt_error e = VT_ERROR_INIT;
        vt__qga_refused(problem, &e);
        vt_hint(&e, "is guest-exec allowed there? (qemu-ga --block-rpcs, and on some systems "
                    "/etc/sysconfig/qemu-ga)");
        finish(run, &e);
    } else if (!run->pid) {
        fail_proto(run, "a command without a process");
    } else {
        vt_timer_set(&run->timer, run->loop, run->pause, ask_status, run);
    }
}

struct vt__qga_run *vt__qga_run(struct vt__qga_conn *c, struct vt_loop *loop,
                                const char *const *argv, const void *input, size_t input_size,
                                vt__qga_run_fn fn, void *user)
{
    struct vt__qga_run *run = vt_calloc(1, sizeof *run);
    json_t *words = json_array();
    vt__qga_join(c, &run->member, lost);
    run->loop = loop;
    run->pause = poll_first;
    run->fn = fn;
    run->user = user;
    for (size_t i = 1; argv[i]; i++)
        json_array_append_new(words, json_string(argv[i]));
    json_t *arguments =
        json_pack("{s:s, s:o, s:b}", "path", argv[0], "arg", words, "capture-output", 1);
    if (input_size) {
        struct vt_buf text = VT_BUF_INIT;
        vt__base64_encode(input, input_size, &text);
        json_object_set_new(arguments, "input-data", json_stringn(text.data, text.len));
        vt_buf_free(&text);
    }
    vt__qga_ask(c, "guest-exec", arguments, on_started, run);
    return run;
}

void vt__qga_run_stop(struct vt__qga_run *run)
{
    run->fn = NULL;
    vt_timer_clear(&run->timer);
    if (!run->pid)
        return; /* on_started() comes, and then it is ended */
    vt__qga_forget(run->member.conn, run);
    kill_group(run->member.conn, run->pid);
    free_run(run);
}
