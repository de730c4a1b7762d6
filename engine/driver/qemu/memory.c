#include "driver/qemu/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"

#define OP "vm.start"
#define MIB ((uint64_t)1 << 20)

#ifdef __linux__
static int open_new(const char *folder, char **path)
{
    struct vt_buf name = VT_BUF_INIT;
    (void)folder;
    vt_buf_printf(&name, "/proc/self/fd/%d", VT_QEMU_FD_FIRST);
    *path = vt_buf_steal(&name);
    return memfd_create("guest-memory", MFD_CLOEXEC);
}

char *vt_qemu_memory_find(long pid, const char *folder)
{
    struct vt_buf name = VT_BUF_INIT;
    (void)folder;
    vt_buf_printf(&name, "/proc/%ld/fd/%d", pid, VT_QEMU_FD_FIRST);
    return vt_buf_steal(&name);
}

void vt_qemu_memory_remove(const char *folder)
{
    (void)folder; /* there is no file */
}
#else
#define FILE_NAME "guest-memory"

static int open_new(const char *folder, char **path)
{
    *path = vt_path_join(folder, FILE_NAME);
    unlink(*path);
    return open(*path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

char *vt_qemu_memory_find(long pid, const char *folder)
{
    (void)pid;
    return vt_path_join(folder, FILE_NAME);
}

void vt_qemu_memory_remove(const char *folder)
{
    char *path = vt_path_join(folder, FILE_NAME);
    unlink(path);
    vt_free(path);
}
#endif

enum vt_code vt_qemu_memory_new(struct vt_qemu_memory *memory, uint64_t size, const char *folder,
                                struct vt_error *err)
{
    *memory = (struct vt_qemu_memory){.shared = true, .size = (size + MIB - 1) / MIB * MIB};
    memory->fd = open_new(folder, &memory->path);
    if (memory->fd >= 0 && ftruncate(memory->fd, (off_t)memory->size) == 0)
        return VT_OK;
    enum vt_code code = vt_fail_sys(err, errno, OP, "cannot make %llu bytes of memory for a guest",
                                    (unsigned long long)memory->size);
    vt_qemu_memory_clear(memory);
    return code;
}

void vt_qemu_memory_of(struct vt_qemu_memory *memory, uint64_t size, const char *path)
{
    *memory = (struct vt_qemu_memory){
        .path = vt_strdup(path), .fd = -1, .size = (size + MIB - 1) / MIB * MIB};
}

void vt_qemu_memory_clear(struct vt_qemu_memory *memory)
{
    if (memory->fd >= 0)
        close(memory->fd);
    vt_free(memory->path);
    *memory = (struct vt_qemu_memory)VT_QEMU_MEMORY_NONE;
}

void vt_qemu_memory_argv(struct vt_args *args, const struct vt_qemu_memory *memory)
{
    char suffix[80];
    snprintf(suffix, sizeof suffix, ",size=%lluM,share=%s",
             (unsigned long long)(memory->size / MIB), memory->shared ? "on" : "off");
    vt_qemu_path_option(args, "-object", "memory-backend-file,id=ram0,mem-path=", memory->path,
                        suffix);
    vt_args_add(args, "-m");
    vt_args_printf(args, "%llu", (unsigned long long)(memory->size / MIB));
    vt_qemu_option(args, "-machine", "memory-backend=ram0");
}
