#include "core/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#include <sys/sysctl.h>
#else
#include <sched.h>
#include <sys/prctl.h>
#endif

#include "core/fs.h"
#include "core/mem.h"

double vt_monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double vt_wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const char *vt_format_time(char *out, size_t size, double wall)
{
    time_t seconds = (time_t)wall;
    int ms = (int)((wall - (double)seconds) * 1000);
    struct tm tm;
    char day[32];
    gmtime_r(&seconds, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, size, "%s.%03dZ", day, ms);
    return out;
}

void vt_random_hex(char *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = 0;
        if (fd < 0 || read(fd, &c, 1) != 1) {
            fprintf(stderr, "vmtest: cannot read /dev/urandom: %s\n", strerror(errno));
            _Exit(70);
        }
        out[i] = digits[c & 15];
    }
    close(fd);
    out[n] = '\0';
}

int vt_cpu_count(void)
{
#ifndef __APPLE__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

#ifdef __APPLE__
uint64_t vt_memory_total(void)
{
    uint64_t bytes = 0;
    size_t size = sizeof bytes;
    return sysctlbyname("hw.memsize", &bytes, &size, NULL, 0) ? 0 : bytes;
}

uint64_t vt_memory_available(void)
{
    uint32_t pages = 0;
    size_t size = sizeof pages;
    if (sysctlbyname("vm.page_free_count", &pages, &size, NULL, 0))
        return 0;
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
#else
static uint64_t meminfo(const char *field)
{
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    unsigned long long kib = 0;
    size_t n = strlen(field);
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, field, n) && line[n] == ':')
            kib = strtoull(line + n + 1, NULL, 10);
    if (f)
        fclose(f);
    return (uint64_t)kib * 1024;
}

uint64_t vt_memory_total(void)
{
    return meminfo("MemTotal");
}

uint64_t vt_memory_available(void)
{
    return meminfo("MemAvailable");
}
#endif

#ifdef __APPLE__
char *vt_self_path(void)
{
    char path[PATH_MAX];
    uint32_t size = sizeof path;
    return _NSGetExecutablePath(path, &size) ? NULL : vt_strdup(path);
}
#else
#define SELF "/proc/self/exe"
#define GONE " (deleted)" /* what Linux adds to the path of a file that was replaced */

char *vt_self_path(void)
{
    char path[PATH_MAX + sizeof GONE];
    struct stat st;
    ssize_t n = readlink(SELF, path, sizeof path - 1), tail = sizeof GONE - 1;
    if (n < 0)
        return NULL;
    path[n] = '\0';
    if (n > tail && !strcmp(path + n - tail, GONE) && stat(path, &st))
        path[n - tail] = '\0';
    return vt_strdup(path);
}
#endif

char *vt_own_program(void)
{
    const char *set = getenv("VMTEST_PROGRAM");
    if (set && *set)
        return vt_strdup(set);
#ifdef __APPLE__
    return vt_self_path();
#else
    return vt_strdup(SELF);
#endif
}

void vt_name_process(const char *name)
{
#ifdef __APPLE__
    (void)name;
#else
    prctl(PR_SET_NAME, name);
#endif
}

static int runnable(const char *path)
{
    return vt_is_file(path) && access(path, X_OK) == 0;
}

char *vt_find_program(const char *name)
{
    if (strchr(name, '/'))
        return runnable(name) ? vt_strdup(name) : NULL;
    const char *path = getenv("PATH");
    for (const char *p = path ? path : "/usr/bin:/bin"; p && *p;) {
        size_t n = strcspn(p, ":");
        char *dir = n ? vt_strndup(p, n) : vt_strdup(".");
        char *full = vt_path_join(dir, name);
        vt_free(dir);
        if (runnable(full))
            return full;
        vt_free(full);
        p += n + (p[n] == ':');
    }
    return NULL;
}

void vt_keep_descriptors(int first)
{
    DIR *d = opendir("/dev/fd");
    for (struct dirent *e; d && (e = readdir(d));) {
        int fd = atoi(e->d_name);
        if (fd >= first)
            fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) | FD_CLOEXEC);
    }
    if (d)
        closedir(d);
}
