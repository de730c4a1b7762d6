#include "device/commands.h"

#include <string.h>

#include "plist/tree.h"

/* AccessRights of a com.apple.mdm payload. */
enum right {
    INSPECT_PROFILES = 1,
    CHANGE_PROFILES = 2,
    LOCK = 4,
    DEVICE_INFORMATION = 16,
    APPLICATIONS = 256,
    SECURITY = 1024,
    SETTINGS = 2048,
    CHANGE_APPLICATIONS = 4096,
};

struct command {
    const char *request_type;
    int64_t right; /* 0: none is needed */
    bool (*run)(struct vtd_job *job);
};

static const struct command commands[] = {
    {"CertificateList", INSPECT_PROFILES, vtd_cmd_certificate_list},
    {"DeclarativeManagement", 0, vtd_cmd_declarative_management},
    {"DeviceInformation", DEVICE_INFORMATION, vtd_cmd_device_information},
    {"InstallEnterpriseApplication", CHANGE_APPLICATIONS, vtd_cmd_install_application},
    {"InstallProfile", CHANGE_PROFILES, vtd_cmd_install_profile},
    {"InstalledApplicationList", APPLICATIONS, vtd_cmd_installed_applications},
    {"ProfileList", INSPECT_PROFILES, vtd_cmd_profile_list},
    {"RemoveProfile", CHANGE_PROFILES, vtd_cmd_remove_profile},
    {"RestartDevice", LOCK, vtd_cmd_restart},
    {"SecurityInfo", SECURITY, vtd_cmd_security_info},
    {"Settings", SETTINGS, vtd_cmd_settings},
    {"ShutDownDevice", LOCK, vtd_cmd_shutdown},
};

static const char answers_file[] = "answers.plist", all_requests[] = "*";

enum vt_code vtd_answer_set(const struct vtd *d, const char *how, const char *request_type,
                            struct vt_error *err)
{
    static const char *const words[] = {"not-now", "error", "normal"};
    size_t word = 0;
    while (word < 3 && strcmp(how, words[word]) != 0)
        word++;
    if (word == 3)
        return vt_fail(err, VT_EINVAL, "answer", "“%s” is none of not-now, error, normal", how);
    plist_t answers = vtd_state_load(d, answers_file);
    if (!vt_plist_is(answers, PLIST_DICT) || !request_type) { /* all: what was said before ends */
        plist_free(answers);
        answers = plist_new_dict();
    }
    vt_plist_set_str(answers, request_type ? request_type : all_requests, how);
    enum vt_code code = vtd_state_save(d, answers_file, answers, err);
    plist_free(answers);
    return code;
}

/* The status that was asked for, or NULL. */
static const char *told_status(struct vtd_job *job, const char *request_type)
{
    plist_t answers = vtd_state_load(job->d, answers_file);
    const char *how = vt_plist_str(answers, request_type,
                                   vt_plist_str(answers, all_requests, "normal")),
               *status = NULL;
    if (!strcmp(how, "not-now"))
        status = "NotNow";
    else if (!strcmp(how, "error")) {
        status = "Error";
        vtd_fault(&job->chain, vtd_own_domain, 3, "The device was told to answer with an error");
    }
    plist_free(answers);
    return status;
}

static const struct command *find(const char *request_type)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (!strcmp(commands[i].request_type, request_type))
            return &commands[i];
    return NULL;
}

static bool run(struct vtd_job *job, const char *request_type)
{
    const struct command *command = find(request_type);
    int64_t rights = vt_plist_int(job->mdm->payload, "AccessRights", 8191);
    if (!command)
        return vtd_fault(&job->chain, vtd_mdm_domain, 12021, "“%s” is not a valid request type.",
                         request_type);
    if (command->right && !(rights & command->right))
        return vtd_fault(&job->chain, vtd_mdm_domain, 12007,
                         "The server is not authorized to perform this “%s” command.",
                         request_type);
    return command->run(job);
}

static void finish(struct vtd_job *job, const char *status)
{
    vt_plist_set_str(job->report, "Status", status);
    if (!strcmp(status, "Error") || (!strcmp(status, "CommandFormatError") && job->chain.n))
        plist_dict_set_item(job->report, "ErrorChain", vtd_chain_plist(&job->chain));
}

plist_t vtd_command_answer(struct vtd *d, struct vtd_mdm *mdm, const void *data, size_t n,
                           enum vtd_after *after, struct vt_error *err)
{
    plist_t tree = NULL;
    *after = VTD_AFTER_NOTHING;
    if (vt_plist_parse(data, n, "command", &tree, NULL, err))
        return NULL;
    const char *uuid = vt_plist_str(tree, "CommandUUID", NULL);
    if (!uuid) {
        vt_fail(err, VT_EPROTO, "mdm", "the server's command has no CommandUUID");
        plist_free(tree);
        return NULL;
    }
    struct vtd_job job = {.d = d, .mdm = mdm, .report = plist_new_dict()};
    job.command = vt_plist_dict(tree, "Command");
    vt_plist_set_str(job.report, "CommandUUID", uuid);
    const char *request_type = vt_plist_str(job.command, "RequestType", NULL);
    const char *told = request_type ? told_status(&job, request_type) : "CommandFormatError";
    if (told)
        finish(&job, told);
    else if (run(&job, request_type))
        finish(&job, "Acknowledged");
    else
        finish(&job, job.malformed ? "CommandFormatError" : "Error");
    *after = job.after;
    plist_free(tree);
    return job.report;
}

bool vtd_cmd_restart(struct vtd_job *job)
{
    job->after = VTD_AFTER_RESTART;
    return true;
}

bool vtd_cmd_shutdown(struct vtd_job *job)
{
    job->after = VTD_AFTER_SHUTDOWN;
    return true;
}

bool vtd_cmd_declarative_management(struct vtd_job *job)
{
    job->after = VTD_AFTER_DECLARATIONS;
    return true;
}
