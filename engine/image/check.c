/* Looks into an image's files: what cannot boot is found before a hypervisor is started. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/describe.h"
#include "image/qcow2.h"

#define OP "image.open"

struct head {
    unsigned char bytes[1024];
    size_t n;
    uint64_t size;
};

static enum vt_code read_head(const char *path, const char *key, struct head *head,
                              struct vt_error *err)
{
    *head = (struct head){.n = 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st = {.st_size = 0};
    if (fd < 0)
        return vt_fail(err, VT_EIMAGE, OP, "cannot open %s (\"%s\" in its image.json): %s", path,
                       key, strerror(errno));
    enum vt_code code = VT_OK;
    ssize_t n = pread(fd, head->bytes, sizeof head->bytes, 0);
    if (n < 0 || fstat(fd, &st))
        code = vt_fail(err, VT_EIMAGE, OP, "cannot read %s (\"%s\" in its image.json): %s", path,
                       key, strerror(errno));
    else if (!S_ISREG(st.st_mode) || !st.st_size)
        code = vt_fail(err, VT_EIMAGE, OP, "%s (\"%s\" in its image.json) is %s", path, key,
                       S_ISREG(st.st_mode) ? "empty" : "not a file");
    if (!code) {
        head->n = (size_t)n;
        head->size = (uint64_t)st.st_size;
    }
    close(fd);
    return code;
}

static bool has(const struct head *head, size_t at, const char *magic, size_t n)
{
    return head->n >= at + n && !memcmp(head->bytes + at, magic, n);
}

/* bzImage and arm64 Image: Documentation/arch/{x86/boot,arm64/booting}.rst of Linux. In an ELF
 * header (System V ABI) e_machine is at 18. */
enum vt_code vt__image_check_kernel(const char *path, const char *arch, struct vt_error *err)
{
    struct head head;
    enum vt_code code = read_head(path, "kernel", &head, err);
    if (code)
        return code;
    bool x86 = !strcmp(arch, "x86_64");
    bool elf = has(&head, 0, "\177ELF", 4) && head.n > 19;
    unsigned machine = elf ? head.bytes[18] | (unsigned)head.bytes[19] << 8 : 0;
    bool fits_x86 = has(&head, 0x202, "HdrS", 4) || (elf && machine == 62);
    bool fits_arm = has(&head, 0x38, "ARM\x64", 4) || (elf && machine == 183);
    if (x86 ? fits_x86 : fits_arm)
        return VT_OK;
    if (fits_x86 || fits_arm)
        return vt_fail(err, VT_EIMAGE, OP, "%s is a kernel, but not for %s", path, arch);
    return vt_fail(err, VT_EIMAGE, OP, "%s is no kernel that can be booted (wanted: %s)", path,
                   x86 ? "bzImage or ELF" : "Image or ELF");
}

enum vt_code vt__image_check_disk(const char *path, const char *format, struct vt_error *err)
{
    struct head head;
    struct vt_qcow2 disk;
    enum vt_code code = read_head(path, "disk", &head, err);
    return code || !strcmp(format, "raw") ? code : vt_qcow2_read(path, &disk, err);
}

enum vt_code vt__image_check_file(const char *path, const char *key, struct vt_error *err)
{
    struct head head;
    return read_head(path, key, &head, err);
}
