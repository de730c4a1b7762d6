/* vmtest run SUITE... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/options.h"
#include "core/buf.h"
#include "core/mem.h"
#include "core/text.h"
#include "vmtest/mdm.h"
#include "vmtest/report.h"
#include "vmtest/run.h"
#include "vmtest/units.h"
#include "vmtest/vm.h"

#define TEST_TIMEOUT_S 300.0

enum {
    FILTER,
    EXITFIRST,
    JOBS,
    TIMEOUT,
    KEEP,
    DRY_RUN,
    OUTPUT,
    VERBOSE,
    MEMORY,
    DRIVER,
    CHANNEL,
    MDM,
    MDM_CREDENTIALS,
    MDM_CA,
    WAIT
};

static const struct vt_option options[] = {
    [FILTER] = {'k', NULL, "EXPR",
                "only tests whose name or file matches: words with\nand, or, not, ( )"},
    [EXITFIRST] = {'x', "exitfirst", NULL, "stop after the first failure"},
    [JOBS] = {'j', "jobs", "N", "suites at once (default: half the processors)"},
    [TIMEOUT] = {0, "timeout", "TIME",
                 "what a test may take where it does not say:\n"
                 "90s, 5m (default: 5m)"},
    [KEEP] = {0, "keep", "WHEN",
              "leave VMs running for a look: never, fail or always\n"
              "(default: never); `vmtest vm` shows and removes them"},
    [DRY_RUN] = {0, "dry-run", NULL, "simulated VMs: every command in them succeeds"},
    [OUTPUT] = {'o', "output", "DIR", "results folder (default: vmtest-results/RUN)"},
    [VERBOSE] = {'v', "verbose", NULL, "shows every test and every guest command"},
    [MEMORY] = {0, "memory", "SIZE", "of Lua in each suite (default: 512M)"},
    [DRIVER] = {0, "driver", "NAME", "for VMs whose suite names none (default: qemu)"},
    [CHANNEL] = {0, "channel", "KIND",
                 "the way into guests whose suite names none: agent,\n"
                 "ssh, qga (default: what the image prefers)"},
    [MDM] = {0, "mdm", "KIND[=URL]",
             "the MDM server of suites that need one: lab (default),\n"
             "none, lab=running, nanomdm=https://...,\nmicromdm=https://..., "
             "fleet=https://...,\njamf=https://..."},
    [MDM_CREDENTIALS] = {0, "mdm-credentials", "FILE",
                         "its credentials (default: the environment)"},
    [MDM_CA] = {0, "mdm-ca", "FILE", "what its certificate is checked against"},
    [WAIT] = VT_OPTION_WAIT,
    {0},
};

/* True where `names` (NULL-terminated) has it; else after an error message. */
static bool check_name(const struct vt_command *self, const char *option, const char *word,
                       const char *const *names)
{
    struct vt_buf list = VT_BUF_INIT;
    size_t n = 0;
    for (; names[n]; n++) {
        if (!strcmp(names[n], word)) {
            vt_buf_free(&list);
            return true;
        }
        vt_buf_printf(&list, "%s%s", n ? ", " : "", names[n]);
    }
    const char *near = vt_nearest(word, names, n);
    vt_cli_usage(self, "%s: there is no \"%s\"%s%s%s; there are: %s", option, word,
                 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", list.data);
    vt_buf_free(&list);
    return false;
}

/* "lab", "none", "KIND=URL": only the lab is started here. */
static bool check_mdm(const struct vt_command *self, const char *word)
{
    size_t n = strcspn(word, "=");
    char *kind = vt_strndup(word, n);
    bool none = !strcmp(kind, "none");
    bool good = none || check_name(self, "--mdm", kind, vt_mdm_kinds());
    bool started_here = none || !strcmp(kind, "lab");
    if (good && none && word[n]) {
        vt_cli_usage(self, "--mdm none takes no URL");
        good = false;
    } else if (good && (word[n] ? !word[n + 1] : !started_here)) {
        vt_cli_usage(self, "--mdm %s needs a URL: --mdm %s=https://...", kind, kind);
        good = false;
    }
    vt_free(kind);
    return good;
}

static bool parse_mdm(const struct vt_command *self, const char *const *v, struct vt_run_opts *o)
{
    o->mdm = v[MDM];
    o->mdm_credentials = v[MDM_CREDENTIALS];
    o->mdm_ca = v[MDM_CA];
    return !v[MDM] || check_mdm(self, v[MDM]);
}

static bool parse_where(const struct vt_command *self, const char *const *v, struct vt_run_opts *o)
{
    o->driver = v[DRIVER];
    o->channel = v[CHANNEL];
    if ((v[DRIVER] && !check_name(self, "--driver", v[DRIVER], vt_driver_names())) ||
        (v[CHANNEL] && !check_name(self, "--channel", v[CHANNEL], vt_channel_names())))
        return false;
    return vt_cli_wait(self, v[WAIT], &o->wait);
}

static bool parse_keep(const struct vt_command *self, const char *text, enum vt_keep *keep)
{
    static const char *const names[] = {
        [VT_KEEP_NEVER] = "never", [VT_KEEP_FAIL] = "fail", [VT_KEEP_ALWAYS] = "always"};
    for (int i = 0; i < 3; i++) {
        if (!strcmp(text, names[i])) {
            *keep = (enum vt_keep)i;
            return true;
        }
    }
    vt_cli_usage(self, "--keep takes never, fail or always, not \"%s\"", text);
    return false;
}

static bool parse(const struct vt_command *self, const char *const *v, struct vt_run_opts *o)
{
    struct vt_error err = VT_ERROR_INIT;
    o->filter = v[FILTER];
    o->fail_fast = v[EXITFIRST] != NULL;
    o->dry_run = v[DRY_RUN] != NULL;
    o->results_dir = v[OUTPUT];
    o->test_timeout = TEST_TIMEOUT_S;
    if (v[OUTPUT] && !v[OUTPUT][0]) {
        vt_cli_usage(self, "-o needs the name of a folder");
        return false;
    }
    if (v[JOBS] && !vt_cli_int(self, "-j", v[JOBS], 1, 256, &o->jobs))
        return false;
    if (v[KEEP] && !parse_keep(self, v[KEEP], &o->keep))
        return false;
    if ((v[TIMEOUT] && vt_parse_duration(v[TIMEOUT], &o->test_timeout, &err)) ||
        (v[MEMORY] && vt_parse_size(v[MEMORY], &o->memory_limit, &err))) {
        vt_cli_usage(self, "%s: %s; %s", v[TIMEOUT] ? "--timeout" : "--memory", err.message,
                     err.hint);
        return false;
    }
    if (!(o->test_timeout > 0)) {
        vt_cli_usage(self, "--timeout must be above 0");
        return false;
    }
    if (v[MEMORY] && o->memory_limit < (4u << 20)) {
        vt_cli_usage(self, "--memory must be at least 4M");
        return false;
    }
    return true;
}

static void on_event(const struct vt_event *event, void *user)
{
    if (event)
        vt_progress_event(user, event);
    else
        vt_progress_tick(user);
}

static struct vt_progress *new_progress(bool verbose)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    struct winsize size = {0};
    bool tty = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    if (tty)
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    const struct vt_progress_opts opts = {
        .out = stderr,
        .tty = tty,
        .color = tty && !(no_color && *no_color),
        .width = size.ws_col,
        .verbose = verbose,
    };
    return vt_progress_new(&opts);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_run_opts opts = {.suites = (const char *const *)args, .on_event = on_event};
    if (!parse(self, values, &opts) || !parse_where(self, values, &opts) ||
        !parse_mdm(self, values, &opts))
        return VT_EXIT_USAGE;
    struct vt_progress *progress = new_progress(values[VERBOSE] != NULL);
    opts.user = progress;
    int code;
    char *results;
    if (vt_run(&opts, &code, &results, &err)) {
        vt_progress_free(progress);
        vt_cli_error(self, &err);
    } else {
        vt_progress_free(progress);
        printf("%s\n", results);
    }
    vt_free(results);
    return code;
}

const struct vt_command vt_cmd_run = {
    .name = "run",
    .args = "SUITE...",
    .summary = "runs suites: Lua files, or folders of them",
    .details =
        "A folder stands for every *.lua file in it and below, but for names that begin\n"
        "with \".\" or \"_\" and folders named \"lib\". Progress goes to stderr; the folder\n"
        "of the results, with events.jsonl, junit.xml, results.tap, ctrf.json and every\n"
        "VM's console and transcript, is printed on stdout.",
    .example = "vmtest run testsuites/quickstart.lua\n"
               "vmtest run -k 'wifi and not slow' --timeout 2m -o out testsuites",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
