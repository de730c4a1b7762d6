/* A status: the signal in the lowest seven bits, which 0x7f says stopped; else the exit's above. */
#ifndef VT_NOSDK_SYS_WAIT_H
#define VT_NOSDK_SYS_WAIT_H

#include <sys/types.h>

#define WNOHANG 1
#define WTERMSIG(status) ((status)&0x7f)
#define WIFSIGNALED(status) (WTERMSIG(status) != 0x7f && WTERMSIG(status) != 0)
#define WEXITSTATUS(status) (((status) >> 8) & 0xff)
pid_t waitpid(pid_t pid, int *status, int options);

#endif
