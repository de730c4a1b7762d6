/* Property lists as JSON, in the form that vmtest/mdm.h describes; and profiles, signed. */
#ifndef VMTEST_PLIST_H
#define VMTEST_PLIST_H

#include <jansson.h>
#include <stddef.h>

#include "vmtest/error.h"

/* Reads a property list, XML or binary, also out of a CMS message that signs one (the signature is
 * not checked). `what` names the source in messages. *out is a new value; NULL on failure.
 * VT_EINVAL for what is no property list, with the place; VT_ELIMIT beyond a bound. */
enum vt_code vt_plist_read(const void *data, size_t n, const char *what, json_t **out,
                           struct vt_error *err);

/* Signs a profile: a CMS message that holds it, in DER. `identity` is a PEM file with a key, not
 * encrypted, and its certificate; more certificates in it go along. *out is free()d by the caller;
 * NULL on failure. VT_ENOTFOUND, VT_EINVAL (key or certificate missing, or not a pair). */
enum vt_code vt_profile_sign(const void *profile, size_t n, const char *identity, void **out,
                             size_t *out_size, struct vt_error *err);

#endif
