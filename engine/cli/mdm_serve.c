/* vmtest mdm serve */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/mdm_session.h"
#include "core/buf.h"
#include "core/mem.h"
#include "core/paths.h"
#include "vmtest/run.h"

#define LISTEN "127.0.0.1:8443"
#define NAMES_MAX 32

enum { LISTEN_AT, STATE, NAME };

static const struct vt_option options[] = {
    [LISTEN_AT] = {0, "listen", "ADDR:PORT",
                   "where devices reach it (default: " LISTEN "; port 0: a free one)"},
    [STATE] = {0, "state", "DIR", "where it keeps devices and queues (default: the user's own)"},
    [NAME] = {0, "name", "HOST...",
              "another name or address by which devices reach it, for its\ncertificate; may be "
              "given several times"},
    {0},
};

static struct vt_loop *volatile woken;
static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
    signalled = sig;
    if (woken)
        vt_loop_wake(woken);
}

static void catch_signals(struct vt_loop *loop)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    woken = loop;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

static void print(const json_t *event, void *user)
{
    (void)user;
    json_dumpf(event, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
}

static void print_start(struct vt_mdm *mdm, const char *state)
{
    json_t *event =
        json_pack("{s:s, s:s, s:s}", "type", "listening", "url", vt_mdm_url(mdm), "state", state);
    print(event, NULL);
    json_decref(event);
    fprintf(stderr, "devices reach it at %s; Ctrl-C ends it\n", vt_mdm_url(mdm));
}

static enum vt_code serve(const struct vt_mdm_opts *opts, struct vt_error *err)
{
    struct vt_mdm_session s = {.loop = vt_loop_new(err)};
    void *mdm = NULL;
    if (!s.loop)
        return err->code;
    catch_signals(s.loop);
    enum vt_code code =
        vt_mdm_session_wait(&s, vt_mdm_open(s.loop, opts, vt_mdm_session_done, &s, err), &mdm, err);
    s.mdm = mdm;
    if (!code) {
        vt_mdm_on_event(s.mdm, print, NULL);
        print_start(s.mdm, opts->state_dir);
        while (!signalled)
            vt_loop_run_once(s.loop, true);
    }
    woken = NULL;
    vt_mdm_session_close(&s);
    return code;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    char *state = values[STATE] ? vt_strdup(values[STATE]) : vt_home_dir("mdm/server", &err);
    char *names = vt_strdup(values[NAME] ? values[NAME] : ""), *rest = names;
    const char *list[NAMES_MAX + 1] = {0};
    size_t n = 0;
    (void)args;
    for (char *name; (name = strsep(&rest, "\n"));)
        if (*name && n < NAMES_MAX)
            list[n++] = name;
    const struct vt_mdm_opts opts = {
        .kind = "lab",
        .listen = values[LISTEN_AT] ? values[LISTEN_AT] : LISTEN,
        .state_dir = state,
        .names = list,
        .control = true,
    };
    if (state)
        serve(&opts, &err);
    vt_free(state);
    vt_free(names);
    return vt_mdm_session_exit(self, &err);
}

const struct vt_command vt_cmd_mdm_serve = {
    .name = "mdm serve",
    .args = "",
    .summary = "runs the MDM lab server till it is interrupted",
    .details = "What happens is written to stdout, a JSON object on each line. Devices and their\n"
               "queues are kept, also where it is killed. It is reached from this host alone,\n"
               "guests on a NAT network included (as 10.0.2.2), unless --listen says otherwise.",
    .example = "vmtest mdm serve\nvmtest mdm serve --listen 0.0.0.0:8443 --name mdm.lab.example",
    .options = options,
    .max_args = 0,
    .run = run,
};
