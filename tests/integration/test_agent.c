/* The agent channel against the real agent: the contract of every channel, and sessions: what
 * becomes of them when an end of the connection goes away. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/frame.h"
#include "agent_server.h"
#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"

static void test_an_agent_that_comes_later(void **state)
{
    (void)state;
    struct agent_rig r;
    agent_rig_init(&r);
    struct outcome o = connect_now(r.base.loop, r.base.ch, 0.3);
    assert_int_equal(o.code, VT_ETIMEDOUT);
    assert_non_null(strstr(o.error.message, r.socket));
    assert_non_null(strstr(o.error.hint, "vmtest-agent"));
    o = exec_now(r.base.loop, r.base.ch, &(struct vt_exec_opts){.command = "true", .timeout = 1});
    assert_int_equal(o.code, VT_ESTATE);
    o = (struct outcome){.calls = 0};
    assert_non_null(r.base.ch->cls->connect(r.base.ch, 60, on_connect, &o, NULL));
    for (int i = 0; i < 20; i++)
        vt_loop_run_once(r.base.loop, true);
    assert_int_equal(o.calls, 0);
    agent_server_start(&r);
    run_until(r.base.loop, &o.calls, 1);
    assert_int_equal(o.code, VT_OK);
    o = sh(r.base.loop, r.base.ch, "echo here");
    assert_string_equal(o.out, "here\n");
    outcome_free(&o);
    agent_rig_free(&r);
}

static void count(enum vt_stream stream, const char *data, size_t n, void *user)
{
    (void)stream;
    (void)data;
    *(size_t *)user += n;
}

static void await_end_of(const char *pid_file)
{
    struct vt_buf text = VT_BUF_INIT;
    assert_int_equal(vt_read_file(pid_file, 64, &text, NULL), VT_OK);
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld", strtol(vt_buf_str(&text), NULL, 10));
    for (int i = 0; access(path, F_OK) == 0; i++) {
        assert_true(i < 60000);
        usleep(1000);
    }
    vt_buf_free(&text);
}

static void test_dropped_in_the_middle_of_output(void **state)
{
    struct agent_rig *r = *state;
    enum { rounds = 5 };
    char command[200], pid_file[128];
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_EGUEST, "test", "dropped");
    snprintf(pid_file, sizeof pid_file, "%s/spammer", r->dir);
    snprintf(command, sizeof command, "echo $$ >%s; while :; do echo old; done", pid_file);
    for (int i = 0; i < rounds; i++) {
        size_t seen = 0;
        struct outcome o = {.calls = 0}, put = {.calls = 0};
        char *data = pattern(8 << 20);
        assert_non_null(r->base.ch->cls->exec(
            r->base.ch,
            &(struct vt_exec_opts){
                .command = command, .on_output = count, .output_user = &seen, .timeout = 60},
            on_exec, &o, NULL));
        assert_non_null(r->base.ch->cls->transfer(r->base.ch,
                                                  &(struct vt_transfer_opts){.direction = VT_PUT,
                                                                             .remote = "/dev/null",
                                                                             .data = data,
                                                                             .size = 8 << 20,
                                                                             .timeout = 60},
                                                  on_transfer, &put, NULL));
        while (seen < 100000)
            vt_loop_run_once(r->base.loop, true);
        r->base.ch->cls->drop(r->base.ch, &why);
        assert_false(r->base.ch->cls->connected(r->base.ch));
        run_until(r->base.loop, &o.calls, 1);
        run_until(r->base.loop, &put.calls, 1);
        assert_int_equal(o.code, VT_EGUEST);
        assert_true(o.has_result && o.status == -1 && o.out_size >= 100000);
        outcome_free(&o);
        assert_int_equal(connect_now(r->base.loop, r->base.ch, 60).code, VT_OK);
        o = sh(r->base.loop, r->base.ch, "echo new; echo error >&2");
        assert_string_equal(o.out, "new\n");
        assert_string_equal(o.err, "error\n");
        outcome_free(&o);
        await_end_of(pid_file);
        vt_free(data);
    }
}

static void test_killed_agent(void **state)
{
    struct agent_rig *r = *state;
    size_t seen = 0;
    struct outcome o = {.calls = 0};
    assert_non_null(r->base.ch->cls->exec(r->base.ch,
                                          &(struct vt_exec_opts){.command = "echo begun; sleep 5",
                                                                 .on_output = count,
                                                                 .output_user = &seen,
                                                                 .timeout = 60},
                                          on_exec, &o, NULL));
    while (!seen)
        vt_loop_run_once(r->base.loop, true);
    agent_server_kill(r);
    run_until(r->base.loop, &o.calls, 1);
    assert_int_equal(o.code, VT_EGUEST);
    assert_string_equal(o.out, "begun\n");
    outcome_free(&o);
    assert_false(r->base.ch->cls->connected(r->base.ch));
    agent_server_start(r);
    assert_int_equal(connect_now(r->base.loop, r->base.ch, 60).code, VT_OK);
    o = sh(r->base.loop, r->base.ch, "echo back");
    assert_string_equal(o.out, "back\n");
    outcome_free(&o);
}

/* ---- byte by byte, without the engine's end ---- */

struct wire {
    int fd;
    uint32_t tag;
    struct vt_buf in;
};

static void send_all(const struct wire *w, const void *data, size_t n)
{
    assert_int_equal(vt_write_all(w->fd, data, n, "the socket", NULL), VT_OK);
}

static void send_frame(const struct wire *w, enum vt__frame_type type, uint32_t channel,
                       const void *data, size_t n)
{
    unsigned char head[VT__FRAME_HEAD], tail[VT__FRAME_TAIL];
    vt__frame_head(head, type, 0, channel, (uint32_t)n);
    vt__store_u32(tail, w->tag);
    send_all(w, head, sizeof head);
    send_all(w, data, n);
    send_all(w, tail, sizeof tail);
}

static void receive(struct wire *w)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60000), 1);
    vt_buf_reserve(&w->in, 65536);
    ssize_t n = read(w->fd, w->in.data + w->in.len, 65536);
    assert_true(n > 0);
    w->in.len += (size_t)n;
}

/* Greets as one who knows nothing of what was before. */
static void greet(struct wire *w, unsigned char mark)
{
    static const unsigned char zeros[VT__FRAME_MAX];
    unsigned char nonce[VT__NONCE] = {mark, 2, 3}, seen[VT__NONCE], hello[VT__GREETING];
    uint32_t version = 0;
    size_t used = 0;
    vt__greeting_make(hello, VT__HELLO, 7, nonce); /* a later version than there is */
    send_all(w, zeros, sizeof zeros);
    send_all(w, hello, sizeof hello);
    w->tag = vt__session_tag(nonce);
    for (;;) {
        bool found = vt__greeting_find((unsigned char *)w->in.data, w->in.len, VT__WELCOME,
                                       &version, seen, &used);
        vt_buf_consume(&w->in, used);
        if (found && !memcmp(seen, nonce, sizeof nonce))
            break;
        if (!found)
            receive(w);
    }
    assert_int_equal(version, VT__FRAME_VERSION);
}

static void run_line(const struct wire *w, uint32_t channel, const char *line, unsigned flags)
{
    unsigned char request[512];
    size_t n = strlen(line);
    vt__store_u32(request, VT__EXEC_SHELL | flags);
    vt__store_u32(request + 4, 1);
    vt__store_u32(request + 8, (uint32_t)n);
    memcpy(request + 12, line, n);
    vt__store_u32(request + 12 + n, 0);
    vt__store_u32(request + 16 + n, 0);
    send_frame(w, VT__FRAME_EXEC, channel, request, 20 + n);
}

/* All that comes up to the channel's end must be the channel's own. */
static char *output_of(struct wire *w, uint32_t channel, uint32_t *status)
{
    struct vt_buf out = VT_BUF_INIT;
    for (;;) {
        struct vt__frame f;
        size_t used = 0;
        int rc = vt__frame_parse((unsigned char *)w->in.data, w->in.len, w->tag, &f, &used);
        assert_true(rc >= 0);
        if (!rc) {
            receive(w);
            continue;
        }
        assert_int_equal(f.channel, channel);
        if (f.type == VT__FRAME_BYTES)
            vt_buf_add(&out, f.data, f.size);
        if (f.type == VT__FRAME_EXIT)
            *status = vt__load_u32(f.data);
        bool over = f.type == VT__FRAME_EXIT;
        vt_buf_consume(&w->in, used);
        if (over)
            return vt_buf_steal(&out);
    }
}

static void connect_wire(const struct agent_rig *r, struct wire *w)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, r->socket, strlen(r->socket));
    *w = (struct wire){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    for (int i = 0; connect(w->fd, (struct sockaddr *)&address, sizeof address); i++) {
        assert_true(i < 60000);
        usleep(1000);
    }
}

static void dial(struct agent_rig *r, struct wire *w)
{
    agent_rig_init(r);
    agent_server_start(r);
    connect_wire(r, w);
}

static void hang_up(struct agent_rig *r, struct wire *w)
{
    close(w->fd);
    vt_buf_free(&w->in);
    agent_rig_free(r);
}

/* As after a snapshot's restore: the guest saw no end of the connection, and the old host had got
 * to the middle of a frame. */
static void test_a_new_host_on_the_same_wire(void **state)
{
    (void)state;
    struct agent_rig r;
    struct wire w;
    uint32_t status = 99;
    char *out = NULL;
    dial(&r, &w);
    for (unsigned char round = 1; round < 6; round++) {
        greet(&w, round);
        run_line(&w, 1, "echo fresh; exit 3", 0);
        out = output_of(&w, 1, &status);
        assert_string_equal(out, "fresh\n");
        assert_int_equal(status, 3);
        vt_free(out);
        char line[200], victim[128];
        snprintf(victim, sizeof victim, "%s/victim", r.dir);
        snprintf(line, sizeof line, "cat >%s; echo ended", victim);
        run_line(&w, 2, "while :; do echo old; done", 0);
        run_line(&w, 3, line, VT__EXEC_INPUT);
        while (w.in.len < 70000)
            receive(&w);
        /* half a frame: what ends it is not to be taken for its rest */
        unsigned char head[VT__FRAME_HEAD];
        vt__frame_head(head, VT__FRAME_BYTES, 0, 3, 60000);
        send_all(&w, head, round % 2 ? sizeof head : 5);
        if (round % 2)
            send_all(&w, "half", 4);
        greet(&w, 100 + round);
        run_line(&w, 1, "sleep 0.3; echo fresh", 0);
        out = output_of(&w, 1, &status);
        assert_string_equal(out, "fresh\n");
        vt_free(out);
        struct vt_buf text = VT_BUF_INIT;
        vt_read_file(victim, 100000, &text, NULL);
        assert_int_equal(text.len, 0);
        vt_buf_free(&text);
    }
    hang_up(&r, &w);
}

/* Data is data, whatever it looks like. A greeting said twice changes nothing. */
/* As after a snapshot's restore, by sockets: nothing tells the guest that the old host is gone. */
static void test_the_latest_connection_counts(void **state)
{
    (void)state;
    struct agent_rig r;
    struct wire old, new;
    char path[160], line[600], byte;
    uint32_t status = 1;
    dial(&r, &old);
    greet(&old, 1);
    snprintf(path, sizeof path, "%s/old", r.dir);
    snprintf(line, sizeof line, "echo $$ >%s.new && mv %s.new %s; exec sleep 1000", path, path,
             path);
    run_line(&old, 1, line, 0);
    for (int i = 0; access(path, F_OK); i++) {
        assert_true(i < 60000);
        usleep(1000);
    }
    connect_wire(&r, &new);
    greet(&new, 2);
    run_line(&new, 1, "echo new", 0);
    char *out = output_of(&new, 1, &status);
    assert_string_equal(out, "new\n");
    assert_int_equal(status, 0);
    vt_free(out);
    struct pollfd p = {.fd = old.fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_true(read(old.fd, &byte, 1) <= 0); /* let go of, with its commands: */
    await_end_of(path);
    close(new.fd);
    vt_buf_free(&new.in);
    hang_up(&r, &old);
}

static void test_greetings_inside_of_data(void **state)
{
    (void)state;
    struct agent_rig r;
    struct wire w;
    uint32_t status = 99;
    unsigned char nonce[VT__NONCE] = {9}, hello[VT__GREETING];
    dial(&r, &w);
    greet(&w, 1);
    vt__greeting_make(hello, VT__HELLO, 1, nonce);
    run_line(&w, 1, "cat", VT__EXEC_INPUT);
    send_frame(&w, VT__FRAME_BYTES, 1, hello, sizeof hello);
    unsigned char same[VT__NONCE] = {1, 2, 3}, again[VT__GREETING];
    vt__greeting_make(again, VT__HELLO, 1, same);
    send_all(&w, again, sizeof again);
    while (w.in.len < VT__GREETING)
        receive(&w);
    send_frame(&w, VT__FRAME_END, 1, "", 0);
    /* leave out the second welcome, before or behind the data */
    unsigned char welcome[VT__GREETING];
    vt__greeting_make(welcome, VT__WELCOME, VT__FRAME_VERSION, same);
    char *out = NULL, *at = NULL;
    while (!(at = memmem(w.in.data, w.in.len, welcome, sizeof welcome)))
        receive(&w);
    memmove(at, at + sizeof welcome, w.in.len - (size_t)(at - w.in.data) - sizeof welcome);
    w.in.len -= sizeof welcome;
    out = output_of(&w, 1, &status);
    assert_memory_equal(out, hello, sizeof hello);
    assert_int_equal(status, 0);
    vt_free(out);
    hang_up(&r, &w);
}

/* ---- the engine's end, with a guest that says what the test wants ---- */

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* The agent's part: waits for a greeting, and forgets what came up to it. */
static void await_hello(struct agent_rig *r, struct wire *w, unsigned char nonce[VT__NONCE])
{
    uint32_t version = 0;
    size_t used = 0;
    fcntl(w->fd, F_SETFL, O_NONBLOCK);
    while (!vt__greeting_find((unsigned char *)w->in.data, w->in.len, VT__HELLO, &version, nonce,
                              &used)) {
        vt_loop_run_once(r->base.loop, false);
        vt_buf_reserve(&w->in, 100000);
        ssize_t n = read(w->fd, w->in.data + w->in.len, 100000);
        w->in.len += n > 0 ? (size_t)n : 0;
    }
    vt_buf_clear(&w->in);
    fcntl(w->fd, F_SETFL, 0);
}

/* A rig whose engine has begun to connect, and has greeted us. */
static struct wire answer_the_engine(struct agent_rig *r, struct outcome *o,
                                     unsigned char nonce[VT__NONCE])
{
    agent_rig_init(r);
    int listener = listen_at(r->socket);
    assert_non_null(r->base.ch->cls->connect(r->base.ch, 60, on_connect, o, NULL));
    struct wire w = {.fd = accept(listener, NULL, NULL)};
    close(listener);
    await_hello(r, &w, nonce);
    return w;
}

/* What it was asked, or what it said, may have got stuck on the way. */
static void test_a_silent_agent_is_greeted_again(void **state)
{
    (void)state;
    struct agent_rig r;
    struct outcome o = {.calls = 0};
    unsigned char nonce[VT__NONCE], again[VT__NONCE], welcome[VT__GREETING];
    struct wire w = answer_the_engine(&r, &o, nonce);
    w.tag = vt__session_tag(nonce);
    vt__greeting_make(welcome, VT__WELCOME, 1, nonce);
    send_all(&w, welcome, sizeof welcome);
    run_until(r.base.loop, &o.calls, 1);
    o = (struct outcome){.calls = 0};
    assert_non_null(r.base.ch->cls->exec(
        r.base.ch, &(struct vt_exec_opts){.command = "x", .timeout = 120}, on_exec, &o, NULL));
    await_hello(&r, &w, again);
    assert_memory_equal(again, nonce, VT__NONCE);
    send_all(&w, welcome, 20); /* in two pieces */
    for (int i = 0; i < 5; i++)
        vt_loop_run_once(r.base.loop, false);
    assert_int_equal(o.calls, 0);
    send_all(&w, welcome + 20, sizeof welcome - 20);
    assert_int_equal(o.calls, 0);
    send_frame(&w, VT__FRAME_EXIT, 1, "\0\0\0\5TERM", 8);
    run_until(r.base.loop, &o.calls, 1);
    assert_string_equal(o.signal, "TERM");
    outcome_free(&o);
    hang_up(&r, &w);
}

static void test_what_is_left_of_another_session(void **state)
{
    (void)state;
    struct agent_rig r;
    struct outcome o = {.calls = 0};
    unsigned char nonce[VT__NONCE], other[VT__NONCE] = {5}, text[VT__GREETING];
    struct wire w = answer_the_engine(&r, &o, nonce);
    w.tag = vt__session_tag(other);
    send_frame(&w, VT__FRAME_BYTES, 1, "old output", 10);
    vt__greeting_make(text, VT__WELCOME, 1, other);
    send_all(&w, text, sizeof text);
    send_frame(&w, VT__FRAME_EXIT, 1, "\0\0\0\0", 4);
    send_all(&w, text, sizeof text - 3); /* cut off */
    vt__greeting_make(text, VT__WELCOME, 1, nonce);
    for (size_t i = 0; i < sizeof text; i++) { /* in pieces */
        vt_loop_run_once(r.base.loop, false);
        assert_int_equal(o.calls, 0);
        send_all(&w, text + i, 1);
    }
    run_until(r.base.loop, &o.calls, 1);
    assert_int_equal(o.code, VT_OK);
    o = (struct outcome){.calls = 0};
    assert_non_null(r.base.ch->cls->exec(
        r.base.ch, &(struct vt_exec_opts){.command = "x", .timeout = 60}, on_exec, &o, NULL));
    w.tag = vt__session_tag(nonce);
    send_frame(&w, VT__FRAME_BYTES, 77, "of nobody", 9);
    send_frame(&w, VT__FRAME_EXIT, 1, "\0\0\0\5TERM", 8);
    run_until(r.base.loop, &o.calls, 1);
    assert_string_equal(o.signal, "TERM");
    assert_int_equal(o.out_size, 0);
    outcome_free(&o);
    /* bytes that are no frame: the agent is not the one that was greeted */
    o = (struct outcome){.calls = 0};
    assert_non_null(r.base.ch->cls->exec(
        r.base.ch, &(struct vt_exec_opts){.command = "x", .timeout = 60}, on_exec, &o, NULL));
    send_all(&w, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    run_until(r.base.loop, &o.calls, 1);
    assert_int_equal(o.code, VT_EGUEST);
    assert_false(r.base.ch->cls->connected(r.base.ch));
    outcome_free(&o);
    hang_up(&r, &w);
}

static void test_commands_inherit_no_descriptor(void **state)
{
    struct agent_rig *r = *state;
    struct outcome o =
        sh(r->base.loop, r->base.ch, "ls -l /proc/self/fd | grep -c -e socket: -e ptmx; true");
    assert_string_equal(o.out, "0\n"); /* the connection, the listener, others' terminals */
    outcome_free(&o);
}

/* More than one answer has room for. */
static void test_a_folder_of_long_names(void **state)
{
    struct agent_rig *r = *state;
    enum { files = 400 };
    char make[500], remote[128], local[128];
    snprintf(remote, sizeof remote, "%s/long", r->dir);
    snprintf(local, sizeof local, "%s/long-back", r->dir);
    snprintf(make, sizeof make,
             "mkdir %s && cd %s && for i in $(seq 1000 %d); do : >$(printf '%%0250d' $i); done",
             remote, remote, 1000 + files - 1);
    struct outcome o = sh(r->base.loop, r->base.ch, make);
    assert_int_equal(o.status, 0);
    outcome_free(&o);
    o = transfer_now(r->base.loop, r->base.ch,
                     &(struct vt_transfer_opts){
                         .direction = VT_GET, .remote = remote, .local = local, .timeout = 60});
    assert_int_equal(o.code, VT_OK);
    assert_int_equal(o.transfer.files, files);
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    const struct CMUnitTest sessions[] = {
        cmocka_unit_test(test_an_agent_that_comes_later),
        cmocka_unit_test(test_a_silent_agent_is_greeted_again),
        cmocka_unit_test(test_commands_inherit_no_descriptor),
        cmocka_unit_test(test_a_folder_of_long_names),
        cmocka_unit_test(test_dropped_in_the_middle_of_output),
        cmocka_unit_test(test_killed_agent),
        cmocka_unit_test(test_a_new_host_on_the_same_wire),
        cmocka_unit_test(test_the_latest_connection_counts),
        cmocka_unit_test(test_greetings_inside_of_data),
        cmocka_unit_test(test_what_is_left_of_another_session),
    };
    agent_server_needed();
    if (!strcmp(part, "exec"))
        return RUN_CONTRACT(exec_contract, agent_setup, agent_teardown);
    if (!strcmp(part, "transfer"))
        return RUN_CONTRACT(transfer_contract, agent_setup, agent_teardown);
    if (!strcmp(part, "transfer_failures"))
        return RUN_CONTRACT(transfer_failure_contract, agent_setup, agent_teardown);
    if (!strcmp(part, "sessions"))
        return cmocka_run_group_tests(sessions, agent_setup, agent_teardown);
    return 2;
}
