/* A real VM for a test: folders, image, and what happened to it. */
#ifndef VT_TESTS_GUEST_H
#define VT_TESTS_GUEST_H

#include "unit.h"

#include "vmtest/vm.h"

#define GUEST_SKIP 77

struct guest {
    struct vt_loop *loop;
    struct vt_vm *vm;
    struct vt_image *image;
    char *root, *state_dir, *scratch_dir, *console_log;
    struct vt_vm_config config; /* filled with the above; a test may change it before new */
    char out[4096];
    struct vt_error error;
};

/* Ends the process with GUEST_SKIP, which ctest shows as skipped. */
_Noreturn void guest_skip(const char *why);

/* Removes this folder when the process ends, however its tests ended. */
void guest_remove_later(const char *path);

/* Makes folders and loop and opens the image of the store; ends the process with GUEST_SKIP where
 * there is no such image or no QEMU. */
void guest_init(struct guest *g, const char *image);

/* As guest_init with an image made from "small" whose first process is the shell with this script
 * (no double quotes in it); disk: size of an empty raw disk besides, or 0. */
void guest_init_script(struct guest *g, const char *script, size_t disk);

void guest_new(struct guest *g);  /* vt_vm_new(), which must succeed */
void guest_free(struct guest *g); /* and asserts that nothing is left of it */

/* Starts it without waiting for the guest; the error's code, 0 on success. */
enum vt_code guest_start(struct guest *g, struct vt_error *err);

/* Runs the loop until the operation has ended. */
enum vt_code guest_wait(struct guest *g, struct vt_op *op, struct vt_error *err);
typedef struct vt_op *guest_call_fn(struct vt_vm *vm, vt_op_fn done, void *user,
                                    struct vt_error *err);
enum vt_code guest_call(struct guest *g, guest_call_fn *fn, struct vt_error *err);

/* Starts it and waits until the guest answers over ssh; fails the test where it does not. */
void guest_start_ready(struct guest *g);

/* A command in the guest; what it wrote to stdout stays in g->out till the next one. Returns its
 * exit status, or minus the error's code with the error in g->error. */
int guest_exec(struct guest *g, const char *command);

/* Runs the loop until the console shows `text` `times` times; fails the test after 120 s. */
void guest_await_console(struct guest *g, const char *text, int times);
int guest_console_count(struct guest *g, const char *text);

/* Runs the loop until the VM is in this state; fails the test after 120 s. */
void guest_await_state(struct guest *g, enum vt_vm_state state);

void guest_run(struct guest *g, double seconds);
long guest_pid(struct guest *g); /* QEMU's */

/* Runs one test function named argv[1], or all; dispatches the hidden command __tie. */
struct guest_test {
    const char *name;
    CMUnitTestFunction fn;
};
int guest_main(int argc, char **argv, const struct guest_test *tests, size_t count);

#endif
