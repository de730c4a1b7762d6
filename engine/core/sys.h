/* Time, random bytes, and facts about the host. */
#ifndef VT_CORE_SYS_H
#define VT_CORE_SYS_H

#include <stddef.h>
#include <stdint.h>

/* Seconds on the monotonic clock. */
double vt_monotonic(void);

/* Seconds since 1970-01-01 UTC. */
double vt_wall(void);

/* Writes "2026-01-31T12:00:00.123Z" (RFC 3339, UTC) for a vt_wall() time; returns out. */
const char *vt_format_time(char *out, size_t size, double wall);

/* Fills out with n random lowercase hexadecimal digits and a NUL (n + 1 bytes). */
void vt_random_hex(char *out, size_t n);

/* Processors this process may use, at least 1. */
int vt_cpu_count(void);

/* Bytes of memory in the host and how many are available now; 0 where it cannot be told. */
uint64_t vt_memory_total(void);
uint64_t vt_memory_available(void);

/* Where this program's executable is, or was before it was replaced: to look for what is installed
 * beside it. vt_free() it. NULL where it cannot be told. */
char *vt_self_path(void);

/* The vmtest program, to be executed for its hidden commands by this process or one it becomes:
 * $VMTEST_PROGRAM, else this program's own executable. On Linux that is the very file this process
 * runs, also when another was put in its place meanwhile. As vt_self_path(). */
char *vt_own_program(void);

/* Names the process for ps, where it was executed by another name than its own (15 bytes). */
void vt_name_process(const char *name);

/* Descriptors from `first` on that this process was given by its parent are not handed on to the
 * programs it runs, unless it asks for that. */
void vt_keep_descriptors(int first);

/* The program `name` in PATH (or `name` itself where it has a slash and can be run);
 * vt_free() it. NULL where there is none. */
char *vt_find_program(const char *name);

#endif
