#include "device/ddm.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "device/ddm_apply.h"
#include "device/facts.h"
#include "plist/tree.h"

static const char state_file[] = "ddm.plist";

/* Kinds as the answer to declaration-items names them, and as endpoints and reports do. */
static const struct {
    const char *list, *endpoint, *report;
} kinds[] = {
    {"Activations", "activation", "activations"},
    {"Configurations", "configuration", "configurations"},
    {"Assets", "asset", "assets"},
    {"Management", "management", "management"},
};

/* Sends a check-in DeclarativeManagement; data (text of JSON, or NULL) goes along. *out is the
 * answer, NULL where it is empty. */
static enum vt_code ask(struct vtd *d, const struct vtd_mdm *mdm, const char *endpoint,
                        const char *data, json_t **out, struct vt_error *err)
{
    struct vt_buf reply = VT_BUF_INIT;
    plist_t message = plist_new_dict();
    long status;
    vt_plist_set_str(message, "MessageType", "DeclarativeManagement");
    vt_plist_set_str(message, "Endpoint", endpoint);
    if (data)
        vt_plist_set_data(message, "Data", data, strlen(data));
    enum vt_code code = vtd_mdm_send(d, mdm, message, true, &status, &reply, err);
    if (!code && out && reply.len)
        code = vt_json_parse(reply.data, reply.len, endpoint, out, err);
    plist_free(message);
    vt_buf_free(&reply);
    return code;
}

static plist_t find_item(plist_t items, const char *kind, const char *identifier)
{
    for (uint32_t i = 0; items && i < plist_array_get_size(items); i++) {
        plist_t item = plist_array_get_item(items, i);
        if (!strcmp(vt_plist_str(item, "Kind", ""), kind) &&
            !strcmp(vt_plist_str(item, "Identifier", ""), identifier))
            return item;
    }
    return NULL;
}

/* One declaration of the server's list: as we have it already, or fetched. */
static enum vt_code take_item(struct vtd *d, const struct vtd_mdm *mdm, size_t kind, json_t *entry,
                              plist_t old, plist_t items, struct vt_error *err)
{
    char endpoint[400];
    const char *identifier = vt_json_str(entry, "Identifier", "");
    const char *token = vt_json_str(entry, "ServerToken", "");
    plist_t known = find_item(old, kinds[kind].endpoint, identifier);
    json_t *declaration = NULL;
    if (known && !strcmp(vt_plist_str(known, "ServerToken", ""), token)) {
        plist_array_append_item(items, plist_copy(known));
        return VT_OK;
    }
    snprintf(endpoint, sizeof endpoint, "declaration/%s/%s", kinds[kind].endpoint, identifier);
    enum vt_code code = ask(d, mdm, endpoint, NULL, &declaration, err);
    if (!code && !declaration)
        code = vt_fail(err, VT_EPROTO, "ddm", "the server has no %s", endpoint);
    if (!code) {
        char *text = json_dumps(declaration, JSON_COMPACT);
        plist_t item = vt_plist_add_dict(items);
        vt_plist_set_str(item, "Kind", kinds[kind].endpoint);
        vt_plist_set_str(item, "Identifier", identifier);
        vt_plist_set_str(item, "ServerToken", token);
        vt_plist_set_str(item, "Type", vt_json_str(declaration, "Type", ""));
        vt_plist_set_str(item, "Declaration", text);
        free(text);
        json_decref(declaration);
    }
    return code;
}

static enum vt_code take_items(struct vtd *d, const struct vtd_mdm *mdm, const json_t *answer,
                               plist_t old, plist_t items, struct vt_error *err)
{
    const json_t *lists = json_object_get(answer, "Declarations");
    enum vt_code code = VT_OK;
    for (size_t k = 0; !code && k < sizeof kinds / sizeof kinds[0]; k++) {
        const json_t *list = json_object_get(lists, kinds[k].list);
        for (size_t i = 0; !code && i < json_array_size(list); i++)
            code = take_item(d, mdm, k, json_array_get(list, i), old, items, err);
    }
    return code;
}

static json_t *report_list(plist_t items, const char *kind)
{
    json_t *list = json_array();
    for (uint32_t i = 0; items && i < plist_array_get_size(items); i++) {
        plist_t item = plist_array_get_item(items, i);
        if (strcmp(vt_plist_str(item, "Kind", ""), kind) != 0)
            continue;
        json_t *told =
            json_pack("{s:s, s:s, s:b, s:s}", "identifier", vt_plist_str(item, "Identifier", ""),
                      "server-token", vt_plist_str(item, "ServerToken", ""), "active",
                      (int)vt_plist_bool(item, "Active", false), "valid",
                      vt_plist_str(item, "Valid", "unknown"));
        const char *code = vt_plist_str(item, "Code", NULL);
        if (code)
            json_object_set_new(told, "reasons",
                                json_pack("[{s:s, s:s}]", "code", code, "description",
                                          vt_plist_str(item, "Reason", "")));
        json_array_append_new(list, told);
    }
    return list;
}

static enum vt_code report(struct vtd *d, const struct vtd_mdm *mdm, plist_t items,
                           struct vt_error *err)
{
    plist_t facts = vtd_facts(d, mdm);
    json_t *lists = json_object();
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        json_object_set_new(lists, kinds[k].report, report_list(items, kinds[k].endpoint));
    json_t *all =
        json_pack("{s:{s:{s:o}, s:{s:{s:s, s:s}, s:{s:s, s:s}}}, s:[]}", "StatusItems",
                  "management", "declarations", lists, "device", "identifier", "serial-number",
                  vt_plist_str(facts, "SerialNumber", ""), "udid", vt_plist_str(facts, "UDID", ""),
                  "operating-system", "version", vt_plist_str(facts, "OSVersion", ""),
                  "build-version", vt_plist_str(facts, "BuildVersion", ""), "Errors");
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    enum vt_code code = text ? ask(d, mdm, "status", text, NULL, err)
                             : vt_fail(err, VT_EINTERNAL, "ddm", "the status cannot be written");
    free(text);
    json_decref(all);
    plist_free(facts);
    return code;
}

static enum vt_code sync_items(struct vtd *d, const struct vtd_mdm *mdm, plist_t state,
                               const char *token, struct vt_error *err)
{
    json_t *answer = NULL;
    plist_t old = vt_plist_array(state, "Items"), items = plist_new_array();
    enum vt_code code = ask(d, mdm, "declaration-items", NULL, &answer, err);
    if (!code)
        code = take_items(d, mdm, answer, old, items, err);
    if (code) {
        plist_free(items);
        json_decref(answer);
        return code;
    }
    vtd_ddm_apply(d, old, items);
    plist_dict_set_item(state, "Items", items);
    vt_plist_set_str(state, "Token", vt_json_str(answer, "DeclarationsToken", token));
    json_decref(answer);
    return vtd_state_save(d, state_file, state, err);
}

enum vt_code vtd_ddm_sync(struct vtd *d, const struct vtd_mdm *mdm, struct vt_error *err)
{
    json_t *answer = NULL;
    plist_t state = vtd_state_load(d, state_file);
    if (!vt_plist_is(state, PLIST_DICT)) {
        plist_free(state);
        state = plist_new_dict();
    }
    enum vt_code code = ask(d, mdm, "tokens", NULL, &answer, err);
    const char *token = vt_json_str(json_object_get(answer, "SyncTokens"), "DeclarationsToken", "");
    if (!code && (!token[0] || strcmp(token, vt_plist_str(state, "Token", "")) != 0))
        code = sync_items(d, mdm, state, token, err);
    if (!code)
        code = report(d, mdm, vt_plist_array(state, "Items"), err);
    json_decref(answer);
    plist_free(state);
    return code;
}

void vtd_ddm_forget(struct vtd *d)
{
    vtd_state_drop(d, state_file);
}
