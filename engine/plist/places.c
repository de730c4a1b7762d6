#include "plist/places.h"

#include <stdlib.h>

#include "core/mem.h"

struct place {
    plist_t node;
    char *key; /* of a duplicate */
    unsigned line, column;
};

struct list {
    struct place *v;
    size_t n, cap;
};

struct vt_plist_places {
    struct list nodes, duplicates;
};

struct vt_plist_places *vt_plist_places_new(void)
{
    return vt_calloc(1, sizeof(struct vt_plist_places));
}

static void add(struct list *list, struct place place)
{
    if (list->n == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->v = vt_realloc(list->v, list->cap * sizeof *list->v);
    }
    list->v[list->n++] = place;
}

void vt_plist_places_add(struct vt_plist_places *places, plist_t node, unsigned line,
                         unsigned column)
{
    add(&places->nodes, (struct place){.node = node, .line = line, .column = column});
}

void vt_plist_places_duplicate(struct vt_plist_places *places, const char *key, unsigned line,
                               unsigned column)
{
    add(&places->duplicates, (struct place){.key = vt_strdup(key), .line = line, .column = column});
}

static int by_node(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t)((const struct place *)a)->node;
    uintptr_t right = (uintptr_t)((const struct place *)b)->node;
    return (left > right) - (left < right);
}

void vt_plist_places_sort(struct vt_plist_places *places)
{
    if (places->nodes.n)
        qsort(places->nodes.v, places->nodes.n, sizeof *places->nodes.v, by_node);
}

bool vt_plist_place(const struct vt_plist_places *places, plist_t node, unsigned *line,
                    unsigned *column)
{
    const struct place wanted = {.node = node};
    const struct place *found = NULL;
    if (places && node && places->nodes.n)
        found = bsearch(&wanted, places->nodes.v, places->nodes.n, sizeof wanted, by_node);
    *line = found ? found->line : 0;
    *column = found ? found->column : 0;
    return found != NULL;
}

const char *vt_plist_duplicate(const struct vt_plist_places *places, size_t i, unsigned *line,
                               unsigned *column)
{
    if (!places || i >= places->duplicates.n)
        return NULL;
    *line = places->duplicates.v[i].line;
    *column = places->duplicates.v[i].column;
    return places->duplicates.v[i].key;
}

void vt_plist_places_free(struct vt_plist_places *places)
{
    if (!places)
        return;
    for (size_t i = 0; i < places->duplicates.n; i++)
        vt_free(places->duplicates.v[i].key);
    vt_free(places->duplicates.v);
    vt_free(places->nodes.v);
    vt_free(places);
}
