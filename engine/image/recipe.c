#include "image/recipe.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/args.h"
#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"
#include "core/text.h"
#include "image/digest.h"

#define OP "image.build"
#define RECIPE_MAX ((size_t)4 << 20) /* bytes of a recipe's file */
#define HEAD_LINES 20                /* in which its description and needs stand */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && !strcmp(text + n - m, end);
}

/* The folder of recipes at `up` from this program's own, where there is one. */
static void add_own(struct vt_args *dirs, const char *bin, const char *up)
{
    char *path = vt_path_join(bin, up), *real = realpath(path, NULL);
    if (real && vt_is_dir(real))
        vt_args_add(dirs, real);
    free(real);
    vt_free(path);
}

static enum vt_code find_dirs(struct vt_args *dirs, struct vt_error *err)
{
    char *home = vt_home_dir(NULL, err);
    if (!home)
        return err ? err->code : VT_EIO;
    char *own = vt_path_join(home, "recipes");
    vt_args_add(dirs, own);
    vt_free(own);
    vt_free(home);
    const char *set = getenv("VMTEST_RECIPES");
    if (set && *set) {
        for (const char *at = set; *at; at += *at == ':') {
            size_t n = strcspn(at, ":");
            if (n)
                vt_args_printf(dirs, "%.*s", (int)n, at);
            at += n;
        }
        return VT_OK;
    }
    char *self = vt_self_path(), *bin = self ? vt_path_dir(self) : NULL;
    if (bin) {
        add_own(dirs, bin, "../share/vmtest/recipes"); /* installed: PREFIX/bin */
        add_own(dirs, bin, "../../scripts/recipes");   /* built: build/PRESET of the sources */
    }
    vt_free(bin);
    vt_free(self);
    return VT_OK;
}

static bool is_recipe(const char *path)
{
    return vt_is_file(path) && (ends_with(path, ".lua") || access(path, X_OK) == 0);
}

static char *name_of(const char *path)
{
    const char *base = vt_path_base(path);
    return vt_strndup(base, strlen(base) - (ends_with(base, ".lua") ? 4 : 0));
}

/* The TEXT of "# WORD: TEXT" or "-- WORD: TEXT" among the first lines, or NULL. */
static char *head_line(const char *text, const char *word)
{
    size_t size = strlen(word);
    for (int i = 0; i < HEAD_LINES && *text; i++) {
        size_t n = strcspn(text, "\n"), skip = strspn(text, "#- \t");
        if (skip && skip + size < n && !strncmp(text + skip, word, size) &&
            text[skip + size] == ':') {
            const char *from = text + skip + size + 1;
            from += strspn(from, " \t");
            char *found = from < text + n ? vt_strndup(from, (size_t)(text + n - from)) : NULL;
            if (found)
                vt_text_printable(found);
            return found;
        }
        text += n + (text[n] == '\n');
    }
    return NULL;
}

static enum vt_code open_recipe(const char *path, struct vt_recipe *out, struct vt_error *err)
{
    *out = (struct vt_recipe){.lua = ends_with(path, ".lua")};
    char *real = realpath(path, NULL);
    if (!real || !vt_is_file(real)) {
        enum vt_code code = real ? vt_fail(err, VT_EINVAL, OP, "the recipe %s is no file", path)
                                 : vt_fail_sys(err, errno, OP, "cannot open the recipe %s", path);
        free(real);
        return code;
    }
    free(real);
    if (!is_recipe(path)) {
        vt_fail(err, VT_EINVAL, OP, "%s is neither executable nor a Lua file", path);
        vt_hint(err, "run: chmod +x on it, if it is a recipe");
        return VT_EINVAL;
    }
    struct vt_buf text = VT_BUF_INIT;
    enum vt_code code = vt_read_file(path, RECIPE_MAX, &text, err);
    if (!code)
        code = vt__digest_file(path, out->sha256, err);
    if (!code) {
        char *dir = vt_path_dir(path), *whole = realpath(dir, NULL);
        out->path = vt_path_join(whole ? whole : dir, vt_path_base(path));
        out->name = name_of(path);
        out->description = head_line(vt_buf_str(&text), "description");
        out->needs = head_line(vt_buf_str(&text), "needs");
        free(whole);
        vt_free(dir);
    }
    vt_buf_free(&text);
    return code;
}

static enum vt_code not_found(const char *word, struct vt_error *err)
{
    struct vt_recipe *all;
    size_t count;
    enum vt_code code = vt_recipes(&all, &count, err);
    if (code)
        return code;
    struct vt_buf list = VT_BUF_INIT;
    const char **names = vt_calloc(count + 1, sizeof *names);
    for (size_t i = 0; i < count; i++) {
        names[i] = all[i].name;
        vt_buf_printf(&list, "%s%s", i ? ", " : "", all[i].name);
    }
    code = vt_fail(err, VT_ENOTFOUND, OP, "no recipe \"%s\"; there are: %s", word,
                   count ? vt_buf_str(&list) : "none");
    const char *near = vt_nearest(word, names, count);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
    else
        vt_hint(err, "a recipe elsewhere is named by its path, with a slash in it");
    vt_free(names);
    vt_buf_free(&list);
    vt_recipes_free(all, count);
    return code;
}

enum vt_code vt_recipe_find(const char *word, struct vt_recipe *out, struct vt_error *err)
{
    static const char *const ends[] = {"", ".lua"};
    *out = (struct vt_recipe){0};
    if (strchr(word, '/'))
        return open_recipe(word, out, err);
    struct vt_args dirs = VT_ARGS_INIT;
    enum vt_code code = vt_is_plain_name(word) ? find_dirs(&dirs, err) : VT_OK;
    char *found = NULL;
    for (size_t i = 0; !code && !found && i < dirs.n; i++) {
        for (size_t k = 0; !found && k < sizeof ends / sizeof *ends; k++) {
            struct vt_buf path = VT_BUF_INIT;
            vt_buf_printf(&path, "%s/%s%s", dirs.v[i], word, ends[k]);
            found = vt_buf_steal(&path);
            if (!is_recipe(found)) {
                vt_free(found);
                found = NULL;
            }
        }
    }
    vt_args_free(&dirs);
    if (!code)
        code = found ? open_recipe(found, out, err) : not_found(word, err);
    vt_free(found);
    return code;
}

void vt_recipe_clear(struct vt_recipe *recipe)
{
    vt_free(recipe->name);
    vt_free(recipe->path);
    vt_free(recipe->description);
    vt_free(recipe->needs);
    *recipe = (struct vt_recipe){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct vt_recipe *)a)->name, ((const struct vt_recipe *)b)->name);
}

static bool is_known(const struct vt_recipe *recipes, size_t count, const char *path)
{
    char *name = name_of(path);
    bool known = !name || !vt_is_plain_name(name);
    for (size_t i = 0; !known && i < count; i++)
        known = recipes[i].name && !strcmp(recipes[i].name, name);
    vt_free(name);
    return known;
}

enum vt_code vt_recipes(struct vt_recipe **out, size_t *count, struct vt_error *err)
{
    *out = NULL;
    *count = 0;
    struct vt_args dirs = VT_ARGS_INIT;
    enum vt_code code = find_dirs(&dirs, err);
    for (size_t i = 0; !code && i < dirs.n; i++) {
        DIR *dir = opendir(dirs.v[i]);
        for (struct dirent *e; dir && !code && (e = readdir(dir));) {
            char *path = vt_path_join(dirs.v[i], e->d_name);
            if (is_recipe(path) && !is_known(*out, *count, path)) {
                *out = vt_realloc(*out, (*count + 1) * sizeof **out);
                code = open_recipe(path, &(*out)[*count], err);
                *count += !code;
            }
            vt_free(path);
        }
        if (dir)
            closedir(dir);
    }
    vt_args_free(&dirs);
    if (*count)
        qsort(*out, *count, sizeof **out, by_name);
    return code;
}

void vt_recipes_free(struct vt_recipe *recipes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt_recipe_clear(&recipes[i]);
    vt_free(recipes);
}
