/* What we know beside Apple's schema. */
#ifndef VT_PROFILE_KNOWN_H
#define VT_PROFILE_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

/* Why a payload (key NULL) or a key of it cannot take effect in a macOS guest; NULL where nothing
 * is known against it. */
const char *vt_known_unfit(const char *type, const char *key);

/* A key that stands in for a required one of this payload type, which the schema says in prose
 * alone; NULL where there is none. The i-th, from 0. */
const char *vt_known_substitute(const char *type, const char *key, size_t i);

/* True for a key that the schema calls required, and that works without or is needed only beside
 * others. */
bool vt_known_optional(const char *type, const char *key);

/* True for a value that works though the schema's list lacks it. */
bool vt_known_value(const char *type, const char *value);

/* The type whose keys this payload type has too, beside its own; NULL where there is none. */
const char *vt_known_base(const char *type);

/* True where payloads of this type stand each for itself (an account, a certificate, a network), so
 * that two with other values are no conflict. */
bool vt_known_independent(const char *type);

#endif
