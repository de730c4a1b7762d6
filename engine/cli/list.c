/* vmtest list SUITE... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "core/json.h"
#include "vmtest/run.h"

enum { FILTER, JSON };

static const struct vt_option options[] = {
    [FILTER] = {'k', NULL, "EXPR", "only tests whose name or file matches"},
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of lines"},
    {0},
};

struct listing {
    json_t *suites; /* names by job */
    json_t *tests;  /* in the order of jobs and ids */
    bool failed;
};

static void take_plan(struct listing *l, const json_t *event)
{
    size_t i, job = (size_t)vt_json_int(event, "job", 1) - 1;
    json_t *test;
    json_array_foreach(json_object_get(event, "tests"), i, test)
    {
        json_t *copy = json_copy(test);
        json_object_set(copy, "suite", json_array_get(l->suites, job));
        json_array_append_new(json_array_get(l->tests, job), copy);
    }
}

static void take_jobs(struct listing *l, const json_t *event)
{
    size_t i;
    json_t *job;
    json_array_foreach(json_object_get(event, "jobs"), i, job)
    {
        json_array_append(l->suites, json_object_get(job, "suite"));
        json_array_append_new(l->tests, json_array());
    }
}

static void take_error(struct listing *l, const json_t *event)
{
    size_t job = (size_t)vt_json_int(event, "job", 1) - 1;
    l->failed = true;
    fprintf(stderr, "vmtest list: %s: %s\n", json_string_value(json_array_get(l->suites, job)),
            vt_json_str(event, "message", "the suite cannot be loaded"));
}

static void on_event(const struct vt_event *event, void *user)
{
    struct listing *l = user;
    if (!event)
        return;
    json_t *object = vt_event_json(event);
    if (event->type == VT_EVENT_RUN_START)
        take_jobs(l, object);
    else if (event->type == VT_EVENT_PLAN)
        take_plan(l, object);
    else if (event->type == VT_EVENT_SUITE_ERROR)
        take_error(l, object);
    json_decref(object);
}

static void print_lines(const struct listing *l)
{
    size_t job, i;
    json_t *tests, *test;
    json_array_foreach(l->tests, job, tests) json_array_foreach(tests, i, test)
    {
        const char *cls = vt_json_str(test, "class", "");
        printf("%s::%s%s%s\n", vt_json_str(test, "suite", "?"), cls, *cls ? "." : "",
               vt_json_str(test, "name", "?"));
    }
}

static void print_json(const struct listing *l)
{
    json_t *all = json_array();
    size_t job;
    json_t *tests;
    json_array_foreach(l->tests, job, tests) json_array_extend(all, tests);
    json_dumpf(all, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(all);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct listing l = {.suites = json_array(), .tests = json_array()};
    const struct vt_run_opts opts = {
        .suites = (const char *const *)args,
        .filter = values[FILTER],
        .list_only = true,
        .test_timeout = 60,
        .on_event = on_event,
        .user = &l,
    };
    int code;
    if (vt_run(&opts, &code, NULL, &err))
        vt_cli_error(self, &err);
    else if (values[JSON])
        print_json(&l);
    else
        print_lines(&l);
    json_decref(l.suites);
    json_decref(l.tests);
    return code;
}

const struct vt_command vt_cmd_list = {
    .name = "list",
    .args = "SUITE...",
    .summary = "lists the tests of suites without running them",
    .details = "A suite's own top level is run to find its tests; it cannot use VMs there.",
    .example = "vmtest list testsuites\nvmtest list --json testsuites/quickstart.lua",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
