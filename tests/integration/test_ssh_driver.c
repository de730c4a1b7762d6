/* The ssh driver against a real OpenSSH server on loopback: a machine that exists already. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/unit.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "ssh_server.h"
#include "vm/driver.h"

#define PATIENCE_S 100.0

static struct ssh_server server;
static struct vt_loop *loop;

/* Those of a test that failed are ended by its teardown. */
static struct vt_vm *live[8];

static void end_vm(struct vt_vm *vm, bool leave_running)
{
    for (size_t i = 0; i < sizeof live / sizeof *live; i++)
        if (live[i] == vm)
            live[i] = NULL;
    vt_vm_free(vm, leave_running);
}

static int setup(void **state)
{
    (void)state;
    ssh_server_prepare(&server);
    setenv("VMTEST_LEASE_DIR", ssh_server_path(&server, "leases"), 1);
    loop = vt_loop_new(NULL);
    return !loop;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof live / sizeof *live; i++)
        end_vm(live[i], false);
    vt_loop_free(loop);
    ssh_server_free(&server);
    return 0;
}

static char *folder(const char *name)
{
    char *path = vt_strdup(ssh_server_path(&server, name));
    assert_int_equal(vt_mkdirs(path, NULL), VT_OK);
    return path;
}

/* By its key, known; `more` adds to or takes from that. */
static json_t *options(const char *more)
{
    json_t *o = json_pack("{s:s, s:i, s:s, s:s, s:s}", "host", "127.0.0.1", "port", server.port,
                          "user", server.user, "key", server.key, "host_key", server.host_key);
    json_t *change = json_loads(more ? more : "{}", 0, NULL);
    assert_non_null(change);
    json_object_update(o, change);
    json_decref(change);
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(o, next, key, value)
    {
        if (json_is_null(value))
            json_object_del(o, key);
    }
    return o;
}

static enum vt_code make(const char *name, const char *more, double wait, struct vt_vm **vm,
                         struct vt_error *err)
{
    json_t *o = options(more);
    char state_name[80], scratch_name[80];
    snprintf(state_name, sizeof state_name, "state-%s", name);
    snprintf(scratch_name, sizeof scratch_name, "scratch-%s", name);
    char *state_dir = folder(state_name), *scratch_dir = folder(scratch_name);
    const struct vt_vm_config config = {.name = name,
                                        .driver = "ssh",
                                        .ssh = o,
                                        .run = "the-run",
                                        .state_dir = state_dir,
                                        .scratch_dir = scratch_dir,
                                        .wait = wait};
    *err = (struct vt_error)VT_ERROR_INIT;
    enum vt_code code = vt_vm_new(loop, &config, vm, err);
    vt_free(state_dir);
    vt_free(scratch_dir);
    json_decref(o);
    for (size_t i = 0; !code && i < sizeof live / sizeof *live; i++) {
        if (!live[i]) {
            live[i] = *vm;
            break;
        }
    }
    return code;
}

static struct vt_vm *machine(const char *more)
{
    struct vt_vm *vm;
    struct vt_error err;
    if (make("mac", more, 0, &vm, &err))
        fail_msg("%s", err.message);
    return vm;
}

struct result {
    bool done;
    struct vt_error error;
    int status;
    char out[4000];
};

static void on_done(struct vt_op *op, void *user)
{
    struct result *r = user;
    r->done = true;
    if (vt_op_error(op))
        r->error = *vt_op_error(op);
}

static void on_exec(struct vt_op *op, void *user)
{
    struct result *r = user;
    const struct vt_exec_result *x = vt_op_result(op);
    on_done(op, user);
    if (x) {
        r->status = x->status;
        snprintf(r->out, sizeof r->out, "%s", x->out);
    }
}

static enum vt_code await(struct result *r, struct vt_op *op)
{
    assert_non_null(op);
    while (!r->done)
        vt_loop_run_once(loop, true);
    return r->error.code;
}

static struct result start(struct vt_vm *vm, double timeout)
{
    struct result r = {.done = false};
    await(&r, vt_vm_start(vm, true, timeout, on_done, &r, NULL));
    return r;
}

static struct result run(struct vt_vm *vm, const char *command)
{
    struct result r = {.done = false};
    const struct vt_exec_opts opts = {.command = command, .timeout = PATIENCE_S};
    await(&r, vt_vm_exec(vm, &opts, on_exec, &r, NULL));
    return r;
}

static void must_start(struct vt_vm *vm)
{
    struct result r = start(vm, PATIENCE_S);
    if (r.error.code)
        fail_msg("%s", r.error.message);
    assert_int_equal(vt_vm_state(vm), VT_VM_RUNNING);
}

static void test_commands_and_files(void **state)
{
    (void)state;
    ssh_server_listen(&server, NULL);
    struct vt_vm *vm = machine(NULL);
    must_start(vm);
    struct result r = run(vm, "echo hello; exit 3");
    assert_string_equal(r.out, "hello\n");
    assert_int_equal(r.status, 3);
    char path[200];
    snprintf(path, sizeof path, "%s/sent", server.dir);
    struct result sent = {.done = false};
    const struct vt_transfer_opts put = {
        .direction = VT_PUT, .remote = path, .data = "content", .size = 7, .timeout = PATIENCE_S};
    assert_int_equal(await(&sent, vt_vm_transfer(vm, &put, on_done, &sent, NULL)), VT_OK);
    struct vt_buf text = VT_BUF_INIT;
    assert_int_equal(vt_read_file(path, 100, &text, NULL), VT_OK);
    assert_string_equal(vt_buf_str(&text), "content");
    vt_buf_free(&text);
    json_t *info = vt_vm_info(vm);
    assert_string_equal(vt_json_str(info, "driver", ""), "ssh");
    assert_string_equal(vt_json_str(json_object_get(info, "ssh"), "host_key", ""), server.host_key);
    json_decref(info);
    end_vm(vm, false);
    assert_int_equal(kill(server.pid, 0), 0); /* the machine stays as it is */
    vm = machine(NULL);
    must_start(vm);
    assert_int_equal(run(vm, "true").status, 0);
    end_vm(vm, true);
}

static void test_what_it_cannot(void **state)
{
    (void)state;
    ssh_server_listen(&server, NULL);
    struct vt_vm *vm = machine(NULL);
    must_start(vm);
    for (enum vt_capability cap = VT_CAP_START; cap < VT_CAP_COUNT_; cap++) {
        struct vt_error why = VT_ERROR_INIT;
        bool wanted = cap == VT_CAP_START || cap == VT_CAP_EXEC || cap == VT_CAP_FILES;
        assert_int_equal(vt_vm_supports(vm, cap, &why), wanted);
        if (wanted)
            continue;
        assert_int_equal(why.code, VT_EUNSUPPORTED);
        assert_non_null(strstr(why.message, ": ")); /* with the reason behind it */
        assert_non_null(strchr(strstr(why.message, vt_capability_name(cap)), ':'));
    }
    struct vt_error err = VT_ERROR_INIT;
    struct result r = {.done = false};
    assert_null(vt_vm_kill(vm, on_done, &r, &err));
    assert_int_equal(err.code, VT_EUNSUPPORTED);
    err = (struct vt_error)VT_ERROR_INIT;
    assert_null(vt_vm_stop(vm, 0, on_done, &r, &err));
    assert_int_equal(err.code, VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "power off"));
    assert_int_equal(run(vm, "true").status, 0);
    end_vm(vm, false);
}

static void test_unknown_host(void **state)
{
    (void)state;
    ssh_server_listen(&server, NULL);
    struct vt_vm *vm = machine("{\"host_key\": null}");
    struct result r = start(vm, PATIENCE_S);
    assert_int_equal(r.error.code, VT_EHOSTKEY);
    assert_non_null(strstr(r.error.message, "SHA256:"));
    char line[600];
    snprintf(line, sizeof line, "[127.0.0.1]:%d %s", server.port, server.host_key);
    assert_non_null(strstr(r.error.message, line));
    end_vm(vm, false);
    struct vt_buf log = VT_BUF_INIT; /* no credential was shown */
    vt_read_file(ssh_server_path(&server, "log"), 1 << 20, &log, NULL);
    assert_null(strstr(vt_buf_str(&log), "Accepted"));
    assert_null(strstr(vt_buf_str(&log), "Failed"));
    vt_buf_free(&log);

    vm = machine("{\"host_key\": null, \"accept_new\": true}");
    must_start(vm);
    assert_int_equal(run(vm, "true").status, 0);
    end_vm(vm, false);
}

static void write_known(const char *path, const char *before, const char *key)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "%selsewhere %s\n[127.0.0.1]:%d %s\n", before, server.other_key,
                  server.port, key);
    assert_int_equal(vt_write_file(path, text.data, text.len, 0600, NULL), VT_OK);
    vt_buf_free(&text);
}

static void test_known_hosts(void **state)
{
    (void)state;
    ssh_server_listen(&server, NULL);
    char path[200], more[300], hash[300];
    snprintf(path, sizeof path, "%s/known", server.dir);
    snprintf(more, sizeof more, "{\"host_key\": null, \"known_hosts\": \"%s\"}", path);
    write_known(path, "# a comment\n\n@cert-authority *.example ssh-ed25519 AAAA\nnonsense\n",
                server.host_key);
    struct vt_vm *vm = machine(more);
    must_start(vm);
    end_vm(vm, false);

    write_known(path, "", server.host_key);
    snprintf(hash, sizeof hash, "ssh-keygen -q -H -f '%s' >/dev/null 2>&1", path);
    assert_int_equal(system(hash), 0);
    struct vt_buf text = VT_BUF_INIT;
    vt_read_file(path, 10000, &text, NULL);
    assert_null(strstr(vt_buf_str(&text), "[127.0.0.1]"));
    vt_buf_free(&text);
    vm = machine(more);
    must_start(vm);
    end_vm(vm, false);

    write_known(path, "", server.other_key);
    vm = machine(more);
    struct result r = start(vm, PATIENCE_S);
    assert_int_equal(r.error.code, VT_EHOSTKEY);
    assert_non_null(strstr(r.error.message, "another host key"));
    end_vm(vm, false);

    assert_int_equal(vt_write_file(path, "", 0, 0600, NULL), VT_OK);
    vm = machine(more);
    r = start(vm, PATIENCE_S);
    assert_int_equal(r.error.code, VT_EHOSTKEY);
    assert_non_null(strstr(r.error.message, "not known"));
    end_vm(vm, false);
}

static void refused(const char *more, enum vt_code code, const char *wanted)
{
    struct vt_vm *vm;
    struct vt_error err;
    assert_int_equal(make("mac", more, 0, &vm, &err), code);
    if (!strstr(err.message, wanted) && !strstr(err.hint, wanted))
        fail_msg("%s (%s) does not say \"%s\"", err.message, err.hint, wanted);
}

static void test_options(void **state)
{
    (void)state;
    refused("{\"host\": null}", VT_EINVAL, "host");
    refused("{\"user\": null}", VT_EINVAL, "user");
    refused("{\"port\": 70000}", VT_EINVAL, "1 to 65535");
    refused("{\"key\": null}", VT_EINVAL, "nothing to log in with");
    refused("{\"key\": \"id\"}", VT_EINVAL, "absolute path");
    refused("{\"agent\": 1}", VT_EINVAL, "true or false");
    refused("{\"reboto\": \"x\"}", VT_EINVAL, "did you mean \"reboot\"");
    refused("{\"known_hosts\": \"/nowhere/at/all\", \"host_key\": null}", VT_ENOTFOUND, "/nowhere");
    refused("{\"password\": \"secret\"}", VT_EINVAL, "password_file");
    struct vt_vm *vm;
    struct vt_error err = VT_ERROR_INIT;
    json_t *o = options(NULL);
    struct vt_vm_config config = {.name = "mac", .driver = "ssh", .ssh = o, .memory = 1 << 30};
    assert_int_equal(vt_vm_new(loop, &config, &vm, &err), VT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "memory"));
    config = (struct vt_vm_config){.name = "mac", .driver = "ssh", .ssh = o, .channel = "agent"};
    err = (struct vt_error)VT_ERROR_INIT;
    assert_int_equal(vt_vm_new(loop, &config, &vm, &err), VT_EUNSUPPORTED);
    json_decref(o);
}

static void test_password_file(void **state)
{
    (void)state;
    char path[200], more[300];
    snprintf(path, sizeof path, "%s/password", server.dir);
    snprintf(more, sizeof more, "{\"key\": null, \"password_file\": \"%s\", \"user\": \"%s\"}",
             path, SSH_SERVER_USER);
    refused(more, VT_ENOTFOUND, "password file");
    static const char text[] = SSH_SERVER_PASSWORD "\nnot this line\n";
    assert_int_equal(vt_write_file(path, text, sizeof text - 1, 0644, NULL), VT_OK);
    refused(more, VT_EINVAL, "0644");
    refused(more, VT_EINVAL, "chmod 600");
    assert_int_equal(vt_write_file(path, "\n", 1, 0600, NULL), VT_OK);
    refused(more, VT_EINVAL, "no password");
    assert_int_equal(vt_write_file(path, text, sizeof text - 1, 0600, NULL), VT_OK);
    if (ssh_server_no_namespace())
        return; /* no server can be had that takes it */
    ssh_server_listen_with_password(&server, "PasswordAuthentication yes");
    struct vt_vm *vm = machine(more);
    must_start(vm);
    json_t *info = vt_vm_info(vm);
    char *shown = json_dumps(info, 0);
    assert_null(strstr(shown, "pass word"));
    free(shown);
    json_decref(info);
    end_vm(vm, false);
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct vt_vm *vm = machine(NULL);
    struct result r = start(vm, 1);
    assert_int_equal(r.error.code, VT_ETIMEDOUT);
    assert_non_null(strstr(r.error.message, "did not start"));
    while (vt_vm_state(vm) == VT_VM_STOPPING)
        vt_loop_run_once(loop, true);
    assert_int_equal(vt_vm_state(vm), VT_VM_STOPPED);
    ssh_server_listen(&server, NULL); /* it is switched on */
    must_start(vm);
    end_vm(vm, false);
}

static void test_one_user_at_a_time(void **state)
{
    (void)state;
    ssh_server_listen(&server, NULL);
    struct vt_vm *first = machine(NULL), *second, *third;
    struct vt_error err;
    must_start(first);
    assert_int_equal(make("second", NULL, 0, &second, &err), VT_OK);
    struct result r = start(second, PATIENCE_S);
    assert_int_equal(r.error.code, VT_EBUSY);
    assert_non_null(strstr(r.error.message, "run the-run (VM mac of"));
    assert_int_equal(vt_vm_state(second), VT_VM_STOPPED);
    assert_int_equal(make("third", NULL, PATIENCE_S, &third, &err), VT_OK);
    r = (struct result){.done = false};
    struct vt_op *op = vt_vm_start(third, true, PATIENCE_S, on_done, &r, NULL);
    assert_non_null(strstr(vt_vm_reason(third), "waiting for the machine 127.0.0.1"));
    vt_loop_run_once(loop, true);
    assert_false(r.done);
    end_vm(first, false);
    assert_int_equal(await(&r, op), VT_OK);
    assert_int_equal(run(third, "true").status, 0);
    end_vm(second, false);
    end_vm(third, false);
}

/* A machine whose boot id is a file of ours, and whose restart ends its connections. */
static void listen_as_machine(const char *boot_id)
{
    static const char script[] = "case \"$SSH_ORIGINAL_COMMAND\" in *boot_id*) cat \"$0.id\" ;; "
                                 "*) exec sh -c \"$SSH_ORIGINAL_COMMAND\" ;; esac\n";
    char config[300];
    assert_int_equal(
        vt_write_file(ssh_server_path(&server, "machine"), script, sizeof script - 1, 0700, NULL),
        VT_OK);
    assert_int_equal(
        vt_write_file(ssh_server_path(&server, "machine.id"), boot_id, strlen(boot_id), 0600, NULL),
        VT_OK);
    snprintf(config, sizeof config, "ForceCommand sh %s", ssh_server_path(&server, "machine"));
    ssh_server_listen(&server, config);
}

static struct result reboot_by(struct vt_vm *vm, double timeout)
{
    struct result r = {.done = false};
    await(&r, vt_vm_reboot(vm, false, timeout, on_done, &r, NULL));
    return r;
}

static void test_reboot_by_boot_id(void **state)
{
    (void)state;
    char more[300];
    listen_as_machine("one\n");
    snprintf(more, sizeof more, "{\"reboot\": \"(sleep 0.5; echo two > %s) >/dev/null 2>&1 &\"}",
             ssh_server_path(&server, "machine.id"));
    struct vt_vm *vm = machine(more);
    must_start(vm);
    struct result r = reboot_by(vm, PATIENCE_S);
    if (r.error.code)
        fail_msg("%s", r.error.message);
    struct vt_buf id = VT_BUF_INIT; /* not before it happened */
    vt_read_file(ssh_server_path(&server, "machine.id"), 100, &id, NULL);
    assert_string_equal(vt_buf_str(&id), "two\n");
    vt_buf_free(&id);
    assert_int_equal(run(vm, "true").status, 0);
    end_vm(vm, false);
}

static void test_reboot_by_lost_connection(void **state)
{
    (void)state;
    char more[300];
    listen_as_machine("");
    snprintf(more, sizeof more, "{\"reboot\": \"touch %s\"}", ssh_server_path(&server, "asked"));
    struct vt_vm *vm = machine(more);
    must_start(vm);
    struct result r = {.done = false};
    struct vt_op *op = vt_vm_reboot(vm, false, PATIENCE_S, on_done, &r, NULL);
    while (access(ssh_server_path(&server, "asked"), F_OK))
        vt_loop_run_once(loop, true);
    ssh_server_kill(&server);
    vt_loop_run_once(loop, true);
    assert_false(r.done);
    listen_as_machine("");
    assert_int_equal(await(&r, op), VT_OK);
    assert_int_equal(run(vm, "true").status, 0);
    end_vm(vm, false);
}

static void test_reboot_that_fails(void **state)
{
    (void)state;
    listen_as_machine("one\n");
    struct vt_vm *vm = machine("{\"reboot\": \"echo may not >&2; exit 4\"}");
    must_start(vm);
    struct result r = reboot_by(vm, PATIENCE_S);
    assert_int_equal(r.error.code, VT_EGUEST);
    assert_non_null(strstr(r.error.message, "status 4: may not"));
    end_vm(vm, false);
    vm = machine("{\"reboot\": \"true\"}"); /* it says it will, and does not */
    must_start(vm);
    r = reboot_by(vm, 3);
    assert_int_equal(r.error.code, VT_ETIMEDOUT);
    assert_int_equal(run(vm, "true").status, 0);
    end_vm(vm, false);
    vm = machine(NULL);
    must_start(vm);
    r = reboot_by(vm, PATIENCE_S);
    assert_int_equal(r.error.code, VT_EUNSUPPORTED);
    assert_non_null(strstr(r.error.hint, "reboot ="));
    end_vm(vm, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const char *missing = ssh_server_missing();
    if (missing) {
        printf("SKIPPED: %s\n", missing);
        return 77;
    }
    vt_drivers_init();
    const struct CMUnitTest tests[] = {
        TEST(test_commands_and_files),
        TEST(test_what_it_cannot),
        TEST(test_unknown_host),
        TEST(test_known_hosts),
        TEST(test_options),
        TEST(test_password_file),
        TEST(test_nobody_there),
        TEST(test_one_user_at_a_time),
        TEST(test_reboot_by_boot_id),
        TEST(test_reboot_by_lost_connection),
        TEST(test_reboot_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
