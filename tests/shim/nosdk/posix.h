/* The part of the C library that shim/vz's Objective-C files and shim/agent use, as POSIX and
 * macOS's manual pages have it; constants have macOS's values. */
#ifndef VT_NOSDK_POSIX_H
#define VT_NOSDK_POSIX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* errno.h */
extern int *__error(void);
#define errno (*__error())
#define EPERM 1
#define ENOENT 2
#define EINTR 4
#define EIO 5
#define ENOEXEC 8
#define EBADF 9
#define ENOMEM 12
#define EACCES 13
#define ENODEV 19
#define ENOTDIR 20
#define EINVAL 22
#define EMFILE 24
#define ENOSPC 28
#define ESPIPE 29
#define EAGAIN 35
#define ENAMETOOLONG 63
#define EDQUOT 69
#define ENOSYS 78
#define EPROTO 100

/* fcntl.h */
#define O_RDONLY 0x0000
#define O_WRONLY 0x0001
#define O_RDWR 0x0002
#define O_NONBLOCK 0x0004
#define O_CREAT 0x0200
#define O_TRUNC 0x0400
#define O_NOCTTY 0x20000
#define O_DIRECTORY 0x100000
#define O_CLOEXEC 0x1000000
#define F_GETFD 1
#define F_SETFD 2
#define F_GETFL 3
#define F_SETFL 4
#define F_DUPFD_CLOEXEC 67
#define FD_CLOEXEC 1
#define AT_SYMLINK_NOFOLLOW 0x0020
int open(const char *path, int flags, ...);
int fcntl(int fd, int command, ...);

/* unistd.h */
#define F_OK 0
#define X_OK 1
int access(const char *path, int mode);
int unlink(const char *path);
int chdir(const char *path);
int close(int fd);
int dup(int fd);
int pipe(int pair[2]);
pid_t getpid(void);
uid_t getuid(void);
ssize_t read(int fd, void *to, size_t n);
ssize_t write(int fd, const void *from, size_t n);
ssize_t pread(int fd, void *to, size_t n, off_t at);
ssize_t pwrite(int fd, const void *from, size_t n, off_t at);

/* stdio.h */
typedef struct vt_file FILE;
extern FILE *__stderrp, *__stdoutp;
#define stderr __stderrp
#define stdout __stdoutp
int snprintf(char *restrict to, size_t size, const char *restrict format, ...)
    __attribute__((format(printf, 3, 4)));
int fprintf(FILE *restrict file, const char *restrict format, ...)
    __attribute__((format(printf, 2, 3)));
FILE *fopen(const char *restrict path, const char *restrict mode);
int fclose(FILE *file);
int fputs(const char *restrict text, FILE *restrict file);
void perror(const char *text);

/* stdlib.h */
void *malloc(size_t n);
void *calloc(size_t count, size_t n);
void *realloc(void *old, size_t n);
void free(void *old);
void exit(int status) __attribute__((noreturn));
char *getenv(const char *name);
unsigned long strtoul(const char *restrict text, char **restrict end, int base);
int posix_openpt(int flags);
int grantpt(int fd);
int unlockpt(int fd);
char *ptsname(int fd);

/* string.h */
size_t strlen(const char *text);
size_t strcspn(const char *text, const char *any);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *text, int c);
char *strerror(int number);
void *memchr(const void *p, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);

/* netinet/in.h, arpa/inet.h */
struct in_addr {
    uint32_t s_addr;
};
static inline uint32_t htonl(uint32_t value)
{
    return __builtin_bswap32(value);
}

#endif
