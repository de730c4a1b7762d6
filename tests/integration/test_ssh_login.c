/* The host key, and every way to log in. */
#include "ssh_link.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"

/* ---- the host key ---- */

static void test_host_key(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    struct link l = open_link(&c);
    assert_null(vt_ssh_host_key(l.ch));
    assert_int_equal(connect_now(l.loop, l.ch, 60).code, VT_OK);
    assert_string_equal(vt_ssh_host_key(l.ch), server.host_key);
    close_link(&l);
    c.host_key = server.host_key;
    assert_int_equal(try_connect(&c, 60).code, VT_OK);
    c.host_key = server.other_key;
    struct outcome o = try_connect(&c, 60);
    assert_int_equal(o.code, VT_EHOSTKEY);
    assert_true(o.duration < 30);
    /* both fingerprints, as ssh-keygen shows them */
    const char *first = strstr(o.error.message, "SHA256:");
    assert_non_null(first);
    const char *second = strstr(first + 1, "SHA256:");
    assert_non_null(second);
    assert_int_not_equal(strncmp(first, second, 50), 0);
    const char *const files[] = {"host.pub", "other.pub"};
    for (int i = 0; i < 2; i++) {
        char command[600], line[300] = "", print[100] = "";
        snprintf(command, sizeof command, "ssh-keygen -l -E sha256 -f %s",
                 ssh_server_path(&server, files[i]));
        FILE *f = popen(command, "r");
        assert_non_null(fgets(line, sizeof line, f));
        pclose(f);
        assert_int_equal(sscanf(line, "%*s %99s", print), 1);
        assert_non_null(strstr(o.error.message, print));
    }
}

static void test_first_seen_key_is_pinned(void **state)
{
    (void)state;
    struct ssh_server one, two;
    ssh_server_start(&one, NULL);
    ssh_server_prepare(&two);
    struct vt_ssh_config c = ssh_server_config(&one);
    struct link l = open_link(&c);
    assert_int_equal(connect_now(l.loop, l.ch, 60).code, VT_OK);
    ssh_server_kill(&one);
    two.port = one.port; /* somebody else at the same address */
    ssh_server_listen(&two, NULL);
    while (l.ch->cls->connected(l.ch))
        vt_loop_run_once(l.loop, true);
    struct outcome o = connect_now(l.loop, l.ch, 60);
    assert_int_equal(o.code, VT_EHOSTKEY);
    close_link(&l);
    ssh_server_free(&one);
    ssh_server_free(&two);
}

/* ---- logging in ---- */

static void test_keys(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    c.key_file = server.key_ecdsa;
    assert_int_equal(try_connect(&c, 60).code, VT_OK);
    c.key_file = server.key_locked;
    c.passphrase = "secret";
    assert_int_equal(try_connect(&c, 60).code, VT_OK);
    c.passphrase = "wrong";
    struct outcome o = try_connect(&c, 60);
    assert_int_equal(o.code, VT_EAUTH);
    assert_non_null(strstr(o.error.message, "passphrase is wrong"));
    assert_null(strstr(o.error.message, "wrong\""));
    c.passphrase = NULL;
    o = try_connect(&c, 60);
    assert_int_equal(o.code, VT_EAUTH);
    assert_non_null(strstr(o.error.message, "needs a passphrase"));
    c.key_file = server.key_unknown;
    o = try_connect(&c, 60);
    assert_int_equal(o.code, VT_EAUTH);
    assert_true(o.duration < 30);
    assert_non_null(strstr(o.error.message, "id_unknown (refused)"));
    assert_non_null(strstr(o.error.message, "offers: "));
    assert_non_null(strstr(strstr(o.error.message, "offers: "), "publickey"));
}

static void test_key_files_that_cannot_be_read(void **state)
{
    (void)state;
    struct vt_ssh_config c = ssh_server_config(&server);
    c.key_file = "/no/such/key";
    struct outcome o = try_connect(&c, 60);
    assert_int_equal(o.code, VT_ENOTFOUND);
    assert_int_equal(o.calls, 0); /* nothing was begun */
    assert_non_null(strstr(o.error.message, "/no/such/key"));
    c.key_file = ssh_server_path(&server, "empty");
    assert_int_equal(vt_write_file(c.key_file, "", 0, 0600, NULL), VT_OK);
    assert_int_equal(try_connect(&c, 60).code, VT_EINVAL);
    c.key_file = ssh_server_path(&server, "garbage");
    assert_int_equal(vt_write_file(c.key_file, "garbage", 7, 0600, NULL), VT_OK);
    o = try_connect(&c, 60);
    assert_int_equal(o.code, VT_EAUTH);
    assert_non_null(strstr(o.error.message, "garbage (it cannot be read"));
    /* with another credential it is only mentioned */
    c.key_file = "/no/such/key";
    c.password = "nonsense";
    o = try_connect(&c, 60);
    assert_int_equal(o.code, VT_EAUTH);
    assert_non_null(strstr(o.error.message, "/no/such/key"));
    assert_null(strstr(o.error.message, "nonsense"));
}

static void test_ssh_agent(void **state)
{
    (void)state;
    if (!vt_is_file("/usr/bin/ssh-agent"))
        skip();
    const char *path = ssh_server_path(&server, "agent");
    pid_t pid = fork();
    if (!pid) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        execl("/usr/bin/ssh-agent", "ssh-agent", "-D", "-a", path, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && access(path, F_OK); i++)
        usleep(10000);
    setenv("SSH_AUTH_SOCK", path, 1);
    struct vt_ssh_config c = ssh_server_config(&server);
    c.key_file = NULL;
    c.agent = true;
    struct outcome empty = try_connect(&c, 60);
    char command[600];
    snprintf(command, sizeof command, "ssh-add -q %s %s 2>/dev/null",
             ssh_server_path(&server, "id_unknown"), ssh_server_path(&server, "id_ecdsa"));
    int added = system(command);
    struct outcome with_keys = try_connect(&c, 60);
    kill(pid, SIGSTOP); /* an agent that does not answer */
    struct outcome stuck = try_connect(&c, 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    struct outcome dead = try_connect(&c, 60);
    unsetenv("SSH_AUTH_SOCK");
    struct outcome none = try_connect(&c, 60);
    assert_int_equal(added, 0);
    assert_int_equal(empty.code, VT_EAUTH);
    assert_non_null(strstr(empty.error.message, "holds no key"));
    assert_int_equal(with_keys.code, VT_OK);
    assert_int_equal(stuck.code, VT_ETIMEDOUT);
    assert_true(stuck.duration < 20);
    assert_int_equal(dead.code, VT_EAUTH);
    assert_int_equal(none.code, VT_EAUTH);
    assert_non_null(strstr(none.error.message, "SSH_AUTH_SOCK"));
}

static void with_passwords(const char *config)
{
    if (ssh_server_no_namespace()) {
        print_message("%s\n", ssh_server_no_namespace());
        skip();
    }
    struct ssh_server s;
    ssh_server_prepare(&s);
    ssh_server_listen_with_password(&s, config);
    struct vt_ssh_config c = ssh_server_config(&s);
    c.user = SSH_SERVER_USER;
    c.key_file = NULL;
    c.password = SSH_SERVER_PASSWORD;
    struct outcome right = try_connect(&c, 60);
    c.password = "wrong one";
    struct outcome wrong = try_connect(&c, 60);
    ssh_server_free(&s);
    if (right.code)
        print_error("%s\n", right.error.message);
    assert_int_equal(right.code, VT_OK);
    assert_int_equal(wrong.code, VT_EAUTH);
    assert_non_null(strstr(wrong.error.message, "tried: password"));
    assert_null(strstr(wrong.error.message, "wrong one"));
}

static void test_password(void **state)
{
    (void)state;
    with_passwords("PasswordAuthentication yes");
}

static void test_keyboard_interactive(void **state)
{
    (void)state;
    if (server.dropbear)
        skip(); /* it has no such method without PAM */
    with_passwords("UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no");
}

static void test_wrong_configurations(void **state)
{
    (void)state;
    struct vt_loop *loop = vt_loop_new(NULL);
    const struct vt_ssh_config good = ssh_server_config(&server);
    struct vt_ssh_config bad[6];
    for (int i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].host = NULL;
    bad[1].port = 0;
    bad[2].port = 65536;
    bad[3].user = "";
    bad[4].key_file = NULL;
    bad[5].host_key = "ssh-ed25519";
    for (int i = 0; i < 6; i++) {
        struct vt_error err = VT_ERROR_INIT;
        assert_null(vt_ssh_new(loop, &bad[i], &err));
        assert_int_equal(err.code, VT_EINVAL);
    }
    struct vt_channel *ch = vt_ssh_new(loop, &good, NULL);
    struct vt_error err = VT_ERROR_INIT;
    assert_null(ch->cls->connect(ch, 0, NULL, NULL, &err));
    assert_int_equal(err.code, VT_EINVAL);
    struct outcome o = exec_now(loop, ch, &(struct vt_exec_opts){.command = "true", .timeout = 1});
    assert_int_equal(o.code, VT_ESTATE);
    o = transfer_now(
        loop, ch,
        &(struct vt_transfer_opts){.direction = VT_PUT, .remote = "x", .data = "", .timeout = 1});
    assert_int_equal(o.code, VT_ESTATE);
    ch->cls->free(ch);
    vt_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_key),
        cmocka_unit_test(test_first_seen_key_is_pinned),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_key_files_that_cannot_be_read),
        cmocka_unit_test(test_ssh_agent),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_keyboard_interactive),
        cmocka_unit_test(test_wrong_configurations),
    };
    return SSH_TEST_RUN(tests, server_setup, server_teardown);
}
