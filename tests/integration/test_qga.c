/* The channel by the QEMU guest agent against the real qemu-ga on a unix socket: what it can keep
 * of the contract of every channel, and what it says about the rest. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel_test.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "guest/qga.h"

struct qga_rig {
    struct rig base; /* first */
    char dir[64], socket[128];
    pid_t pid;
};

/* blocked: a command that it refuses, or NULL */
static void start(struct qga_rig *r, const char *blocked)
{
    char *program = vt_find_program("qemu-ga");
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (!r->pid) {
        char pid_file[128], log_file[128];
        snprintf(pid_file, sizeof pid_file, "%s/pid", r->dir);
        snprintf(log_file, sizeof log_file, "%s/log", r->dir);
        execl(program, program, "-m", "unix-listen", "-p", r->socket, "-t", r->dir, "-f", pid_file,
              "-l", log_file, blocked ? "-b" : (char *)NULL, blocked, (char *)NULL);
        _exit(127);
    }
    vt_free(program);
}

static void stop(struct qga_rig *r)
{
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    unlink(r->socket); /* it does not replace what is there */
}

static int setup(void **state)
{
    struct qga_rig *r = vt_calloc(1, sizeof *r);
    memcpy(r->dir, "/tmp/vt-qga-XXXXXX", sizeof "/tmp/vt-qga-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->socket, sizeof r->socket, "%s/socket", r->dir);
    r->base = (struct rig){.loop = vt_loop_new(NULL),
                           .dir = r->dir,
                           .longest_line = 32000,
                           .waits_for_strays = true,
                           .ends_commands = true,
                           .fifo_fails = true,
                           .only_utf8 = true,
                           .no_pty = true,
                           .output_at_end = true};
    const struct vt_qga_config config = {.socket_path = r->socket};
    r->base.ch = vt_qga_new(r->base.loop, &config, NULL);
    start(r, NULL);
    struct outcome o = connect_now(r->base.loop, r->base.ch, 60);
    if (o.code)
        print_error("%s\n", o.error.message);
    assert_int_equal(o.code, VT_OK);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct qga_rig *r = *state;
    r->base.ch->cls->free(r->base.ch);
    vt_loop_free(r->base.loop);
    stop(r);
    vt_remove_tree(r->dir, NULL);
    vt_free(r);
    return 0;
}

static void test_killed_agent(void **state)
{
    struct qga_rig *r = *state;
    struct outcome o = {.calls = 0}, put = {.calls = 0};
    char pid_file[128];
    snprintf(pid_file, sizeof pid_file, "%s/started", r->dir);
    char command[200];
    snprintf(command, sizeof command, "touch %s; sleep 5", pid_file);
    assert_non_null(r->base.ch->cls->exec(
        r->base.ch, &(struct vt_exec_opts){.command = command, .timeout = 60}, on_exec, &o, NULL));
    while (access(pid_file, F_OK))
        vt_loop_run_once(r->base.loop, true);
    char *data = pattern(4 << 20);
    assert_non_null(r->base.ch->cls->transfer(r->base.ch,
                                              &(struct vt_transfer_opts){.direction = VT_PUT,
                                                                         .remote = "/dev/null",
                                                                         .data = data,
                                                                         .size = 4 << 20,
                                                                         .timeout = 60},
                                              on_transfer, &put, NULL));
    vt_loop_run_once(r->base.loop, true);
    stop(r);
    run_until(r->base.loop, &o.calls, 1);
    run_until(r->base.loop, &put.calls, 1);
    assert_int_equal(o.code, VT_EGUEST);
    assert_int_equal(put.code, VT_EGUEST);
    assert_false(r->base.ch->cls->connected(r->base.ch));
    o = connect_now(r->base.loop, r->base.ch, 0.3);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.hint, "qemu-guest-agent"));
    start(r, NULL);
    assert_int_equal(connect_now(r->base.loop, r->base.ch, 60).code, VT_OK);
    o = sh(r->base.loop, r->base.ch, "echo back");
    assert_string_equal(o.out, "back\n");
    outcome_free(&o);
    vt_free(data);
}

/* Some systems let it run no commands. */
static void test_blocked_command(void **state)
{
    struct qga_rig *r = *state;
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EGUEST, "test", "dropped");
    r->base.ch->cls->drop(r->base.ch, &why);
    stop(r);
    start(r, "guest-exec");
    assert_int_equal(connect_now(r->base.loop, r->base.ch, 60).code, VT_OK);
    struct outcome o = exec_now(r->base.loop, r->base.ch,
                                &(struct vt_exec_opts){.command = "true", .timeout = 60});
    assert_int_equal(o.code, VT_EGUEST);
    assert_non_null(strstr(o.error.message, "guest-exec"));
    assert_non_null(strstr(o.error.hint, "block"));
    outcome_free(&o);
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    char *program = vt_find_program("qemu-ga");
    if (!program || access("/bin/sh", X_OK)) {
        printf("SKIPPED: there is no qemu-ga (Debian: qemu-guest-agent)\n");
        return 77;
    }
    vt_free(program);
    if (!strcmp(part, "exec"))
        return RUN_CONTRACT(exec_contract, setup, teardown);
    if (!strcmp(part, "transfer"))
        return RUN_CONTRACT(transfer_contract, setup, teardown);
    if (!strcmp(part, "transfer_failures"))
        return RUN_CONTRACT(transfer_failure_contract, setup, teardown);
    const struct CMUnitTest own[] = {
        cmocka_unit_test(test_killed_agent),
        cmocka_unit_test(test_blocked_command),
    };
    if (!strcmp(part, "own"))
        return cmocka_run_group_tests(own, setup, teardown);
    return 2;
}
