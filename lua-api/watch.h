/* The watch over code that does not wait: a timer signal that sets a hook on the running thread
 * when its deadline has passed or the job is to stop. It also sees SIGTERM and the end of standard
 * input. Code that runs within its time pays nothing for it. */
#ifndef VTL_WATCH_H
#define VTL_WATCH_H

#include "host.h"

/* Takes over SIGTERM, SIGALRM and standard input. One host per process at a time. */
void vtl_watch_start(struct vtl_host *h);
void vtl_watch_end(void);

/* True once the job was told to stop. */
bool vtl_watch_stop_asked(void);

/* When the code that runs now is to be looked at, on the monotonic clock; 0: never. */
void vtl_watch_until(double when);

/* The hook: raises or leaves where the running task is interrupted or late. */
void vtl_watch_hook(lua_State *L, lua_Debug *ar);

#endif
