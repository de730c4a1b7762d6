#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "device/mdm.h"
#include "device/store.h"
#include "device/tools.h"
#include "plist/tree.h"

static const char usage[] = "usage: profiles status -type enrollment\n"
                            "       profiles list [-type configuration]\n"
                            "       profiles show [-type configuration] [-output stdout-xml]\n"
                            "On this stand-in for a Mac nothing else is there.\n";

static int status(const struct vtd *d)
{
    struct vtd_mdm mdm;
    bool enrolled = vtd_mdm_load(d, &mdm) && !vt_plist_bool(mdm.state, "Enrolling", false);
    printf("Enrolled via DEP: No\n");
    if (!enrolled) {
        printf("MDM enrollment: No\n");
    } else {
        bool approved = vt_plist_bool(mdm.state, "UserApproved", false);
        printf("MDM enrollment: Yes%s\n", approved ? " (User Approved)" : "");
        printf("MDM server: %s\n", vt_plist_str(mdm.payload, "ServerURL", ""));
    }
    vtd_mdm_free(&mdm);
    return 0;
}

static int list(plist_t records)
{
    uint32_t n = plist_array_get_size(records);
    if (!n) {
        printf("There are no configuration profiles installed in the system domain\n");
        return 0;
    }
    for (uint32_t i = 0; i < n; i++)
        printf("_computerlevel[%u] attribute: profileIdentifier: %s\n", i + 1,
               vtd_record_identifier(plist_array_get_item(records, i)));
    printf("There are %u system configuration profiles installed\n", n);
    return 0;
}

static void show_items(plist_t out, plist_t payloads)
{
    static const char *const kept[] = {"PayloadType", "PayloadIdentifier", "PayloadUUID",
                                       "PayloadVersion", "PayloadDisplayName"};
    plist_t items = vt_plist_set_array(out, "ProfileItems");
    for (uint32_t i = 0; i < plist_array_get_size(payloads); i++) {
        plist_t payload = plist_array_get_item(payloads, i), item = vt_plist_add_dict(items);
        plist_t content = vt_plist_set_dict(item, "PayloadContent");
        for (struct vt_plist_walk w = vt_plist_walk(payload); vt_plist_next(&w);) {
            bool own = false;
            for (size_t k = 0; k < sizeof kept / sizeof kept[0]; k++)
                own = own || !strcmp(w.key, kept[k]);
            if (own)
                plist_dict_set_item(item, w.key, plist_copy(w.value));
            else if (strcmp(w.key, "Password") != 0 && strcmp(w.key, "Challenge") != 0)
                plist_dict_set_item(content, w.key, plist_copy(w.value));
        }
    }
}

static plist_t show_tree(plist_t records)
{
    plist_t root = plist_new_dict();
    plist_t level =
        plist_array_get_size(records) ? vt_plist_set_array(root, "_computerlevel") : NULL;
    for (uint32_t i = 0; i < plist_array_get_size(records); i++) {
        plist_t record = plist_array_get_item(records, i), out = vt_plist_add_dict(level);
        plist_t profile = vt_plist_dict(record, "Profile");
        plist_t date = plist_dict_get_item(record, "InstallDate");
        vt_plist_set_str(out, "ProfileIdentifier", vtd_record_identifier(record));
        vt_plist_set_str(out, "ProfileUUID", vt_plist_str(profile, "PayloadUUID", ""));
        vt_plist_set_str(out, "ProfileType", "Configuration");
        vt_plist_set_int(out, "ProfileVersion", vt_plist_int(profile, "PayloadVersion", 1));
        vt_plist_set_str(out, "ProfileDisplayName",
                         vt_plist_str(profile, "PayloadDisplayName", ""));
        vt_plist_set_str(out, "ProfileOrganization",
                         vt_plist_str(profile, "PayloadOrganization", NULL));
        vt_plist_set_str(out, "ProfileRemovalDisallowed",
                         vt_plist_bool(profile, "PayloadRemovalDisallowed", false) ? "true"
                                                                                   : "false");
        vt_plist_set_str(out, "ProfileVerificationState",
                         plist_array_get_size(vt_plist_array(record, "Signers")) ? "signed"
                                                                                 : "unsigned");
        if (date)
            plist_dict_set_item(out, "ProfileInstallDate", plist_copy(date));
        show_items(out, vtd_record_payloads(record));
    }
    return root;
}

static int show(plist_t records)
{
    struct vt_buf text = VT_BUF_INIT;
    plist_t tree = show_tree(records);
    enum vt_code code = vt_plist_write(tree, VT_PLIST_XML, &text, NULL);
    if (!code)
        fwrite(text.data, 1, text.len, stdout);
    plist_free(tree);
    vt_buf_free(&text);
    return code ? 1 : 0;
}

/* `show` without -output prints the same tree: the text form of a Mac is for people. */
static bool options_known(int argc, char **argv)
{
    static const char *const known[][2] = {
        {"-type", "enrollment"}, {"-type", "configuration"}, {"-output", "stdout-xml"}};
    for (int i = 1; i < argc; i += 2) {
        bool good = false;
        for (size_t k = 0; i + 1 < argc && k < sizeof known / sizeof known[0]; k++)
            good = good || (!strcmp(argv[i], known[k][0]) && !strcmp(argv[i + 1], known[k][1]));
        if (!good)
            return false;
    }
    return true;
}

int vtd_tool_profiles(const char *root, int argc, char **argv)
{
    struct vtd d;
    struct vt_error err = VT_ERROR_INIT;
    const char *verb = argc > 0 ? argv[0] : "";
    bool known = !strcmp(verb, "status") || !strcmp(verb, "list") || !strcmp(verb, "show");
    if (!known || !options_known(argc, argv)) {
        fputs(usage, stderr);
        return 64;
    }
    if (vtd_open(&d, root, false, 0, &err)) {
        fprintf(stderr, "profiles: %s\n", err.message);
        vtd_close(&d);
        return 1;
    }
    plist_t records = vtd_store_all(&d);
    int result = !strcmp(verb, "status") ? status(&d)
                 : !strcmp(verb, "list") ? list(records)
                                         : show(records);
    plist_free(records);
    vtd_close(&d);
    return result;
}
