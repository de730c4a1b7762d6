/* What the `tart` command prints, read tolerantly: its JSON has changed from version to version,
 * and its errors are sentences.
 *
 * Recorded generations of `tart list --format json` and `tart get NAME --format json`: without any
 * state (up to 1.x), with "Running": true or false, with "State": "running", "suspended" or
 * "stopped". Keys come and go and are in no order, numbers may be strings, slashes may be escaped.
 * What tart prints was read in its source, of 2.31 and of later ones.
 */
#ifndef VT_DRIVER_TART_OUTPUT_H
#define VT_DRIVER_TART_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "vmtest/error.h"

#define VT_TART_OUTPUT_MAX ((size_t)1 << 20) /* bytes of one command's output */

enum vt_tart_state {
    VT_TART_UNKNOWN, /* this version does not say */
    VT_TART_STOPPED,
    VT_TART_RUNNING,
    VT_TART_SUSPENDED,
};

struct vt_tart_vm {
    char *name; /* NULL of `tart get` */
    char *os;   /* "darwin", "linux"; NULL where it is not said */
    enum vt_tart_state state;
    int64_t cpus, memory_mib; /* 0 where it is not said */
};

/* Of `tart list`. Entries without a name are passed over. VT_EPROTO where it is no JSON array.
 * vt_tart_list_free() in any case. */
enum vt_code vt_tart_read_list(const char *text, size_t n, struct vt_tart_vm **out, size_t *count,
                               struct vt_error *err);
void vt_tart_list_free(struct vt_tart_vm *list, size_t count);

/* The entry of that name, or NULL. */
const struct vt_tart_vm *vt_tart_find(const struct vt_tart_vm *list, size_t count,
                                      const char *name);

/* Of `tart get`. VT_EPROTO where it is no JSON object. vt_tart_vm_clear() in any case. */
enum vt_code vt_tart_read_vm(const char *text, size_t n, struct vt_tart_vm *out,
                             struct vt_error *err);
void vt_tart_vm_clear(struct vt_tart_vm *vm);

/* "2.31.0" as 2031; 0 for anything else, which is no error: a version of the user's own making. */
int vt_tart_read_version(const char *text);

/* The address that `tart ip` prints, alone on its last line, into out; false where there is none.
 */
bool vt_tart_read_address(const char *text, char out[64]);

/* How far a `tart run` of what was saved says it is. */
enum vt_tart_progress {
    VT_TART_SILENT,
    VT_TART_RESUMING,
    VT_TART_RESUMED, /* or the saved state was thrown away */
};
enum vt_tart_progress vt_tart_read_progress(const char *said);

/* Whether tart threw the saved state of a VM away since another with its MAC address runs. */
bool vt_tart_says_collision(const char *said);

/* The line "TOKEN STATUS" that ends what a command in the guest wrote on its standard error: *at
 * becomes the length of what was written before. False where there is none. */
bool vt_tart_find_status(const char *said, size_t n, const char *token, size_t *at, int *status);

/* Sets *err for a `tart exec` that ended with `status` and without that line: tart's own failure.
 */
enum vt_code vt_tart_exec_failed(const char *said, int status, const char *vm,
                                 struct vt_error *err);

/* Sets *err (unset before) from what a command of tart said when it failed: a code and a hint where
 * the sentence is known, else VT_EHYPERVISOR with the sentence. `doing`: "VM web: cannot clone x".
 */
enum vt_code vt_tart_explain(const char *said, const char *op, const char *doing,
                             struct vt_error *err);

/* The last 4 KiB of a log, "" where there is none. */
void vt_tart_log_tail(const char *log, struct vt_buf *out);

#endif
