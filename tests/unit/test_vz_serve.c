/* The vz helper's core, served by a process of its own over a backend in C: clients, order, bounds,
 * what a failure leaves. */
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vz/client.h"
#include "vz_backend.h"
#include "vz_peer.h"

static void test_life(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h), other = join(h);
    struct stat st;
    assert_int_equal(stat(h->socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    say(&p, CREATE(""));
    expect(&p, 1, "stopped", 0, NULL);
    say(&p, "{\"id\": 2, \"op\": \"start\"}\n{\"id\": 3, \"op\": \"start\"}\n"
            "{\"id\": 4, \"op\": \"pause\"}\n{\"id\": 5, \"op\": \"pause\"}\n");
    expect(&p, 3, NULL, VTZ_BUSY, "\"start\" is under way");
    expect(&p, 5, NULL, VTZ_BUSY, "\"pause\" is under way");
    expect(&p, 2, "running", 0, NULL);
    expect(&p, 4, "paused", 0, NULL);
    static const char *const states[] = {"stopped", "starting", "running", "pausing", "paused"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) { /* events go to all */
        json_t *m = next(&other);
        assert_string_equal(json_string_value(json_object_get(m, "state")), states[i]);
        json_decref(m);
    }
    say(&p, CREATE(""));
    expect(&p, 1, "paused", VTZ_WRONG_STATE, "a VM already");
    say(&other, "{\"id\": 9, \"op\": \"quit\"}\n");
    expect(&other, 9, NULL, 0, NULL);
    assert_null(next(&other));
    assert_int_equal(end_of(h), 0);
    leave(&p);
    leave(&other);
}

static void test_errors_of_the_framework(void **state)
{
    struct peer p = join(*state);
    say(&p, "{\"id\": 0, \"op\": \"validate_save\"}\n");
    json_t *m = reply(&p, 0), *error = json_object_get(m, "error");
    assert_string_equal(json_string_value(json_object_get(error, "domain")), "VZErrorDomain");
    assert_int_equal(json_integer_value(json_object_get(error, "code")), 12);
    assert_string_equal(json_string_value(json_object_get(error, "message")), "It \uFFFDcannot.");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(error, "underlying"), "message")),
        "below");
    json_decref(m);
    leave(&p);
}

static void test_mistakes_leave_the_client(void **state)
{
    struct peer p = join(*state);
    say(&p, "\nrubbish\n{\"id\": 1, \"op\": \"fly\"}\n{\"id\": 2, \"op\": \"state\"}\r\n");
    expect(&p, -1, "none", VTZ_BAD_REQUEST, "no JSON");
    expect(&p, -1, "none", VTZ_BAD_REQUEST, "no JSON");
    expect(&p, 1, "none", VTZ_BAD_REQUEST, "\"fly\"");
    expect(&p, 2, "none", 0, NULL);
    leave(&p);
}

static void test_broken_clients_are_closed(void **state)
{
    struct peer p = join(*state), q = join(*state);
    say(&p, "{\"id\": 1, \"op\": \"\xc3\x28\"}\n{\"id\": 2, \"op\": \"state\"}\n");
    expect(&p, -1, NULL, VTZ_BAD_REQUEST, "no UTF-8");
    assert_null(next(&p)); /* and the second was not carried out */
    char *piece = vt_malloc(65537);
    memset(piece, ' ', 65536);
    piece[65536] = '\0';
    for (int i = 0; i < 17; i++)
        say(&q, piece);
    expect(&q, -1, NULL, VTZ_BAD_REQUEST, "longer than 1 MiB");
    assert_null(next(&q));
    vt_free(piece);
    leave(&p);
    leave(&q);
    p = join(*state); /* the helper lives on */
    leave(&p);
}

static void test_longest_line(void **state)
{
    struct peer p = join(*state);
    char *line = vt_malloc(VTZ_LINE_MAX + 2);
    memset(line, ' ', VTZ_LINE_MAX);
    memcpy(line, "{\"id\": 7, \"op\": \"state\"}", 24);
    strcpy(line + VTZ_LINE_MAX, "\n");
    say(&p, line);
    expect(&p, 7, "none", 0, NULL);
    vt_free(line);
    leave(&p);
}

static void test_one_client_too_many(void **state)
{
    struct peer p[VTZ_CLIENTS_MAX], extra = {.fd = -1};
    for (int i = 0; i < VTZ_CLIENTS_MAX; i++)
        p[i] = join(*state);
    extra.fd = dial(((struct helper *)*state)->socket);
    expect(&extra, -1, "none", VTZ_BUSY, "8 clients");
    assert_null(next(&extra));
    leave(&extra);
    leave(&p[3]);
    p[3] = join(*state);
    for (int i = 0; i < VTZ_CLIENTS_MAX; i++)
        leave(&p[i]);
}

/* Thousands of requests at once are all answered, in order, while few are under way. */
static void test_many_requests(void **state)
{
    struct peer p = join(*state);
    struct vt_buf text = VT_BUF_INIT;
    for (int i = 0; i < 5000; i++)
        vt_buf_printf(&text, "{\"id\": %d, \"op\": \"state\"}\n", i);
    say(&p, text.data);
    shutdown(p.fd, SHUT_WR); /* that is no reason not to answer */
    for (int i = 0; i < 5000; i++)
        expect(&p, i, "none", 0, NULL);
    assert_null(next(&p));
    vt_buf_free(&text);
    leave(&p);
}

/* One who reads nothing is closed; the others and the VM are not. */
static void test_client_that_does_not_read(void **state)
{
    struct peer p = join(*state), q = join(*state);
    struct vt_buf text = VT_BUF_INIT;
    for (int i = 0; i < 60000; i++)
        vt_buf_printf(&text, "{\"id\": %d, \"op\": \"nothing of the kind, and long at that\"}\n",
                      i);
    size_t sent = 0;
    while (sent < text.len) {
        ssize_t n = send(p.fd, text.data + sent, text.len - sent, MSG_NOSIGNAL);
        if (n < 0)
            break; /* closed */
        sent += (size_t)n;
    }
    assert_true(sent < text.len);
    say(&q, "{\"id\": 1, \"op\": \"state\"}\n");
    expect(&q, 1, "none", 0, NULL);
    vt_buf_free(&text);
    leave(&p);
    leave(&q);
}

static void test_client_that_leaves_does_not_end_its_requests(void **state)
{
    struct peer p = join(*state), q;
    say(&p, CREATE(""));
    say(&p, "{\"id\": 2, \"op\": \"start\"}\n");
    leave(&p);
    q = join(*state);
    for (double end = vt_monotonic() + 20;; usleep(2000)) {
        say(&q, "{\"id\": 1, \"op\": \"state\"}\n");
        json_t *m = reply(&q, 1);
        bool running = !strcmp(json_string_value(json_object_get(m, "state")), "running");
        json_decref(m);
        if (running)
            break;
        assert_true(vt_monotonic() < end);
    }
    leave(&q);
}

/* What comes of its requests is told to nobody, whoever has its place by then. */
static void test_client_that_left_is_forgotten(void **state)
{
    struct peer first = join(*state), p = join(*state), after[VTZ_CLIENTS_MAX - 1];
    say(&first, CREATE(""));
    expect(&first, 1, "stopped", 0, NULL);
    say(&p, "{\"id\": 77, \"op\": \"start\"}\n");
    await_state(&first, "starting");
    leave(&p);
    for (size_t i = 0; i < VTZ_CLIENTS_MAX - 1; i++)
        after[i] = join(*state);
    await_state(&first, "running");
    say(&first, "{\"id\": 2, \"op\": \"state\"}\n");
    expect(&first, 2, "running", 0, NULL);
    for (size_t i = 0; i < VTZ_CLIENTS_MAX - 1; i++) {
        say(&after[i], "{\"id\": 3, \"op\": \"state\"}\n");
        expect(&after[i], 3, "running", 0, NULL);
        leave(&after[i]);
    }
    leave(&first);
}

static void test_failed_create_leaves_nothing(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    char text[700], port[96], console[96];
    snprintf(port, sizeof port, "%s/p", h->dir);
    snprintf(console, sizeof console, "%s/c.in", h->dir);
    for (int cpus = 9; cpus >= 2; cpus -= 7) {
        snprintf(text, sizeof text,
                 "{\"id\": 1, \"op\": \"create\", \"config\": {\"cpus\": %d, \"memory\": 1048576, "
                 "\"boot\": {\"kind\": \"efi\", \"variables\": \"/v\"}, \"vsock\": [{\"port\": 7, "
                 "\"socket\": \"%s\"}], \"console\": {\"path\": \"%s/c\", \"input\": true}}}\n",
                 cpus, port, h->dir);
        say(&p, text);
        if (cpus == 9) {
            expect(&p, 1, "none", VTZ_UNSUPPORTED, "too many processors");
            assert_int_not_equal(access(port, F_OK), 0);
            assert_int_not_equal(access(console, F_OK), 0);
            continue;
        }
        int typist = dial(console);
        assert_int_equal(send(typist, "typed", 5, 0), 5);
        expect(&p, 1, "stopped", 0, NULL);
        close(typist);
    }
    struct vt_buf said = VT_BUF_INIT;
    struct stat st;
    snprintf(console, sizeof console, "%s/c", h->dir);
    assert_int_equal(stat(console, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(vt_read_file(console, 100, &said, NULL), VT_OK);
    assert_string_equal(vt_buf_str(&said), "up\ntyped");
    vt_buf_free(&said);
    leave(&p);
}

/* Nor does one whose devices cannot all be made. */
static void test_half_made_devices_leave_nothing(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    char text[700], console[96];
    snprintf(console, sizeof console, "%s/c.in", h->dir);
    snprintf(text, sizeof text,
             CREATE(", \"vsock\": [{\"port\": 7, \"socket\": \"/none/such/p\"}], \"console\": "
                    "{\"path\": \"%s/c\", \"input\": true}"),
             h->dir);
    say(&p, text);
    expect(&p, 1, "none", VTZ_FILE, "/none/such");
    assert_int_not_equal(access(console, F_OK), 0);
    leave(&p);
}

static void test_files_are_looked_at(void **state)
{
    struct helper *h = *state;
    struct peer p = join(h);
    char text[500];
    say(&p, CREATE(", \"disks\": [{\"path\": \"/none/such\", \"bus\": \"usb\"}]"));
    expect(&p, 1, "none", VTZ_FILE, "config.disks[0].path: /none/such: No such file");
    say(&p, CREATE(", \"shares\": [{\"tag\": \"t\", \"path\": \"/etc/passwd\"}]"));
    expect(&p, 1, "none", VTZ_FILE, "is not a folder");
    snprintf(text, sizeof text, CREATE(", \"vsock\": [{\"port\": 7, \"socket\": \"%s\"}]"),
             h->socket);
    say(&p, text);
    expect(&p, 1, "none", VTZ_FILE, "exists already");
    snprintf(text, sizeof text, "{\"id\": 2, \"op\": \"save\", \"path\": \"%s\"}\n", h->socket);
    say(&p, text);
    expect(&p, 2, "none", VTZ_FILE, "exists already");
    say(&p, "{\"id\": 3, \"op\": \"restore\", \"path\": \"/none/such\"}\n");
    expect(&p, 3, "none", VTZ_FILE, "/none/such");
    char link[96];
    snprintf(link, sizeof link, "%s/link", h->dir);
    assert_int_equal(symlink("/tmp", link), 0);
    snprintf(text, sizeof text,
             "{\"id\": 4, \"op\": \"create\", \"config\": {\"cpus\": 1, \"memory\": 1048576, "
             "\"boot\": {\"kind\": \"macos\", \"auxiliary\": \"%s/aux\", \"hardware_model\": "
             "\"TWFj\"}}}\n",
             link);
    say(&p, text);
    expect(&p, 4, "none", VTZ_FILE, "without symbolic links");
    leave(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_errors_of_the_framework),
        TEST(test_mistakes_leave_the_client),
        TEST(test_broken_clients_are_closed),
        TEST(test_longest_line),
        TEST(test_one_client_too_many),
        TEST(test_many_requests),
        TEST(test_client_that_does_not_read),
        TEST(test_client_that_leaves_does_not_end_its_requests),
        cmocka_unit_test_setup_teardown(test_client_that_left_is_forgotten, setup_slow, teardown),
        TEST(test_failed_create_leaves_nothing),
        TEST(test_half_made_devices_leave_nothing),
        TEST(test_files_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
