/* vmtest image recipes */
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "core/json.h"
#include "image/recipe.h"
#include "vmtest/run.h"

enum { JSON };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of lines"},
    {0},
};

static void print_json(const struct vt_recipe *recipes, size_t count)
{
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:s?, s:s}", "name", recipes[i].name,
                                             "path", recipes[i].path, "description",
                                             recipes[i].description, "sha256", recipes[i].sha256));
    json_dumpf(all, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(all);
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    (void)args;
    struct vt_error err = VT_ERROR_INIT;
    struct vt_recipe *recipes;
    size_t count;
    if (vt_recipes(&recipes, &count, &err)) {
        vt_cli_error(self, &err);
        vt_recipes_free(recipes, count);
        return VT_EXIT_INFRASTRUCTURE;
    }
    int width = 4;
    for (size_t i = 0; i < count; i++)
        if ((int)strlen(recipes[i].name) > width)
            width = (int)strlen(recipes[i].name);
    if (values[JSON])
        print_json(recipes, count);
    else
        for (size_t i = 0; i < count; i++)
            printf("%-*s  %s\n", width, recipes[i].name,
                   recipes[i].description ? recipes[i].description : recipes[i].path);
    vt_recipes_free(recipes, count);
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_image_recipes = {
    .name = "image recipes",
    .args = "",
    .summary = "lists the recipes that images can be built by",
    .details = "Looked for in HOME/recipes, then in the folders of $VMTEST_RECIPES or, without\n"
               "that, in those that came with vmtest. See docs/recipes.md.",
    .example = "vmtest image recipes",
    .options = options,
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
