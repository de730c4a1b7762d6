/* Recipes: programs and Lua files that make images. What they are given and what they leave:
 * docs/recipes.md. */
#ifndef VT_IMAGE_RECIPE_H
#define VT_IMAGE_RECIPE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtest/error.h"

struct vt_recipe {
    char *name;        /* of its file, without ".lua" */
    char *path;        /* absolute */
    char *description; /* the text of its line "# description: …" (Lua: "-- description: …"), or
                          NULL */
    char *needs;       /* the text of its line "# needs: …", or NULL */
    char sha256[65];   /* of the file */
    bool lua;
};

/* Finds the recipe `word`: a path where it has a slash; else a file of that name in HOME/recipes,
 * then in the folders of VMTEST_RECIPES (separated by ':'), or, without that, in those that came
 * with this program. VT_ENOTFOUND names the recipes there are; VT_EINVAL where the file is no
 * recipe (no Lua file and not executable). vt_recipe_clear() frees what is in *out. */
enum vt_code vt_recipe_find(const char *word, struct vt_recipe *out, struct vt_error *err);
void vt_recipe_clear(struct vt_recipe *recipe);

/* All that vt_recipe_find() finds by name, sorted by it. vt_recipes_free() frees them. */
enum vt_code vt_recipes(struct vt_recipe **out, size_t *count, struct vt_error *err);
void vt_recipes_free(struct vt_recipe *recipes, size_t count);

#endif
