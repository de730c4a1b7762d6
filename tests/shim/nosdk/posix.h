/* The part of the C library that shim/vz's Objective-C files use; errno and the like have macOS's
 * values. */
#ifndef VT_NOSDK_POSIX_H
#define VT_NOSDK_POSIX_H

#include <stddef.h>
#include <stdint.h>

extern int *__error(void);
#define errno (*__error())
#define F_OK 0
#define F_DUPFD_CLOEXEC 67

int snprintf(char *restrict to, size_t size, const char *restrict format, ...)
    __attribute__((format(printf, 3, 4)));
size_t strlen(const char *text);
char *strerror(int number);
int access(const char *path, int mode);
int unlink(const char *path);
int fcntl(int fd, int command, ...);

struct in_addr {
    uint32_t s_addr;
};
static inline uint32_t htonl(uint32_t value)
{
    return __builtin_bswap32(value);
}

#endif
