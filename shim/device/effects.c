#include "device/effects.h"

#include <string.h>
#include <unistd.h>

#include "core/args.h"
#include "core/fs.h"
#include "core/mem.h"
#include "device/convert.h"
#include "device/identity.h"
#include "device/run.h"
#include "plist/tree.h"

#define NOT_HERE 3 /* a handler's status: this guest has nothing of the kind */

static const char mdm_type[] = "com.apple.mdm";
static const char p12_type[] = "com.apple.security.pkcs12";
static const char scep_type[] = "com.apple.security.scep";

static bool is_type(plist_t payload, const char *type)
{
    return !strcmp(vt_plist_str(payload, "PayloadType", ""), type);
}

bool vtd_effect_is_base(const char *payload_type)
{
    return !strncmp(payload_type, "com.apple.security.", strlen("com.apple.security.")) &&
           strcmp(payload_type, "com.apple.security.firewall") != 0;
}

char *vtd_identity_path(const struct vtd *d, const char *profile, const char *uuid)
{
    char key[17];
    vtd_payload_key(profile, uuid, key);
    return vtd_state_path(d, "identities/%s.pem", key);
}

static void note(plist_t effects, plist_t payload, const char *state, const char *reason)
{
    plist_t effect = vt_plist_add_dict(effects);
    vt_plist_set_str(effect, "PayloadUUID", vt_plist_str(payload, "PayloadUUID", ""));
    vt_plist_set_str(effect, "PayloadType", vt_plist_str(payload, "PayloadType", ""));
    vt_plist_set_str(effect, "State", state);
    vt_plist_set_str(effect, "Reason", reason);
}

/* The handler's path; NULL where there is none (or a type that is no file's name). */
static char *handler_of(const struct vtd *d, plist_t payload)
{
    const char *type = vt_plist_str(payload, "PayloadType", "");
    if (strchr(type, '/') || type[0] == '.')
        return NULL;
    char *path = vtd_root_path(d, "usr/lib/vmtest-device/handlers/%s", type);
    if (access(path, X_OK) == 0)
        return path;
    vt_free(path);
    return NULL;
}

/* The text a program wrote, on one line. */
static const char *one_line(struct vt_buf *text)
{
    while (text->len && strchr(" \r\n", text->data[text->len - 1]))
        text->data[--text->len] = '\0';
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] == '\n' || text->data[i] == '\0')
            text->data[i] = ' ';
    return vt_buf_str(text);
}

static enum vt_code run_handler(const struct vtd *d, const char *handler, const char *verb,
                                const char *profile, plist_t payload, struct vtd_run *run,
                                struct vt_error *err)
{
    char key[17];
    struct vt_args env = VT_ARGS_INIT;
    const char *const argv[] = {handler, verb, NULL};
    json_t *json = vtd_to_json(payload);
    char *text = json_dumps(json, JSON_COMPACT);
    vtd_payload_key(profile, vt_plist_str(payload, "PayloadUUID", ""), key);
    vt_args_printf(&env, "VMTEST_ROOT=%s", d->root);
    vt_args_printf(&env, "VMTEST_STATE=%s", d->state);
    vt_args_printf(&env, "VMTEST_PROFILE=%s", profile);
    vt_args_printf(&env, "VMTEST_KEY=%s", key);
    enum vt_code code = vtd_run(argv, vt_args_argv(&env), text ? text : "", text ? strlen(text) : 0,
                                VTD_HANDLER_SECONDS, run, err);
    free(text);
    json_decref(json);
    vt_args_free(&env);
    return code;
}

static bool apply_by_handler(const struct vtd *d, const char *handler, const char *profile,
                             plist_t payload, plist_t effects, struct vtd_chain *chain)
{
    struct vtd_run run;
    struct vt_error err = VT_ERROR_INIT;
    bool good = true;
    enum vt_code code = run_handler(d, handler, "apply", profile, payload, &run, &err);
    if (!code && run.status == 0)
        note(effects, payload, "enforced", one_line(&run.out));
    else if (!code && run.status == NOT_HERE)
        note(effects, payload, "stored", one_line(&run.err));
    else if (code)
        good = vtd_fault(chain, vtd_own_domain, 1, "%s", err.message);
    else
        good = vtd_fault(chain, vtd_own_domain, 1, "%s: %s (status %d)", vt_path_base(handler),
                         one_line(&run.err), run.status);
    vtd_run_free(&run);
    return good;
}

bool vtd_effect_apply(const struct vtd *d, const char *profile, plist_t payload, plist_t effects,
                      struct vtd_chain *chain)
{
    if (is_type(payload, mdm_type)) {
        note(effects, payload, "enforced", "by the device itself");
        return true;
    }
    if (is_type(payload, p12_type) || is_type(payload, scep_type)) {
        char *path = vtd_identity_path(d, profile, vt_plist_str(payload, "PayloadUUID", ""));
        bool good = is_type(payload, p12_type) ? vtd_identity_pkcs12(payload, path, chain)
                                               : vtd_identity_scep(d, payload, path, chain);
        if (good)
            note(effects, payload, "enforced", "an identity of the device");
        vt_free(path);
        return good;
    }
    char *handler = handler_of(d, payload);
    if (!handler) {
        note(effects, payload, "stored", "stored, not enforced on this guest");
        return true;
    }
    bool good = apply_by_handler(d, handler, profile, payload, effects, chain);
    vt_free(handler);
    return good;
}

bool vtd_effect_remove(const struct vtd *d, const char *profile, plist_t payload,
                       struct vtd_chain *chain)
{
    char *path = vtd_identity_path(d, profile, vt_plist_str(payload, "PayloadUUID", ""));
    if (is_type(payload, p12_type) || is_type(payload, scep_type))
        unlink(path);
    vt_free(path);
    char *handler = handler_of(d, payload);
    if (!handler)
        return true;
    struct vtd_run run;
    struct vt_error err = VT_ERROR_INIT;
    bool good = true;
    if (run_handler(d, handler, "remove", profile, payload, &run, &err))
        good = vtd_fault(chain, vtd_own_domain, 2, "%s", err.message);
    else if (run.status != 0 && run.status != NOT_HERE)
        good = vtd_fault(chain, vtd_own_domain, 2, "%s remove: %s (status %d)",
                         vt_path_base(handler), one_line(&run.err), run.status);
    vtd_run_free(&run);
    vt_free(handler);
    return good;
}
