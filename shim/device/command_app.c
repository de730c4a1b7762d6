/* InstallEnterpriseApplication and InstalledApplicationList. */
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "device/actions.h"
#include "device/commands.h"
#include "device/http.h"
#include "device/package.h"
#include "plist/tree.h"

#define MANIFEST_MAX (1u << 20)

static const char apps_file[] = "apps.plist"; /* packages that MDM installed: name → version */

static bool fetch_manifest(struct vtd_job *job, plist_t *out)
{
    struct vt_buf text = VT_BUF_INIT;
    struct vt_error err = VT_ERROR_INIT;
    long status = 0;
    struct vtd_http request = {.url = vt_plist_str(job->command, "ManifestURL", ""),
                               .pinned = vt_plist_array(job->command, "ManifestURLPinningCerts"),
                               .limit = MANIFEST_MAX};
    enum vt_code code = vtd_http(job->d, &request, &status, &text, &err);
    if (!code && status != 200)
        code =
            vt_fail(&err, VT_EPROTO, "manifest", "the manifest was answered by HTTP %ld", status);
    if (!code)
        code = vt_plist_parse(text.data, text.len, "manifest", out, NULL, &err);
    vt_buf_free(&text);
    return !code || vtd_fault(&job->chain, vtd_mdm_domain, 12010, "The manifest cannot be had: %s",
                              err.message);
}

static bool remember(struct vtd_job *job, const char *line)
{
    struct vt_error err = VT_ERROR_INIT;
    char name[200];
    size_t n = strcspn(line, "\t\n");
    plist_t apps = vtd_state_load(job->d, apps_file);
    if (!vt_plist_is(apps, PLIST_DICT)) {
        plist_free(apps);
        apps = plist_new_dict();
    }
    if (n && n < sizeof name) {
        memcpy(name, line, n);
        name[n] = '\0';
        vt_plist_set_bool(apps, name, true);
    }
    enum vt_code code = vtd_state_save(job->d, apps_file, apps, &err);
    plist_free(apps);
    return !code || vtd_fault(&job->chain, vtd_mdm_domain, 12010, "%s", err.message);
}

bool vtd_cmd_install_application(struct vtd_job *job)
{
    plist_t manifest = vt_plist_dict(job->command, "Manifest"), fetched = NULL;
    struct vtd_package package = {.url = NULL};
    struct vt_buf told = VT_BUF_INIT;
    char *file = NULL;
    if (!manifest && !vt_plist_str(job->command, "ManifestURL", NULL)) {
        job->malformed = true;
        return vtd_fault(&job->chain, vtd_mdm_domain, 12008,
                         "InstallEnterpriseApplication has neither Manifest nor ManifestURL");
    }
    bool good = manifest || fetch_manifest(job, &fetched);
    good = good && vtd_package_read(manifest ? manifest : fetched, &package, &job->chain) &&
           vtd_package_fetch(job->d, &package, &file, &job->chain) &&
           vtd_action(job->d, "install-package", file, &told, &job->chain) &&
           remember(job, vt_buf_str(&told));
    if (file)
        vt_remove_tree(file, NULL);
    vt_free(file);
    vt_buf_free(&told);
    plist_free(fetched);
    return good;
}

static bool wanted(plist_t identifiers, const char *name)
{
    if (!identifiers || !plist_array_get_size(identifiers))
        return true;
    for (uint32_t i = 0; i < plist_array_get_size(identifiers); i++) {
        const char *text = vt_plist_text(plist_array_get_item(identifiers, i));
        if (text && !strcmp(text, name))
            return true;
    }
    return false;
}

/* "NAME\tVERSION\tBYTES" */
static void list_line(plist_t list, char *line, plist_t identifiers, plist_t only)
{
    char *rest = line, *name = strsep(&rest, "\t"), *version = strsep(&rest, "\t");
    if (!name[0] || !wanted(identifiers, name) || (only && !vt_plist_bool(only, name, false)))
        return;
    plist_t app = vt_plist_add_dict(list);
    vt_plist_set_str(app, "Identifier", name);
    vt_plist_set_str(app, "Name", name);
    vt_plist_set_str(app, "Version", version);
    vt_plist_set_str(app, "ShortVersion", version);
    vt_plist_set_bool(app, "Installing", false);
    if (rest)
        vt_plist_set_int(app, "BundleSize", strtoll(rest, NULL, 10));
}

bool vtd_cmd_installed_applications(struct vtd_job *job)
{
    struct vt_buf text = VT_BUF_INIT;
    plist_t identifiers = vt_plist_array(job->command, "Identifiers"), only = NULL;
    if (!vtd_action(job->d, "list-packages", NULL, &text, &job->chain)) {
        vt_buf_free(&text);
        return false;
    }
    if (vt_plist_bool(job->command, "ManagedAppsOnly", false)) {
        only = vtd_state_load(job->d, apps_file);
        only = only ? only : plist_new_dict();
    }
    plist_t list = vt_plist_set_array(job->report, "InstalledApplicationList");
    vt_buf_putc(&text, '\n');
    for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));)
        list_line(list, line, identifiers, only);
    plist_free(only);
    vt_buf_free(&text);
    return true;
}
