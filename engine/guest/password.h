/* Passwords to log in with: each in a file of its own. */
#ifndef VT_GUEST_PASSWORD_H
#define VT_GUEST_PASSWORD_H

#include "vmtest/error.h"

/* The first line of a password file, which only its owner, this user or root, may read.
 * vt_password_free() wipes it. */
enum vt_code vt_password_read(const char *path, char **out, struct vt_error *err);
void vt_password_free(char *password);

#endif
