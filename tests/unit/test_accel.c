/* The choice of an acceleration and its cache, with a stand-in for QEMU. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/accel_cache.h"
#include "vm/tie.h"
#include "vmtest/accel.h"

struct host {
    char *home, *qemu, *cache;
    struct vt_loop *loop;
};

/* A program that counts its calls in `calls` and runs `script` for a boot. */
static void put_qemu(const struct host *h, const char *script)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(
        &text,
        "#!/bin/sh\n"
        "echo \"$*\" >>'%s/calls'\n"
        "if [ \"$1\" = --version ]; then echo 'QEMU emulator version 9.8.7 (x)'; exit; fi\n"
        "case \"$*\" in *'-accel tcg'*) accel=tcg;; *) accel=native;; esac\n%s\n",
        h->home, script);
    assert_int_equal(vt_write_file(h->qemu, text.data, text.len, 0700, NULL), VT_OK);
    vt_buf_free(&text);
}

static int count_calls(const struct host *h)
{
    struct vt_buf text = VT_BUF_INIT;
    char *path = vt_path_join(h->home, "calls");
    int lines = 0;
    if (vt_is_file(path))
        assert_int_equal(vt_read_file(path, 1 << 20, &text, NULL), VT_OK);
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    vt_buf_free(&text);
    vt_free(path);
    return lines;
}

static int setup(void **state)
{
    struct host *h = vt_calloc(1, sizeof *h);
    char home[] = "/tmp/vt-accel-XXXXXX";
    struct vt_buf name = VT_BUF_INIT;
    if (!mkdtemp(home))
        return -1;
    h->home = vt_strdup(home);
    vt_buf_printf(&name, "qemu-system-%s", vt_host_arch());
    h->qemu = vt_path_join(home, name.data);
    h->cache = vt_path_join(home, "cache/accel.json");
    vt_buf_clear(&name);
    vt_buf_printf(&name, "%s:%s", home, getenv("PATH"));
    setenv("PATH", name.data, 1);
    setenv("VMTEST_HOME", home, 1);
    unsetenv("VMTEST_ACCEL");
    vt_buf_free(&name);
    h->loop = vt_loop_new(NULL);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct host *h = *state;
    vt_loop_free(h->loop);
    vt_remove_tree(h->home, NULL);
    vt_free(h->home);
    vt_free(h->qemu);
    vt_free(h->cache);
    vt_free(h);
    return 0;
}

struct answer {
    bool done, cached;
    char accel[16], reason[800], version[32];
    struct vt_error error;
};

static void on_done(struct vt_op *op, void *user)
{
    struct answer *a = user;
    const struct vt_accel *found = vt_op_result(op);
    a->done = true;
    if (vt_op_error(op)) {
        a->error = *vt_op_error(op);
        return;
    }
    a->cached = found->cached;
    snprintf(a->accel, sizeof a->accel, "%s", found->accel);
    snprintf(a->reason, sizeof a->reason, "%s", found->reason);
    snprintf(a->version, sizeof a->version, "%s", found->version);
}

static struct answer probe(const struct host *h, const char *wanted, bool fresh)
{
    struct answer a = {.done = false};
    const struct vt_accel_opts opts = {.wanted = wanted, .fresh = fresh};
    if (!vt_accel_probe(h->loop, &opts, on_done, &a, &a.error))
        return a;
    while (!a.done)
        vt_loop_run_once(h->loop, true);
    return a;
}

static bool has_kvm(void)
{
    return access("/dev/kvm", R_OK | W_OK) == 0;
}

#define ANSWERS "printf K; case $* in *isa-debug-exit*) exit 99;; esac; exit 0"

static void test_emulation_needs_no_boot(void **state)
{
    const struct host *h = *state;
    put_qemu(h, "exit 1");
    struct answer a = probe(h, "tcg", false);
    assert_int_equal(a.error.code, VT_OK);
    assert_string_equal(a.accel, "tcg");
    assert_string_equal(a.version, "9.8.7");
    assert_int_equal(count_calls(h), 1);
    setenv("VMTEST_ACCEL", "tcg", 1);
    a = probe(h, "auto", false);
    assert_string_equal(a.accel, "tcg");
    assert_non_null(strstr(a.reason, "VMTEST_ACCEL"));
    assert_int_equal(count_calls(h), 1); /* not even for its version */
}

static void test_wrong_words(void **state)
{
    const struct host *h = *state;
    put_qemu(h, "exit 1");
    assert_int_equal(probe(h, "warp", false).error.code, VT_EINVAL);
    setenv("VMTEST_ACCEL", "warp", 1);
    struct answer a = probe(h, NULL, false);
    assert_int_equal(a.error.code, VT_EINVAL);
    assert_non_null(strstr(a.error.message, "VMTEST_ACCEL"));
    unsetenv("VMTEST_ACCEL");
    struct vt_error err = VT_ERROR_INIT;
    const struct vt_accel_opts opts = {.arch = "vax"};
    assert_null(vt_accel_probe(h->loop, &opts, on_done, NULL, &err));
    assert_int_equal(err.code, VT_ENOTFOUND);
    assert_non_null(strstr(err.message, "qemu-system-vax"));
    assert_true(strlen(err.hint) > 0);
}

static void test_a_guest_that_answers(void **state)
{
    const struct host *h = *state;
    if (!has_kvm())
        skip();
    put_qemu(h, ANSWERS);
    struct answer a = probe(h, NULL, false);
    assert_string_equal(a.accel, "kvm");
    assert_false(a.cached);
    int calls = count_calls(h);
    a = probe(h, NULL, false);
    assert_string_equal(a.accel, "kvm");
    assert_true(a.cached);
    assert_int_equal(count_calls(h), calls);
    a = probe(h, NULL, true); /* fresh */
    assert_false(a.cached);
    assert_int_equal(count_calls(h), calls + 1);
}

static void test_a_guest_that_hangs(void **state)
{
    const struct host *h = *state;
    if (!has_kvm())
        skip();
    put_qemu(h, "[ $accel = tcg ] || exec sleep 100\n" ANSWERS);
    struct answer a = probe(h, NULL, false);
    assert_string_equal(a.accel, "tcg");
    assert_non_null(strstr(a.reason, "did not answer within 3 s"));
    assert_false(a.cached);
    a = probe(h, NULL, false);
    assert_true(a.cached);
    assert_non_null(strstr(a.reason, "did not answer within 3 s"));
    /* by name it is an error, not a silent fall-back */
    a = probe(h, "kvm", false);
    assert_int_equal(a.error.code, VT_EUNSUPPORTED);
    assert_non_null(strstr(a.error.message, "did not answer"));
}

static void test_a_qemu_that_refuses(void **state)
{
    const struct host *h = *state;
    if (!has_kvm())
        skip();
    put_qemu(h, "[ $accel = tcg ] || { echo 'qemu: no such luck' >&2; exit 1; }\n" ANSWERS);
    struct answer a = probe(h, NULL, false);
    assert_string_equal(a.accel, "tcg");
    assert_non_null(strstr(a.reason, "no such luck"));
}

static void test_a_probe_guest_that_fails_everywhere(void **state)
{
    const struct host *h = *state;
    if (!has_kvm())
        skip();
    put_qemu(h, "exit 1");
    struct answer a = probe(h, NULL, false);
    assert_string_equal(a.accel, "tcg");
    assert_non_null(strstr(a.reason, "nor does the probe guest run emulated"));
    a = probe(h, NULL, false);
    assert_false(a.cached); /* this says nothing about the acceleration */
}

static void put_known(const struct host *h, bool works)
{
    char version[] = "1.2.3", reason[] = "because";
    const struct vt_accel_known known = {
        .version = version, .probed = true, .works = works, .reason = reason};
    vt_accel_cache_put(h->qemu, "kvm", &known);
}

static bool is_known(const struct host *h)
{
    struct vt_accel_known known;
    vt_accel_cache_get(h->qemu, "kvm", &known);
    bool probed = known.probed;
    vt_accel_known_clear(&known);
    return probed;
}

static void change_cache(const struct host *h, void (*change)(json_t *cache, json_t *entry))
{
    json_t *cache;
    assert_int_equal(vt_json_load(h->cache, &cache, NULL), VT_OK);
    change(cache, json_object_get(json_object_get(cache, "qemu"), h->qemu));
    assert_int_equal(vt_json_save(h->cache, cache, 0600, NULL), VT_OK);
    json_decref(cache);
}

static void other_boot(json_t *cache, json_t *entry)
{
    (void)entry;
    json_object_set_new(cache, "host", json_string("another boot"));
}

static void long_ago(json_t *cache, json_t *entry)
{
    (void)cache;
    json_object_set_new(json_object_get(json_object_get(entry, "probes"), "kvm"), "at",
                        json_real(1.0));
}

static void test_cache_is_for_this_boot_and_this_file(void **state)
{
    const struct host *h = *state;
    put_qemu(h, "exit 1");
    assert_false(is_known(h));
    put_known(h, true);
    assert_true(is_known(h));
    change_cache(h, long_ago);
    assert_true(is_known(h)); /* what works, works */
    change_cache(h, other_boot);
    assert_false(is_known(h));
    put_known(h, false);
    assert_true(is_known(h));
    change_cache(h, long_ago);
    assert_false(is_known(h)); /* a failure is asked about again */
    put_known(h, true);
    put_qemu(h, "exit 0 # another file"); /* an upgrade of QEMU */
    assert_false(is_known(h));
}

static void test_broken_cache_costs_a_probe_only(void **state)
{
    const struct host *h = *state;
    static const char *const broken[] = {"", "{", "[]", "{\"format\": 1}", "{\"qemu\": 5}"};
    put_qemu(h, "exit 1");
    put_known(h, true);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assert_int_equal(vt_write_file(h->cache, broken[i], strlen(broken[i]), 0600, NULL), VT_OK);
        assert_false(is_known(h));
        put_known(h, true);
        assert_true(is_known(h));
    }
}

static void test_cancel(void **state)
{
    const struct host *h = *state;
    put_qemu(h, "exec sleep 100");
    struct answer a = {.done = false};
    const struct vt_accel_opts opts = {.wanted = "auto"};
    struct vt_op *op = vt_accel_probe(h->loop, &opts, on_done, &a, NULL);
    assert_non_null(op);
    vt_loop_run_once(h->loop, false);
    vt_op_cancel(op);
    while (vt_loop_active(h->loop))
        vt_loop_run_once(h->loop, true);
    assert_int_equal(a.error.code, VT_ECANCELED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "__tie"))
        return vt_tie_main(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_emulation_needs_no_boot),
        TEST(test_wrong_words),
        TEST(test_a_guest_that_answers),
        TEST(test_a_guest_that_hangs),
        TEST(test_a_qemu_that_refuses),
        TEST(test_a_probe_guest_that_fails_everywhere),
        TEST(test_cache_is_for_this_boot_and_this_file),
        TEST(test_broken_cache_costs_a_probe_only),
        TEST(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
