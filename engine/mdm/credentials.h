/* Secrets of foreign servers: from a private file, or the environment. */
#ifndef VT_MDM_CREDENTIALS_H
#define VT_MDM_CREDENTIALS_H

#include <stddef.h>

#include "vmtest/error.h"

struct vt_secret {
    const char *name; /* the file's member: "api_key" */
    const char *env;  /* the variable: "VMTEST_NANOMDM_API_KEY" */
    bool optional;
    char *value; /* vt__secrets_free()d; NULL where it is optional and not given */
};

/* Reads them: from `path`, a JSON object in a file of this user's with mode 0600 (VT_EAUTH for one
 * that others can read), or, where that is NULL, from the environment. VT_EAUTH where one is
 * missing. No message has a value in it. */
enum vt_code vt__secrets_read(const char *path, struct vt_secret *secrets, size_t n,
                              struct vt_error *err);
void vt__secrets_free(struct vt_secret *secrets, size_t n);

#endif
