/* Running `tart SUBCOMMAND …` to its end. */
#ifndef VT_DRIVER_TART_COMMAND_H
#define VT_DRIVER_TART_COMMAND_H

#include "core/args.h"
#include "vmtest/loop.h"

/* The program, by PATH; vt_free() it. NULL with VT_ENOTFOUND, and what to do, where there is none.
 */
char *vt_tart_program(const char *op, struct vt_error *err);

/* Runs `tart ARGS…` (args has no program yet). Result: struct vt_process_result, its streams of at
 * most VT_TART_OUTPUT_MAX bytes each. */
struct vt_op *vt_tart_command(struct vt_loop *loop, const char *op, const struct vt_args *args,
                              double timeout, vt_op_fn done, void *user, struct vt_error *err);

/* VT_OK where it exited with 0, else what it said, explained (vt_tart_explain). */
enum vt_code vt_tart_outcome(struct vt_op *done, const char *op, const char *doing,
                             struct vt_error *err);

/* `tart delete NAME`, at once: waits for it, for some seconds at most. A VM that is not there is no
 * error. */
enum vt_code vt_tart_delete_now(const char *name, struct vt_error *err);

#endif
