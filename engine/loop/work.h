/* Work that blocks (large files, much hashing), on a thread of libuv's pool, as an operation. */
#ifndef VT_LOOP_WORK_H
#define VT_LOOP_WORK_H

#include <stdatomic.h>

#include "loop/op.h"

/* Runs on a thread of its own: touches nothing but what `args` holds. A long one looks at
 * *cancelled now and then and gives up where it is set. Returns VT_OK, or the code of *err. */
typedef enum vt_code (*vt_work_fn)(void *args, const atomic_bool *cancelled, struct vt_error *err);

/* Completes when `work` has returned: with its error, or with `args` as the result. free_args (may
 * be NULL) is called in the loop's thread, once, when nobody uses args any more: after the
 * callback, or, where the operation was cancelled, whenever the thread has come to its end. */
struct vt_op *vt_work_run(struct vt_loop *loop, vt_work_fn work, void *args,
                          void (*free_args)(void *args), double timeout, vt_op_fn done, void *user);

#endif
