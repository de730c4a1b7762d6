/* Configuration profiles: reading, and what can be said of them without a device.
 *
 * Facts are what Apple's schema (apple/device-management) says of payload types and keys on macOS:
 * types, ranges, presence, versions. A table of them ships with vmtest; docs/profiles.md has the
 * format, the rules of lint and the limits. */
#ifndef VMTEST_PROFILE_H
#define VMTEST_PROFILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmtest/error.h"

struct vt_profile;
struct vt_facts;

/* Reads a .mobileconfig: XML, binary, or CMS-signed. "-" is standard input. VT_EINVAL where it is
 * broken, with the place and the reason. */
enum vt_code vt_profile_read(const char *path, struct vt_profile **out, struct vt_error *err);

/* The same of bytes at hand; `name` stands for the file in messages. */
enum vt_code vt_profile_parse(const void *data, size_t n, const char *name, struct vt_profile **out,
                              struct vt_error *err);
const char *vt_profile_name(const struct vt_profile *p);
void vt_profile_free(struct vt_profile *p);

/* The profiles that `paths` (NULL-terminated) stand for: of a folder, each *.mobileconfig in it and
 * below, sorted. vt_profile_paths_free() them. VT_ENOTFOUND for a folder without profiles; a file
 * that does not exist is told when it is read. */
enum vt_code vt_profile_paths(const char *const *paths, char ***out, struct vt_error *err);
void vt_profile_paths_free(char **paths);

/* Facts: source NULL or the name of a table that ships ("15.1"), a file that vt_facts_compile()
 * wrote, or a checkout of Apple's schema. */
enum vt_code vt_facts_open(const char *source, struct vt_facts **out, struct vt_error *err);
const char *vt_facts_name(const struct vt_facts *facts); /* "15.1", or a checkout's folder */
void vt_facts_free(struct vt_facts *facts);

/* The table's text of a checkout (it has mdm/profiles/NAME.yaml, or is that folder); vt_free() it.
 */
enum vt_code vt_facts_compile(const char *dir, const char *name, char **text, struct vt_error *err);

enum vt_severity { VT_NOTE, VT_WARNING, VT_FINDING_ERROR };
const char *vt_severity_name(enum vt_severity severity); /* "note", "warning", "error" */

struct vt_finding {
    enum vt_severity severity;
    const char *rule; /* stable: "wrong-type" */
    char *file;
    char *path; /* "PayloadContent[0].SSID_STR"; "" for the profile itself */
    char *message;
    char *hint;            /* what to do, or NULL */
    char *os;              /* the version it holds for, or NULL: for all */
    unsigned line, column; /* 0: not known */
};

struct vt_findings {
    struct vt_finding *v;
    size_t n, cap;
};
#define VT_FINDINGS_INIT                                                                           \
    {                                                                                              \
        .v = NULL                                                                                  \
    }

/* Adds that a profile cannot be read, as vt_profile_read() told: rule "unreadable". */
void vt_findings_unreadable(struct vt_findings *f, const char *file, const struct vt_error *why);

size_t vt_findings_count(const struct vt_findings *f, enum vt_severity at_least);
json_t *vt_findings_json(const struct vt_findings *f); /* an array, a new reference */
void vt_findings_free(struct vt_findings *f);

/* A rule's id, its default severity and what it says; NULL beyond the last. */
struct vt_rule {
    const char *id;
    enum vt_severity severity;
    const char *text;
};
const struct vt_rule *vt_rule_at(size_t i);

/* Versions of macOS, "15.1,27.0", as vt_profile_lint() takes them; VT_EINVAL for others. */
enum vt_code vt_os_check(const char *versions, struct vt_error *err);

/* Adds what is wrong with the profile on these versions of macOS; NULL: those of the facts' name,
 * where it is a version. */
enum vt_code vt_profile_lint(const struct vt_profile *p, const struct vt_facts *facts,
                             const char *versions, struct vt_findings *out, struct vt_error *err);

/* Adds what the facts `to` change, against `from`, for what is in this profile. */
void vt_profile_forecast(const struct vt_profile *p, const struct vt_facts *from,
                         const struct vt_facts *to, struct vt_findings *out);

/* Adds what the profiles, installed together, contradict each other in. */
void vt_profile_conflicts(struct vt_profile *const *profiles, size_t n,
                          const struct vt_facts *facts, struct vt_findings *out);

/* What differs in meaning, a new reference: [{"path", "change": "added" | "removed" | "changed",
 * "old", "new"}]; the order of payloads, generated UUIDs and signatures are no difference. */
json_t *vt_profile_diff(const struct vt_profile *a, const struct vt_profile *b);

/* What is in it, a new reference: {"name", "format", "identifier", "payloads": […], "signers", …}.
 * Values of keys that hold secrets are not shown. */
json_t *vt_profile_show(const struct vt_profile *p);

/* All of it as JSON, secrets too, a new reference: data as base64, dates as text. */
json_t *vt_profile_content(const struct vt_profile *p);

/* Findings as documents of other tools; vt_free() the text. `files`: all that were looked at. */
char *vt_findings_sarif(const struct vt_findings *f);
char *vt_findings_junit(const struct vt_findings *f, const char *const *files);

#endif
