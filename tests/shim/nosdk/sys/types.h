/* Sizes and signs as macOS has them. */
#ifndef VT_NOSDK_SYS_TYPES_H
#define VT_NOSDK_SYS_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef long ssize_t;
typedef int64_t off_t;
typedef int32_t pid_t;
typedef uint32_t uid_t;
typedef uint32_t gid_t;
typedef uint16_t mode_t;
typedef long time_t;

#endif
