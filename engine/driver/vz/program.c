/* Where vmtest-vz is. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "driver/vz/instance.h"

#define OP "vm.new"

/* Beside the program where it was built, in libexec where it is installed. */
static char *beside(const char *program)
{
    static const char *const places[] = {"vmtest-vz", "../libexec/vmtest/vmtest-vz",
                                         "../shim/vz/vmtest-vz"};
    char *dir = vt_path_dir(program), *found = NULL;
    for (size_t i = 0; !found && i < sizeof places / sizeof *places; i++) {
        char *path = vt_path_join(dir, places[i]);
        if (vt_is_file(path) && access(path, X_OK) == 0)
            found = vt_strdup(path);
        vt_free(path);
    }
    vt_free(dir);
    return found;
}

char *vt_vz_program(struct vt_error *err)
{
    const char *named = getenv("VMTEST_VZ");
    if (named && *named) {
        if (named[0] == '/' && vt_is_file(named) && access(named, X_OK) == 0)
            return vt_strdup(named);
        vt_fail(err, VT_ENOTFOUND, OP,
                "VMTEST_VZ names %s, which is no program with an absolute path", named);
        return NULL;
    }
#ifdef __APPLE__
    char *self = vt_self_path(), *found = self ? beside(self) : NULL;
    vt_free(self);
    if (found)
        return found;
    vt_fail(err, VT_ENOTFOUND, OP,
            "the helper vmtest-vz, which runs VMs of the vz driver, is not there");
    vt_hint(err, "install it in ../libexec/vmtest beside vmtest's bin folder, or name it by "
                 "VMTEST_VZ");
#else
    (void)beside;
    vt_fail(err, VT_EUNSUPPORTED, OP,
            "the vz driver needs macOS: Apple's Virtualization framework is there alone");
    vt_hint(err, "the qemu driver runs Linux guests on this host");
#endif
    return NULL;
}
