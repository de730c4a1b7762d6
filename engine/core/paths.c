#include "core/paths.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static const char *user_home(void)
{
    const char *home = env("HOME");
    if (home)
        return home;
    const struct passwd *pw = getpwuid(getuid());
    return pw && pw->pw_dir && *pw->pw_dir ? pw->pw_dir : NULL;
}

static char *under(char *root, const char *sub, struct vt_error *err)
{
    char *path = sub ? vt_path_join(root, sub) : vt_strdup(root);
    vt_free(root);
    if (vt_mkdirs(path, err)) {
        vt_free(path);
        return NULL;
    }
    return path;
}

char *vt_home_dir(const char *sub, struct vt_error *err)
{
    const char *home = user_home();
    if (env("VMTEST_HOME"))
        return under(vt_strdup(env("VMTEST_HOME")), sub, err);
#ifdef __APPLE__
    if (home)
        return under(vt_path_join(home, "Library/Application Support/vmtest"), sub, err);
#else
    if (env("XDG_DATA_HOME"))
        return under(vt_path_join(env("XDG_DATA_HOME"), "vmtest"), sub, err);
    if (home)
        return under(vt_path_join(home, ".local/share/vmtest"), sub, err);
#endif
    vt_fail(err, VT_ENOTFOUND, "paths", "this user has no home folder");
    vt_hint(err, "set VMTEST_HOME to a folder that vmtest may use");
    return NULL;
}

char *vt_runtime_dir(const char *sub, struct vt_error *err)
{
    char *root;
    if (env("VMTEST_RUNTIME_DIR")) {
        root = vt_strdup(env("VMTEST_RUNTIME_DIR"));
    } else if (env("XDG_RUNTIME_DIR")) {
        root = vt_path_join(env("XDG_RUNTIME_DIR"), "vmtest");
    } else {
        struct vt_buf path = VT_BUF_INIT;
        vt_buf_printf(&path, "/tmp/vmtest-%lu", (unsigned long)getuid());
        root = vt_buf_steal(&path);
    }
    struct stat st;
    if (vt_mkdirs(root, err)) {
        vt_free(root);
        return NULL;
    }
    if (lstat(root, &st) || !S_ISDIR(st.st_mode) || st.st_uid != getuid() ||
        ((st.st_mode & 077) && chmod(root, 0700))) {
        vt_fail(err, VT_EIO, "paths", "%s is not a private folder of this user", root);
        vt_hint(err, "remove it, or set VMTEST_RUNTIME_DIR to a folder of your own");
        vt_free(root);
        return NULL;
    }
    return under(root, sub, err);
}
