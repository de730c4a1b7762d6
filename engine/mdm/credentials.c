#include "mdm/credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"
#include "core/mem.h"

#define OP "mdm.credentials"

static enum vt_code load(const char *path, json_t **out, struct vt_error *err)
{
    struct stat st;
    if (stat(path, &st))
        return vt_fail_sys(err, errno, OP, "cannot read the credentials in %s", path);
    if (st.st_uid != geteuid()) {
        vt_fail(err, VT_EAUTH, OP, "the credentials in %s are another user's", path);
        vt_hint(err, "chown %u %s", (unsigned)geteuid(), path);
        return VT_EAUTH;
    }
    if (st.st_mode & 077) {
        vt_fail(err, VT_EAUTH, OP, "the credentials in %s can be read by others", path);
        vt_hint(err, "chmod 600 %s", path);
        return VT_EAUTH;
    }
    return vt_json_load(path, out, err);
}

static enum vt_code take(const json_t *file, const char *path, struct vt_secret *s,
                         struct vt_error *err)
{
    const char *value = path ? vt_json_str(file, s->name, NULL) : getenv(s->env);
    if (value && !*value)
        value = NULL;
    if (value && strpbrk(value, "\r\n"))
        return vt_fail(err, VT_EAUTH, OP, "the credential %s has a line break in it",
                       path ? s->name : s->env);
    s->value = vt_strdup(value);
    if (value || s->optional)
        return VT_OK;
    vt_fail(err, VT_EAUTH, OP, "the credential %s is missing", path ? s->name : s->env);
    if (path)
        vt_hint(err, "set \"%s\" in %s", s->name, path);
    else
        vt_hint(err, "set %s, or name a file of mode 0600 with {\"%s\": …}", s->env, s->name);
    return VT_EAUTH;
}

enum vt_code vt__secrets_read(const char *path, struct vt_secret *secrets, size_t n,
                              struct vt_error *err)
{
    json_t *file = NULL;
    enum vt_code code = path ? load(path, &file, err) : VT_OK;
    for (size_t i = 0; !code && i < n; i++)
        code = take(file, path, &secrets[i], err);
    json_decref(file);
    if (code)
        vt__secrets_free(secrets, n);
    return code;
}

void vt__secrets_free(struct vt_secret *secrets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (secrets[i].value)
            explicit_bzero(secrets[i].value, strlen(secrets[i].value));
        vt_free(secrets[i].value);
        secrets[i].value = NULL;
    }
}
