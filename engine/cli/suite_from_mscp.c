/* vmtest suite from-mscp DIR */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "mscp/mscp.h"
#include "vmtest/run.h"

#define OP "suite.from_mscp"
#define ODV_MAX 500

enum { BASELINE, OUT, IMAGE, ODV, FORCE };

static const struct vt_option options[] = {
    [BASELINE] = {'b', "baseline", "NAME",
                  "of the checkout's folder baselines: cis_lvl1, DISA-STIG"},
    [OUT] = {'o', "output", "FOLDER", "where the suite goes (default: mscp-NAME)"},
    [IMAGE] = {0, "image", "IMAGE", "what its VMs are made of (default: current)"},
    [ODV] = {0, "odv", "KEY=VALUE...",
             "the value of a rule instead of the baseline's own: RULE=VALUE; may be\ngiven several"
             " times"},
    [FORCE] = {0, "force", NULL, "also into a folder that has files"},
    {0},
};

/* RULE=VALUE, a line each, cut up in place; false after an error message. */
static bool read_odv(const struct vt_command *self, char *text, struct vt_mscp_odv *list,
                     size_t *count)
{
    *count = 0;
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n'), *value;
        if (end)
            *end++ = '\0';
        value = strchr(line, '=');
        if (!value || value == line || !value[1] || *count == ODV_MAX) {
            vt_cli_usage(self, "--odv: \"%s\" is not RULE=VALUE", line);
            return false;
        }
        *value++ = '\0';
        list[(*count)++] = (struct vt_mscp_odv){line, value};
        line = end;
    }
    return true;
}

static bool is_empty(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *entry;
    bool empty = true;
    while (d && empty && (entry = readdir(d)))
        empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
    if (d)
        closedir(d);
    return empty;
}

static enum vt_code write_profiles(const char *folder, const struct vt_mscp_profiles *profiles,
                                   struct vt_error *err)
{
    char *sub = vt_path_join(folder, "profiles");
    enum vt_code code = vt_mkdirs(sub, err);
    for (size_t i = 0; !code && i < profiles->count; i++) {
        const struct vt_mscp_profile *p = &profiles->v[i];
        struct vt_buf name = VT_BUF_INIT;
        vt_buf_printf(&name, "%s.mobileconfig", p->type);
        char *path = vt_path_join(sub, name.data);
        if (strchr(p->type, '/'))
            code = vt_fail(err, VT_EINVAL, OP, "\"%s\" is no payload type", p->type);
        else
            code = vt_write_file(path, p->mobileconfig.data, p->mobileconfig.len, 0644, err);
        vt_free(path);
        vt_buf_free(&name);
    }
    vt_free(sub);
    return code;
}

static enum vt_code write_suite(const char *folder, const struct vt_mscp_baseline *baseline,
                                const struct vt_mscp_profiles *profiles, const char *image,
                                char **path, struct vt_error *err)
{
    struct vt_buf text = VT_BUF_INIT, name = VT_BUF_INIT;
    vt_mscp_write_suite(baseline, profiles, image, &text);
    vt_buf_printf(&name, "%s.lua", baseline->name);
    *path = vt_path_join(folder, name.data);
    enum vt_code code = write_profiles(folder, profiles, err);
    if (!code)
        code = vt_write_file(*path, text.data, text.len, 0644, err);
    vt_buf_free(&text);
    vt_buf_free(&name);
    return code;
}

static void tell(const struct vt_mscp_baseline *b, const struct vt_mscp_profiles *profiles,
                 const char *path)
{
    for (size_t i = 0; i < profiles->conflict_count; i++)
        fprintf(stderr, "warning: %s\n", profiles->conflicts[i]);
    for (size_t i = 0; i < b->left_count; i++)
        fprintf(stderr, "no test: %s: %s\n", b->left[i].id, b->left[i].why);
    fprintf(stderr, "%zu rules, %zu profiles; %zu without a test\n", b->count, profiles->count,
            b->left_count);
    printf("%s\n", path);
}

static int make(const struct vt_command *self, const char *const *values, const char *dir,
                const char *folder, const struct vt_mscp_odv *odv, size_t odv_count)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_mscp_baseline *baseline = NULL;
    struct vt_mscp_profiles profiles = {0};
    char *path = NULL;
    vt_mscp_load(dir, values[BASELINE], odv, odv_count, &baseline, &err);
    if (!err.code)
        vt_mscp_make_profiles(baseline, &profiles, &err);
    if (!err.code)
        write_suite(folder, baseline, &profiles, values[IMAGE] ? values[IMAGE] : "current", &path,
                    &err);
    if (err.code)
        vt_cli_error(self, &err);
    else
        tell(baseline, &profiles, path);
    vt_free(path);
    vt_mscp_profiles_free(&profiles);
    vt_mscp_free(baseline);
    return err.code ? VT_EXIT_USAGE : VT_EXIT_OK;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_mscp_odv odv[ODV_MAX];
    size_t odv_count;
    if (!values[BASELINE])
        return vt_cli_usage(self, "--baseline is needed: a name of %s/baselines", args[0]);
    if (values[IMAGE] && (!*values[IMAGE] || strpbrk(values[IMAGE], "\n\r")))
        return vt_cli_usage(self, "--image: \"%s\" is no image's name", values[IMAGE]);
    struct vt_buf folder = VT_BUF_INIT;
    vt_buf_printf(&folder, "mscp-%s", values[BASELINE]);
    const char *out = values[OUT] ? values[OUT] : folder.data;
    char *text = vt_strdup(values[ODV]);
    int code = VT_EXIT_USAGE;
    if (!read_odv(self, text, odv, &odv_count))
        code = VT_EXIT_USAGE;
    else if (!values[FORCE] && !is_empty(out))
        vt_cli_usage(self, "%s has files already: --force writes over those of the same name", out);
    else
        code = make(self, values, args[0], out, odv, odv_count);
    vt_free(text);
    vt_buf_free(&folder);
    return code;
}

const struct vt_command vt_cmd_suite_from_mscp = {
    .name = "suite from-mscp",
    .args = "DIR",
    .summary = "makes a suite and profiles of a baseline of the macOS Security Compliance Project",
    .details =
        "DIR is a checkout of mSCP. Each rule of the baseline becomes a test: its settings go\n"
        "into a profile for each payload type, its check and result into an assertion. The\n"
        "suite's path is printed on stdout, what no test could be made of on stderr.",
    .example =
        "vmtest suite from-mscp --baseline cis_lvl1 macos_security\n"
        "vmtest suite from-mscp -b DISA-STIG --odv pwpolicy_minimum_length_enforce=16 -o stig"
        " macos_security",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
