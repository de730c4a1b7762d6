/* Recording places while reading (tree.h has what reads them). */
#ifndef VT_PLIST_PLACES_H
#define VT_PLIST_PLACES_H

#include "plist/tree.h"

struct vt_plist_places *vt_plist_places_new(void);
void vt_plist_places_add(struct vt_plist_places *places, plist_t node, unsigned line,
                         unsigned column);
void vt_plist_places_duplicate(struct vt_plist_places *places, const char *key, unsigned line,
                               unsigned column);
/* Once, after the last was added: makes them searchable. */
void vt_plist_places_sort(struct vt_plist_places *places);

#endif
