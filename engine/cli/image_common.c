#include "cli/image_common.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/text.h"
#include "vmtest/run.h"

int vt_image_failed(const struct vt_command *self, const struct vt_error *err)
{
    vt_cli_error(self, err);
    return err->code == VT_EINVAL || err->code == VT_ENOTFOUND ? VT_EXIT_USAGE
                                                               : VT_EXIT_INFRASTRUCTURE;
}

bool vt_image_is_named(const struct vt_image_version *v, char *const *names)
{
    if (!names[0])
        return true;
    for (size_t n = strlen(v->name); *names; names++)
        if (!strncmp(*names, v->name, n) &&
            (!(*names)[n] || ((*names)[n] == '@' && !strcmp(*names + n + 1, v->version))))
            return true;
    return false;
}

enum vt_code vt_image_check_names(char *const *names, struct vt_error *err)
{
    for (; *names; names++) {
        struct vt_image_version *found = NULL;
        struct vt_error why = VT_ERROR_INIT;
        enum vt_code code = vt_image_version_find(*names, &found, &why);
        if (found)
            vt_image_versions_free(found, 1);
        if (code && code != VT_EIMAGE) /* one that is damaged is there */
            return vt_error_copy(err, &why);
    }
    return VT_OK;
}

void vt_print_text(const char *text, int width)
{
    char *own = vt_strdup(text ? text : "");
    vt_text_printable(own);
    for (char *p = own; *p; p++)
        if (*p == '\n' || *p == '\t')
            *p = ' ';
    if (width)
        printf("%-*.*s", width, width, own);
    else
        fputs(own, stdout);
    vt_free(own);
}

json_t *vt_image_json(const struct vt_image_version *v)
{
    const char *role = vt_image_role_name(v->role);
    json_t *object = json_pack("{s:s, s:s, s:s, s:b}", "name", v->name, "version", v->version,
                               "dir", v->dir, "latest", (int)v->latest);
    const struct {
        const char *key, *text;
    } texts[] = {{"damaged", v->broken},
                 {"role", *role ? role : NULL},
                 {"deprecated", v->deprecated},
                 {"description", v->description},
                 {"os", v->os},
                 {"arch", v->arch},
                 {"created", v->created},
                 {"recipe", v->recipe},
                 {"recipe_sha256", v->recipe_sha256},
                 {"parent", v->parent},
                 {"sha256", v->sha256}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text)
            json_object_set_new(object, texts[i].key, json_string(texts[i].text));
    json_object_set_new(object, "bytes", json_integer((json_int_t)v->bytes));
    if (v->files)
        json_object_set(object, "files", v->files);
    if (v->contents)
        json_object_set(object, "contents", v->contents);
    return object;
}

void vt_image_progress(uint64_t done, uint64_t total, void *user)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%s: %3d %%", (const char *)user,
                total ? (int)(100.0 * (double)done / (double)total) : 100);
}

void vt_image_progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}
