/* vmtest mdm profile */
#include <stdio.h>
#include <string.h>

#include "cli/mdm_session.h"
#include "core/fs.h"
#include "vmtest/run.h"

enum { METHOD, OUTPUT, ADDRESS, TOPIC, RIGHTS, RSA, STATE, JSON };

static const struct vt_option options[] = {
    [METHOD] = {0, "method", "METHOD",
                "how the device gets its identity: pkcs12, scep or both\n(default: pkcs12)"},
    [OUTPUT] = {'o', "output", "FILE", "where the profile is written, mode 0600"},
    [ADDRESS] = {0, "address", "HOST",
                 "how the device reaches the server, 10.0.2.2 in a guest on a\nNAT network "
                 "(default: the server's first)"},
    [TOPIC] = {0, "topic", "TOPIC", "com.apple.mgmt.… (default: the server's own)"},
    [RIGHTS] = {0, "rights", "N", "AccessRights (default: 8191, all)"},
    [RSA] = {0, "rsa", NULL, "an identity with an RSA key instead of an EC one"},
    [STATE] = {0, "state", "DIR", "the server's state folder (default: the user's own)"},
    [JSON] = {0, "json", NULL, "a JSON object instead of the enrollment's name"},
    {0},
};

static bool parse_method(const char *text, enum vt_mdm_method *out)
{
    static const char *const names[] = {"pkcs12", "scep", "both"};
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            *out = (enum vt_mdm_method)i;
            return true;
        }
    return false;
}

static void print_made(const struct vt_mdm_enrollment *made, const char *file, bool json)
{
    if (!json) {
        printf("%s\n", made->id);
        return;
    }
    json_t *facts = json_pack("{s:s, s:s*}", "file", file, "enrollment", made->id);
    json_dumpf(facts, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(facts);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_mdm_session s;
    struct vt_mdm_enrollment_opts opts = {
        .address = values[ADDRESS], .topic = values[TOPIC], .rsa = values[RSA] != NULL};
    int rights = 0;
    void *result;
    (void)args;
    if (values[METHOD] && !parse_method(values[METHOD], &opts.method))
        return vt_cli_usage(self, "--method is pkcs12, scep or both, not \"%s\"", values[METHOD]);
    if (!values[OUTPUT])
        return vt_cli_usage(self, "-o FILE is needed: the profile holds a secret");
    if (values[RIGHTS] && !vt_cli_int(self, "--rights", values[RIGHTS], 1, 8191, &rights))
        return VT_EXIT_USAGE;
    opts.access_rights = (unsigned)rights;
    if (!vt_mdm_session_open(&s, values[STATE], &err) &&
        !vt_mdm_session_wait(&s, vt_mdm_enroll(s.mdm, &opts, vt_mdm_session_done, &s, &err),
                             &result, &err)) {
        const struct vt_mdm_enrollment *made = result;
        if (!vt_write_file(values[OUTPUT], made->profile, made->profile_size, 0600, &err))
            print_made(made, values[OUTPUT], values[JSON] != NULL);
    }
    vt_mdm_session_close(&s);
    return vt_mdm_session_exit(self, &err);
}

const struct vt_command vt_cmd_mdm_profile = {
    .name = "mdm profile",
    .args = "",
    .summary = "makes an enrollment profile for one device",
    .details = "Each device needs one of its own: an identity that a second device shows is "
               "refused.\nThe name of the enrollment is printed.",
    .example = "vmtest mdm profile --method scep --address 10.0.2.2 -o enroll.mobileconfig",
    .options = options,
    .max_args = 0,
    .run = run,
};
