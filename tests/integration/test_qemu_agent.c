/* The agent in a real guest, over a virtio-serial port. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "guest.h"
#include "guest/agent.h"

static void boot(struct guest *g)
{
    guest_init(g, "small");
    bool has_agent = false;
    for (size_t i = 0; g->image->channels && g->image->channels[i]; i++)
        has_agent |= !strcmp(g->image->channels[i], "agent");
    if (!has_agent)
        guest_skip("the image has no agent: build it again");
}

static void test_commands_and_reboot(void **state)
{
    (void)state;
    struct guest g;
    boot(&g);
    guest_new(&g);
    guest_start_ready(&g);
    json_t *facts = vt_vm_info(g.vm);
    assert_string_equal(vt_json_str(facts, "channel", ""), "agent");
    json_decref(facts);
    /* no sshd has a part in this */
    assert_int_equal(
        guest_exec(&g, "killall dropbear; tr '\\0' '\\n' </proc/$PPID/cmdline; exit 7"), 7);
    assert_string_equal(g.out, "/usr/libexec/vmtest/vmtest-agent\n");
    /* the agent dies with all it knows, and is there again */
    assert_int_equal(guest_exec(&g, "kill -9 $PPID; sleep 30"), -VT_EGUEST);
    assert_int_equal(guest_exec(&g, "touch /tmp/before; echo back"), 0);
    assert_string_equal(g.out, "back\n");
    assert_int_equal(guest_exec(&g, "(sleep 1; reboot -f) >/dev/null 2>&1 & echo bye"), 0);
    guest_await_console(&g, "vmtest: ready", 2);
    assert_int_equal(guest_exec(&g, "test -e /tmp/before"), 1);
    guest_free(&g);
}

struct done {
    bool done;
    struct vt_error error;
    int status;
    char out[256];
};

static void on_done(struct vt_op *op, void *user)
{
    struct done *d = user;
    d->done = true;
    if (vt_op_error(op))
        d->error = *vt_op_error(op);
}

static void on_executed(struct vt_op *op, void *user)
{
    struct done *d = user;
    const struct vt_exec_result *r = vt_op_result(op);
    if (r)
        snprintf(d->out, sizeof d->out, "%s", r->out);
    d->status = r ? r->status : -1;
    on_done(op, d);
}

static void finish(struct guest *g, const struct vt_op *op, struct done *d)
{
    if (!op)
        fail_msg("%s", d->error.message);
    while (!d->done)
        vt_loop_run_once(g->loop, true);
    if (d->error.code)
        fail_msg("%s", d->error.message);
}

static struct done run(struct guest *g, struct vt_channel *ch, const char *command)
{
    struct done d = {.done = false};
    const struct vt_exec_opts opts = {.command = command, .timeout = 100};
    finish(g, ch->cls->exec(ch, &opts, on_executed, &d, &d.error), &d);
    return d;
}

static void move(struct guest *g, struct vt_channel *ch, enum vt_direction direction,
                 const char *local)
{
    struct done d = {.done = false};
    const struct vt_transfer_opts opts = {.direction = direction,
                                          .remote = "/tmp/moved",
                                          .local = local,
                                          .verify = true,
                                          .timeout = 100};
    finish(g, ch->cls->transfer(ch, &opts, on_done, &d, &d.error), &d);
}

static void test_files_clock_and_random_pool(void **state)
{
    (void)state;
    enum { size = 12 << 20 };
    struct guest g;
    boot(&g);
    g.config.channel = "ssh"; /* the port is there all the same, for a channel of the test's own */
    guest_new(&g);
    guest_start_ready(&g);
    char *path = vt_path_join(g.state_dir, "agent"), *local = vt_path_join(g.root, "local"),
         *back = vt_path_join(g.root, "back"), *data = vt_malloc(size);
    const struct vt_agent_config config = {.socket_path = path};
    struct vt_channel *ch = vt_agent_new(g.loop, &config, NULL);
    struct done d = {.done = false};
    finish(&g, ch->cls->connect(ch, 100, on_done, &d, &d.error), &d);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    assert_int_equal(vt_write_file(local, data, size, 0640, NULL), VT_OK);
    move(&g, ch, VT_PUT, local);
    move(&g, ch, VT_GET, back);
    struct vt_buf got = VT_BUF_INIT;
    assert_int_equal(vt_read_file(back, size, &got, NULL), VT_OK);
    assert_int_equal(got.len, size);
    assert_memory_equal(got.data, data, size);
    vt_buf_free(&got);
    d = run(&g, ch, "date -s '2001-02-03 04:05:06' >/dev/null; dmesg -c >/dev/null; date +%Y");
    assert_string_equal(d.out, "2001\n");
    d = (struct done){.done = false};
    finish(&g, ch->cls->refresh(ch, 100, on_done, &d, &d.error), &d);
    d = run(&g, ch, "date +%s");
    assert_true(labs(strtol(d.out, NULL, 10) - (long)time(NULL)) <= 3);
    ch->cls->free(ch);
    vt_free(path);
    vt_free(local);
    vt_free(back);
    vt_free(data);
    guest_free(&g);
}

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
        {"test_commands_and_reboot", test_commands_and_reboot},
        {"test_files_clock_and_random_pool", test_files_clock_and_random_pool},
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
