/* Commands of the MDM server: a command in, the report out. What goes over the network for it
 * (manifests, packages, declarations) is fetched on the way; the report itself is not sent here. */
#ifndef VT_DEVICE_COMMANDS_H
#define VT_DEVICE_COMMANDS_H

#include "device/chain.h"
#include "device/mdm.h"

/* What is left to do once the server has the report. */
enum vtd_after { VTD_AFTER_NOTHING, VTD_AFTER_RESTART, VTD_AFTER_SHUTDOWN, VTD_AFTER_DECLARATIONS };

/* A command being carried out. */
struct vtd_job {
    struct vtd *d;
    struct vtd_mdm *mdm;
    plist_t command; /* the dictionary Command */
    plist_t report;  /* the answer so far; a command adds its own keys */
    struct vtd_chain chain;
    bool malformed; /* CommandFormatError */
    enum vtd_after after;
};

/* Answers the bytes a server sent. The report is a dictionary with Status (Acknowledged, Error,
 * CommandFormatError, NotNow) and CommandUUID, plist_free() it; NULL, with *err, where it has not
 * even a CommandUUID. Rights of the enrollment and what vtd_answer_set() said are heeded. */
plist_t vtd_command_answer(struct vtd *d, struct vtd_mdm *mdm, const void *data, size_t n,
                           enum vtd_after *after, struct vt_error *err);

/* "not-now", "error" or "normal" for a RequestType, or for all (NULL). VT_EINVAL for other words.
 * Kept till it is set again. */
enum vt_code vtd_answer_set(const struct vtd *d, const char *how, const char *request_type,
                            struct vt_error *err);

/* --- the commands, each in its file: true is Acknowledged, false an Error with job->chain, or
 * a CommandFormatError with job->malformed --- */

bool vtd_cmd_profile_list(struct vtd_job *job);
bool vtd_cmd_install_profile(struct vtd_job *job);
bool vtd_cmd_remove_profile(struct vtd_job *job);
bool vtd_cmd_certificate_list(struct vtd_job *job);
bool vtd_cmd_device_information(struct vtd_job *job);
bool vtd_cmd_security_info(struct vtd_job *job);
bool vtd_cmd_settings(struct vtd_job *job);
bool vtd_cmd_installed_applications(struct vtd_job *job);
bool vtd_cmd_install_application(struct vtd_job *job);
bool vtd_cmd_declarative_management(struct vtd_job *job);
bool vtd_cmd_restart(struct vtd_job *job);
bool vtd_cmd_shutdown(struct vtd_job *job);

#endif
