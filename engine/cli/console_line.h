/* The serial console of a VM that runs without a vmtest process at its side (vm/driver.h,
 * console_write): a socket both ways, or a log that grows and a socket for keys. */
#ifndef VT_CLI_CONSOLE_LINE_H
#define VT_CLI_CONSOLE_LINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "vm/named.h"

struct vt_console_line {
    int socket; /* takes keys; it is readable when the guest has said something (log -1), and when
                   the VM has ended */
    int log;    /* read from its end on, and looked at every VT_CONSOLE_LOOK_MS; or -1 */
    int lock;   /* one process has it at a time */
};

#define VT_CONSOLE_LOOK_MS 30

/* Never waits: VT_ESTATE where the VM does not run, VT_EBUSY where a run or another process has its
 * console. vt_console_line_close() in any case. */
enum vt_code vt_console_line_open(const struct vt_named *named, struct vt_console_line *line,
                                  struct vt_error *err);
void vt_console_line_close(struct vt_console_line *line);

/* Reads what the guest has said, `size` bytes at most; `readable` is what poll() told of the
 * socket. 0: nothing for now. Sets *ended when the VM has: there may be more to read all the same.
 */
ssize_t vt_console_line_read(struct vt_console_line *line, bool readable, char *data, size_t size,
                             bool *ended);

#endif
