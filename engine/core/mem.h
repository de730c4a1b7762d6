/* Memory. When it runs out, the process ends with a message and exit code 70: each suite has a
 * worker process of its own, so that costs one job, and its parent reports it. What a guest, a
 * server or a file can make large is bounded by a limit before it is allocated. */
#ifndef VT_CORE_MEM_H
#define VT_CORE_MEM_H

#include <stddef.h>

void *vt_malloc(size_t n);
void *vt_calloc(size_t n, size_t size); /* zeroed; overflow of n * size ends the process */
void *vt_realloc(void *p, size_t n);
char *vt_strdup(const char *s); /* NULL gives NULL */
char *vt_strndup(const char *s, size_t n);
void vt_free(void *p);
void vt_free_const(const void *p); /* an own copy that a struct holds as const */

#endif
