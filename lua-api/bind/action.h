/* One thing that is done to a VM and takes time: begun, waited for, told. */
#ifndef VTL_ACTION_H
#define VTL_ACTION_H

#include "task.h"
#include "vm.h"

/* Pushes what vtl_act_wait() needs, before the operation is started, so that nothing can be raised
 * once it is. The VM is argument 1; `name` without "vm."; `text`: what it is done with, for
 * transcript and event, or NULL; text_result: the operation's result is a text, and given. */
void vtl_act_begin(lua_State *L, const char *name, const char *text, bool text_result);

/* Waits for op (NULL: raises *err), and writes the transcript and the event "op". */
int vtl_act_wait(lua_State *L, struct vt_op *op, struct vt_error *err);

/* The same for what has ended already. */
void vtl_act_tell(struct vtl_vm *v, const char *name, const char *text, double seconds,
                  const struct vt_error *err);

#endif
