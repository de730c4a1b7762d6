/* A profile that was read. */
#ifndef VT_PROFILE_DOC_H
#define VT_PROFILE_DOC_H

#include "plist/cms.h"
#include "plist/tree.h"
#include "vmtest/profile.h"

struct vt_profile {
    char *name;
    plist_t root; /* anything: lint says where it is no profile */
    struct vt_plist_info info;
    bool is_signed;
    struct vt_cms_signature signature;
};

/* The i-th payload; NULL beyond, or where it is no dictionary. */
size_t vt_profile_payloads(const struct vt_profile *p);
plist_t vt_profile_payload(const struct vt_profile *p, size_t i);

/* One setting within a dictionary of settings, and where it holds. */
struct vt_setting {
    const char *domain; /* the payload's type, or the domain of a preference */
    const char *path;   /* "PayloadContent[0].Forced…", as in findings */
    const char *key;
    plist_t value;
    plist_t payload;
};

/* Calls `each` for every setting of every payload: its own keys beside Payload…, and the
 * preferences in com.apple.ManagedClient.preferences under their own domains. */
void vt_profile_settings(const struct vt_profile *p,
                         void (*each)(const struct vt_setting *setting, void *user), void *user);

/* True for the keys that describe a payload rather than set anything: PayloadUUID and its kin. */
bool vt_is_payload_key(const char *key);

/* True where the text begins with a UUID (36 characters). */
bool vt_starts_uuid(const char *text);

/* True where two values are the same in type and content; the order of keys is none of it. */
bool vt_profile_same(plist_t a, plist_t b);

/* A value for people: a scalar as text (strings quoted, data by size), a container as JSON. Cut to
 * about 80 characters. */
void vt_profile_value_text(struct vt_buf *out, plist_t value);

/* The value as JSON (data as base64, dates as text), a new reference. */
json_t *vt_profile_value_json(plist_t value);

#endif
