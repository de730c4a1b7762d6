#include "device/session.h"

#include <openssl/rand.h>
#include <string.h>

#include "core/sys.h"
#include "device/actions.h"
#include "device/commands.h"
#include "device/ddm.h"
#include "device/install.h"
#include "device/profile.h"
#include "device/store.h"
#include "plist/tree.h"

#define COMMANDS_MAX 10000u /* of one poll: a server that never ends is left */

static enum vt_code chain_error(const struct vtd_chain *chain, struct vt_error *err)
{
    char text[1000];
    return vt_fail(err, VT_EINVAL, "enroll", "%s", vtd_chain_text(chain, text, sizeof text));
}

static void set_random(plist_t dict, const char *key)
{
    unsigned char bytes[32];
    RAND_bytes(bytes, sizeof bytes);
    vt_plist_set_data(dict, key, bytes, sizeof bytes);
}

static plist_t new_state(bool approved)
{
    char magic[37];
    plist_t state = plist_new_dict();
    vt_random_hex(magic, 32);
    vt_plist_set_bool(state, "Enrolling", true);
    vt_plist_set_bool(state, "UserApproved", approved);
    vt_plist_set_str(state, "PushMagic", magic);
    set_random(state, "Token");
    set_random(state, "BootstrapToken");
    return state;
}

static enum vt_code check_in(struct vtd *d, struct vt_error *err)
{
    struct vtd_mdm mdm;
    enum vt_code code = VT_OK;
    if (!vtd_mdm_load(d, &mdm))
        code = vt_fail(err, VT_EINTERNAL, "enroll", "the enrollment profile is not installed");
    if (!code)
        code = vtd_mdm_authenticate(d, &mdm, err);
    if (!code)
        code = vtd_mdm_token_update(d, &mdm, err);
    if (!code)
        code = vtd_mdm_set_bootstrap(d, &mdm, err);
    if (!code) {
        plist_dict_remove_item(mdm.state, "Enrolling");
        code = vtd_mdm_save(d, &mdm, err);
    }
    vtd_mdm_free(&mdm);
    return code;
}

static void forget(struct vtd *d)
{
    struct vtd_chain ignored = {.n = 0};
    vtd_unenroll(d, &ignored);
    vtd_ddm_forget(d);
    vtd_state_drop(d, "apps.plist");
    vtd_state_drop(d, "mdm.plist");
}

static bool is_enrolled(struct vtd *d)
{
    struct vtd_mdm mdm;
    bool enrolled = vtd_mdm_load(d, &mdm);
    vtd_mdm_free(&mdm);
    return enrolled;
}

enum vt_code vtd_enroll(struct vtd *d, const void *data, size_t n, bool approved,
                        struct vt_error *err)
{
    struct vtd_profile profile;
    struct vtd_chain chain = {.n = 0};
    bool good = vtd_profile_read(data, n, &profile, &chain);
    if (good && !vtd_payload_of_type(profile.payloads, "com.apple.mdm"))
        good = vtd_fault(&chain, vtd_mdm_domain, 12011, "The profile has no MDM payload");
    vtd_profile_free(&profile);
    if (good && is_enrolled(d))
        good = vtd_fault(&chain, vtd_mdm_domain, 12001, "The device is enrolled with MDM already");
    if (!good)
        return chain_error(&chain, err);
    plist_t state = new_state(approved);
    enum vt_code code = vtd_state_save(d, "mdm.plist", state, err);
    plist_free(state);
    if (!code && !vtd_install(d, data, n, &(struct vtd_install_opts){.by_mdm = false}, &chain))
        code = chain_error(&chain, err);
    if (!code)
        code = check_in(d, err);
    if (code)
        forget(d);
    return code;
}

enum vt_code vtd_leave(struct vtd *d, bool tell, struct vt_error *err)
{
    struct vtd_mdm mdm;
    bool enrolled = vtd_mdm_load(d, &mdm);
    if (enrolled && tell && vt_plist_bool(mdm.payload, "CheckOutWhenRemoved", false))
        vtd_mdm_check_out(d, &mdm, NULL);
    vtd_mdm_free(&mdm);
    if (!enrolled)
        return vt_fail(err, VT_ESTATE, "mdm", "the device is not enrolled");
    forget(d);
    return VT_OK;
}

void vtd_session_recover(struct vtd *d)
{
    plist_t state = vtd_state_load(d, "mdm.plist");
    vtd_recover(d);
    if (vt_plist_bool(state, "Enrolling", false))
        forget(d);
    plist_free(state);
}

static void after_report(struct vtd *d, enum vtd_after after)
{
    struct vtd_chain ignored = {.n = 0};
    if (after == VTD_AFTER_RESTART)
        vtd_action(d, "restart", NULL, NULL, &ignored);
    else if (after == VTD_AFTER_SHUTDOWN)
        vtd_action(d, "shutdown", NULL, NULL, &ignored);
}

/* A report that did not reach the server is sent first at the next poll, instead of Idle. */
static plist_t first_report(const struct vtd_mdm *mdm)
{
    plist_t kept = vt_plist_dict(mdm->state, "Unanswered");
    if (kept)
        return plist_copy(kept);
    plist_t report = plist_new_dict();
    vt_plist_set_str(report, "Status", "Idle");
    return report;
}

static enum vt_code keep_report(struct vtd *d, struct vtd_mdm *mdm, plist_t report,
                                struct vt_error *err)
{
    if (report)
        plist_dict_set_item(mdm->state, "Unanswered", plist_copy(report));
    else if (vt_plist_dict(mdm->state, "Unanswered"))
        plist_dict_remove_item(mdm->state, "Unanswered");
    else
        return VT_OK;
    return vtd_mdm_save(d, mdm, err);
}

/* Sends a report, takes the next command and answers it. *report is replaced; NULL at the end. */
static enum vt_code step(struct vtd *d, struct vtd_mdm *mdm, plist_t *report, enum vtd_after *after,
                         struct vt_error *err)
{
    struct vt_buf reply = VT_BUF_INIT;
    enum vtd_after due = *after;
    long status = 0;
    enum vt_code code = vtd_mdm_send(d, mdm, *report, false, &status, &reply, err);
    plist_free(*report);
    *report = NULL;
    *after = VTD_AFTER_NOTHING;
    if (!code)
        code = keep_report(d, mdm, NULL, err);
    if (!code && due != VTD_AFTER_NOTHING && due != VTD_AFTER_DECLARATIONS) {
        after_report(d, due); /* the system goes down: what the server has next waits */
    } else if (!code) {
        if (due == VTD_AFTER_DECLARATIONS)
            code = vtd_ddm_sync(d, mdm, err);
        if (!code && reply.len) {
            *report = vtd_command_answer(d, mdm, reply.data, reply.len, after, err);
            code = *report ? keep_report(d, mdm, *report, err) : err->code;
        }
    }
    vt_buf_free(&reply);
    return code;
}

enum vt_code vtd_poll(struct vtd *d, unsigned *answered, struct vt_error *err)
{
    struct vtd_mdm mdm;
    struct vt_error e = VT_ERROR_INIT;
    enum vt_code code = VT_OK;
    enum vtd_after after = VTD_AFTER_NOTHING;
    *answered = 0;
    if (!vtd_mdm_load(d, &mdm)) {
        vtd_mdm_free(&mdm);
        return vt_fail(err, VT_ESTATE, "poll", "the device is not enrolled");
    }
    plist_t report = first_report(&mdm);
    while (!code && report && *answered < COMMANDS_MAX) {
        code = step(d, &mdm, &report, &after, &e);
        *answered += report != NULL;
        /* a command may have changed the store */
        plist_t state = plist_copy(mdm.state);
        vtd_mdm_free(&mdm);
        bool still = vtd_mdm_load(d, &mdm);
        plist_free(mdm.state);
        mdm.state = state;
        if (!still)
            break;
    }
    plist_free(report);
    vtd_mdm_free(&mdm);
    if (code == VT_EAUTH)
        forget(d);
    vt_error_copy(err, &e);
    return code;
}
