#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "device/commands.h"
#include "device/daemon.h"
#include "device/install.h"
#include "device/session.h"
#include "device/tools.h"
#include "plist/base64.h"
#include "plist/tree.h"

#define LOCK_SECONDS 120.0

static const char usage[] =
    "Usage: vmtest-device [--root DIR] [--allow-http] COMMAND\n"
    "\n"
    "A stand-in for a managed Mac in this Linux system.\n"
    "\n"
    "  enroll [--not-approved] FILE  installs the enrollment profile and checks in\n"
    "  unenroll                      removes it, and all that MDM installed\n"
    "  poll                          asks the server for commands and answers them\n"
    "  daemon [--interval SECONDS]   polls at each wake-up, and by the clock\n"
    "  wake                          wakes the daemon, as a push would\n"
    "  install FILE                  installs a profile as a person would\n"
    "  remove IDENTIFIER             removes a profile as a person would\n"
    "  answer not-now|error|normal [REQUESTTYPE]\n"
    "                                how commands are answered from now on\n"
    "  effects [--json]              what became of each payload\n"
    "  bootstrap-token               asks the server for the token it keeps; prints base64\n"
    "  profiles …, defaults …        as these commands of a Mac\n"
    "\n"
    "  --root DIR    all files below DIR, for tests\n"
    "  --allow-http  takes http: from any host, not from this one alone\n";

struct call {
    const char *root;
    bool plain_http;
    int argc;
    char **argv; /* after the command's name */
};

static int fail(const struct vt_error *err)
{
    fprintf(stderr, "vmtest-device: %s\n", err->message);
    if (err->hint[0])
        fprintf(stderr, "  %s\n", err->hint);
    return 1;
}

static int wrong_use(void)
{
    fputs(usage, stderr);
    return 2;
}

static enum vt_code open_device(const struct call *c, struct vtd *d, struct vt_error *err)
{
    enum vt_code code = vtd_open(d, c->root, true, LOCK_SECONDS, err);
    d->plain_http = c->plain_http;
    if (!code)
        vtd_session_recover(d);
    return code;
}

static int cmd_enroll(const struct call *c)
{
    struct vtd d;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf data = VT_BUF_INIT;
    bool approved = !(c->argc > 1 && !strcmp(c->argv[0], "--not-approved"));
    if (c->argc != (approved ? 1 : 2))
        return wrong_use();
    enum vt_code code = vt_read_file(c->argv[c->argc - 1], VT_PLIST_MAX_BYTES, &data, &err);
    if (!code) {
        code = open_device(c, &d, &err);
        if (!code)
            code = vtd_enroll(&d, data.data, data.len, approved, &err);
        vtd_close(&d);
    }
    vt_buf_free(&data);
    return code ? fail(&err) : 0;
}

static int cmd_unenroll(const struct call *c)
{
    struct vtd d;
    struct vt_error err = VT_ERROR_INIT;
    enum vt_code code = open_device(c, &d, &err);
    if (!code)
        code = vtd_leave(&d, true, &err);
    vtd_close(&d);
    return code ? fail(&err) : 0;
}

static int cmd_poll(const struct call *c)
{
    struct vtd d;
    struct vt_error err = VT_ERROR_INIT;
    unsigned answered = 0;
    enum vt_code code = open_device(c, &d, &err);
    if (!code)
        code = vtd_poll(&d, &answered, &err);
    vtd_close(&d);
    printf("%u\n", answered);
    return code ? fail(&err) : 0;
}

static int chain_fails(const struct vtd_chain *chain)
{
    char text[2000];
    fprintf(stderr, "vmtest-device: %s\n", vtd_chain_text(chain, text, sizeof text));
    return 1;
}

static int cmd_install(const struct call *c)
{
    struct vtd d;
    struct vt_error err = VT_ERROR_INIT;
    struct vtd_chain chain = {.n = 0};
    struct vt_buf data = VT_BUF_INIT;
    bool good = true;
    if (c->argc != 1)
        return wrong_use();
    enum vt_code code = vt_read_file(c->argv[0], VT_PLIST_MAX_BYTES, &data, &err);
    if (!code) {
        code = open_device(c, &d, &err);
        good = code || vtd_install(&d, data.data, data.len,
                                   &(struct vtd_install_opts){.by_mdm = false}, &chain);
        vtd_close(&d);
    }
    vt_buf_free(&data);
    return code ? fail(&err) : good ? 0 : chain_fails(&chain);
}

static int cmd_remove(const struct call *c)
{
    struct vtd d;
    struct vt_error err = VT_ERROR_INIT;
    struct vtd_chain chain = {.n = 0};
    struct vtd_mdm mdm;
    bool good = true;
    if (c->argc != 1)
        return wrong_use();
    enum vt_code code = open_device(c, &d, &err);
    if (!code) {
        bool enrollment = vtd_mdm_load(&d, &mdm) &&
                          !strcmp(c->argv[0], vt_plist_str(vt_plist_dict(mdm.record, "Profile"),
                                                           "PayloadIdentifier", ""));
        plist_t profile = vt_plist_dict(mdm.record, "Profile");
        if (enrollment && vt_plist_bool(profile, "PayloadRemovalDisallowed", false))
            good = vtd_fault(&chain, vtd_install_domain, 4023,
                             "The enrollment profile may not be removed by a person");
        vtd_mdm_free(&mdm);
        if (good && enrollment)
            code = vtd_leave(&d, true, &err);
        else if (good)
            good = vtd_uninstall(&d, c->argv[0], false, &chain);
    }
    vtd_close(&d);
    return code ? fail(&err) : good ? 0 : chain_fails(&chain);
}

static int cmd_answer(const struct call *c)
{
    struct vtd d;
    struct vt_error err = VT_ERROR_INIT;
    if (c->argc < 1 || c->argc > 2)
        return wrong_use();
    enum vt_code code = open_device(c, &d, &err);
    if (!code)
        code = vtd_answer_set(&d, c->argv[0], c->argc > 1 ? c->argv[1] : NULL, &err);
    vtd_close(&d);
    return code ? fail(&err) : 0;
}

static int cmd_daemon(const struct call *c)
{
    struct vt_error err = VT_ERROR_INIT;
    char *end = NULL;
    double interval = 0;
    if (c->argc == 2 && !strcmp(c->argv[0], "--interval"))
        interval = strtod(c->argv[1], &end);
    if ((c->argc && (!end || *end || !(interval >= 1 && interval <= 86400))))
        return wrong_use();
    vtd_daemon(c->root, c->plain_http, interval, &err);
    return fail(&err);
}

static int cmd_wake(const struct call *c)
{
    struct vt_error err = VT_ERROR_INIT;
    return vtd_wake(c->root, &err) ? fail(&err) : 0;
}

static int cmd_bootstrap(const struct call *c)
{
    struct vtd d;
    struct vtd_mdm mdm;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf token = VT_BUF_INIT, text = VT_BUF_INIT;
    enum vt_code code = open_device(c, &d, &err);
    if (!code) {
        code = vtd_mdm_load(&d, &mdm)
                   ? vtd_mdm_get_bootstrap(&d, &mdm, &token, &err)
                   : vt_fail(&err, VT_ESTATE, "mdm", "the device is not enrolled");
        vtd_mdm_free(&mdm);
    }
    vtd_close(&d);
    vt_base64_encode(&text, vt_buf_str(&token), token.len);
    if (!code)
        puts(vt_buf_str(&text));
    vt_buf_free(&token);
    vt_buf_free(&text);
    return code ? fail(&err) : 0;
}

static int cmd_effects(const struct call *c)
{
    return vtd_tool_effects(c->root, c->argc, c->argv);
}

static int cmd_profiles(const struct call *c)
{
    return vtd_tool_profiles(c->root, c->argc, c->argv);
}

static int cmd_defaults(const struct call *c)
{
    return vtd_tool_defaults(c->root, c->argc, c->argv);
}

static const struct {
    const char *name;
    int (*run)(const struct call *);
} commands[] = {
    {"answer", cmd_answer},     {"bootstrap-token", cmd_bootstrap},
    {"daemon", cmd_daemon},     {"defaults", cmd_defaults},
    {"effects", cmd_effects},   {"enroll", cmd_enroll},
    {"install", cmd_install},   {"poll", cmd_poll},
    {"profiles", cmd_profiles}, {"remove", cmd_remove},
    {"unenroll", cmd_unenroll}, {"wake", cmd_wake},
};

static int run(const char *name, const struct call *c)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (!strcmp(name, commands[i].name))
            return commands[i].run(c);
    return wrong_use();
}

/* By its name (a link): `profiles` and `defaults`, as on a Mac. */
int main(int argc, char **argv)
{
    struct call c = {.root = "/"};
    const char *self = argc > 0 ? vt_path_base(argv[0]) : "";
    int i = 1;
    if (!strcmp(self, "profiles") || !strcmp(self, "defaults")) {
        c.argc = argc - 1;
        c.argv = argv + 1;
        return run(self, &c);
    }
    for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
        if (!strcmp(argv[i], "--allow-http"))
            c.plain_http = true;
        else if (!strcmp(argv[i], "--root") && i + 1 < argc && argv[i + 1][0] == '/')
            c.root = argv[++i];
        else if (!strcmp(argv[i], "--help"))
            return fputs(usage, stdout) < 0;
        else
            return wrong_use();
    }
    if (i >= argc)
        return wrong_use();
    c.argc = argc - i - 1;
    c.argv = argv + i + 1;
    return run(argv[i], &c);
}
