/* The guest's serial port: a file for what it says, and where it is asked for a Unix socket for
 * what it is told. */
#ifndef VT_VZ_CONSOLE_H
#define VT_VZ_CONSOLE_H

#include <stdbool.h>

#include "vz/config.h"

/* Opens what config->console asks for and sets console_out and console_in. */
bool vtz_console_open(struct vtz_config *config, struct vtz_failure *failure);

void vtz_console_close(void);

#endif
