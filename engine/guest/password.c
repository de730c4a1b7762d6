#include "guest/password.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

#define OP "vm.new"
#define PASSWORD_MAX 1024

enum vt_code vt_password_read(const char *path, char **out, struct vt_error *err)
{
    struct stat st;
    char text[PASSWORD_MAX + 2];
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        int sys = errno;
        if (fd >= 0)
            close(fd);
        return vt_fail_sys(err, sys, OP, "cannot read the password file %s", path);
    }
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || (st.st_uid != getuid() && st.st_uid != 0)) {
        close(fd);
        vt_fail(err, VT_EINVAL, OP, "the password file %s can be read by others (mode %04o)", path,
                (unsigned)(st.st_mode & 07777));
        vt_hint(err, "chmod 600 %s, and it is to be this user's own", path);
        return VT_EINVAL;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n > 0) {
        text[n] = '\0';
        text[strcspn(text, "\r\n")] = '\0';
        if (*text && strlen(text) <= PASSWORD_MAX)
            *out = vt_strdup(text);
    }
    OPENSSL_cleanse(text, sizeof text);
    if (*out)
        return VT_OK;
    return vt_fail(err, VT_EINVAL, OP, "the first line of the password file %s is no password",
                   path);
}

void vt_password_free(char *password)
{
    if (password)
        OPENSSL_cleanse(password, strlen(password));
    vt_free(password);
}
