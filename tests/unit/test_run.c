/* The plan, the job's way to the worker, and the ledger that leaves no test without an outcome. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "run/ledger.h"
#include "run/plan.h"
#include "vmtest/job.h"

static char dir[64];

static void put(const char *name)
{
    char *path = vt_path_join(dir, name), *parent = vt_path_dir(path);
    assert_int_equal(vt_mkdirs(parent, NULL), VT_OK);
    assert_int_equal(vt_write_file(path, "", 0, 0600, NULL), VT_OK);
    vt_free(parent);
    vt_free(path);
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/vmtest-run-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return vt_remove_tree(dir, NULL) == VT_OK ? 0 : -1;
}

static void test_plan_of_a_folder(void **state)
{
    (void)state;
    put("s/b.lua");
    put("s/a.lua");
    put("s/sub/c.lua");
    put("s/_helper.lua");
    put("s/.hidden.lua");
    put("s/lib/module.lua");
    put("s/readme.md");
    char *folder = vt_path_join(dir, "s"), *again = vt_path_join(dir, "s/a.lua");
    const char *names[] = {folder, again, NULL};
    struct vt_suite *suites;
    size_t n;
    assert_int_equal(vt__plan(names, &suites, &n, NULL), VT_OK);
    assert_int_equal(n, 3);
    assert_string_equal(vt_path_base(suites[0].path), "a.lua");
    assert_string_equal(vt_path_base(suites[1].path), "b.lua");
    assert_string_equal(vt_path_base(suites[2].path), "c.lua");
    vt__plan_free(suites, n);
    vt_free(folder);
    vt_free(again);
}

static void test_plan_suggests(void **state)
{
    (void)state;
    put("quickstart.lua");
    char *typo = vt_path_join(dir, "quikstart.lua"), *empty = vt_path_join(dir, "empty");
    struct vt_suite *suites;
    size_t n;
    struct vt_error err = VT_ERROR_INIT;
    const char *names[] = {typo, NULL};
    assert_int_equal(vt__plan(names, &suites, &n, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.hint, "quickstart.lua"));
    assert_int_equal(vt_mkdirs(empty, NULL), VT_OK);
    names[0] = empty;
    err = (struct vt_error)VT_ERROR_INIT;
    assert_int_equal(vt__plan(names, &suites, &n, &err), VT_EINVAL);
    assert_null(suites);
    vt_free(typo);
    vt_free(empty);
}

static void test_job_round_trip(void **state)
{
    (void)state;
    struct vt_job back;
    json_t *sent = json_pack(
        "{s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:f,s:b,s:b,s:b,s:b,s:b,s:f,s:i}",
        "number", 3, "run_id", "r", "suite", "/s.lua", "suite_name", "s.lua", "results_dir", "/r",
        "runtime_dir", "/t", "scratch_dir", "/d", "filter", "a or b", "driver", "sim", "channel",
        "agent", "mdm", "nanomdm=https://m", "mdm_credentials", "/c", "mdm_ca", "/a", "wait", 1.5,
        "fail_fast", 1, "list_only", 0, "dry_run", 1, "keep_failed", 1, "keep_always", 0,
        "test_timeout", 2.5, "memory_limit", 1000);
    assert_int_equal(vt_job_from_json(sent, &back, NULL), VT_OK);
    json_t *again = vt_job_to_json(&back);
    assert_true(json_equal(sent, again));
    vt_job_clear(&back);
    json_object_del(again, "suite");
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_job_from_json(again, &back, &err), VT_EPROTO);
    assert_non_null(strstr(err.message, "suite"));
    json_decref(again);
    json_decref(sent);
}

static void feed(struct vt_ledger *l, const char *text)
{
    json_t *event = json_loads(text, 0, NULL);
    assert_non_null(event);
    struct vt_event of = vt_event_of(event);
    vt__ledger_event(l, &of);
    json_decref(event);
}

static const char *next_missing(struct vt_ledger *l, char *out, size_t size)
{
    json_t *event = vt__ledger_missing(l, VT_TIMED_OUT, "stuck", "worker gone");
    if (!event)
        return NULL;
    snprintf(out, size, "%s:%s:%s", vt_json_str(event, "name", "?"),
             vt_json_str(event, "outcome", "?"),
             vt_json_str(event, "message", vt_json_str(event, "reason", "?")));
    struct vt_event of = vt_event_of(event);
    vt__ledger_event(l, &of);
    json_decref(event);
    return out;
}

static void test_ledger(void **state)
{
    (void)state;
    struct vt_ledger l = {0};
    char out[100];
    feed(&l, "{\"type\":\"plan\",\"tests\":[{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"b\"}]}");
    feed(&l, "{\"type\":\"plan\",\"tests\":[{\"id\":3,\"name\":\"c\"},{\"id\":-4},{\"id\":9e9}]}");
    feed(&l, "{\"type\":\"test_start\",\"id\":1}");
    feed(&l, "{\"type\":\"test_end\",\"id\":1,\"outcome\":\"passed\"}");
    feed(&l, "{\"type\":\"test_start\",\"id\":3}");
    assert_string_equal(next_missing(&l, out, sizeof out), "c:timed_out:stuck");
    assert_string_equal(next_missing(&l, out, sizeof out), "b:not_run:worker gone");
    assert_null(next_missing(&l, out, sizeof out));
    assert_int_equal(l.counts[VT_PASSED], 1);
    assert_int_equal(l.counts[VT_TIMED_OUT], 1);
    assert_int_equal(l.counts[VT_NOT_RUN], 1);
    vt__ledger_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_of_a_folder),
        cmocka_unit_test(test_plan_suggests),
        cmocka_unit_test(test_job_round_trip),
        cmocka_unit_test(test_ledger),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
