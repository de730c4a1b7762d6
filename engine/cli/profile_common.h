/* What the commands `vmtest profile …` share. */
#ifndef VT_CLI_PROFILE_COMMON_H
#define VT_CLI_PROFILE_COMMON_H

#include "cli/options.h"
#include "vmtest/profile.h"

/* The profiles that arguments stand for. Those that cannot be read are told on stderr, or as
 * findings where `unreadable` is given, and are counted. */
struct vt_profile_set {
    char **paths;
    struct vt_profile **v;
    size_t n;      /* read */
    size_t failed; /* not */
};
enum vt_code vt_profile_set_read(const struct vt_command *self, char **args,
                                 struct vt_profile_set *set, struct vt_findings *unreadable,
                                 struct vt_error *err);
void vt_profile_set_free(struct vt_profile_set *set);

/* One line and what belongs to it for each finding, on stdout. */
void vt_profile_print(const struct vt_findings *findings);

/* "3 profiles: 1 error, 2 warnings, 0 notes", on stderr. */
void vt_profile_summary(size_t files, const struct vt_findings *findings);

/* Prints JSON on stdout and drops the reference. */
void vt_profile_print_json(json_t *value);

/* Reports the error; returns the exit code of what cannot be read or is wrong usage. */
int vt_profile_failed(const struct vt_command *self, const struct vt_error *err);

/* The exit code of what was found in them: usage where one could not be read, failed from `fail_on`
 * on. */
int vt_profile_exit(const struct vt_profile_set *set, const struct vt_findings *findings,
                    enum vt_severity fail_on);

/* A whole command, from the profiles that `args` stand for to the exit code: `check` adds what it
 * finds in them, which is printed as text or JSON. fail_on: what --fail-on says, or NULL. */
struct vt_profile_check {
    const char *fail_on;
    bool json;
    void (*check)(const struct vt_profile_set *set, struct vt_findings *findings, void *user);
    void *user;
};
int vt_profile_check_run(const struct vt_command *self, char **args,
                         const struct vt_profile_check *how);

/* What --fail-on says; false after an error message. NULL: error. */
bool vt_profile_fail_on(const struct vt_command *self, const char *text, enum vt_severity *out);

#endif
