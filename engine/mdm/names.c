/* Names of states, statuses, requests. */
#include <string.h>

#include "mdm/server.h"

static const char *const states[] = {"not_enrolled", "enrolling", "enrolled"};
static const char *const statuses[] = {"Pending", "Acknowledged", "Error", "CommandFormatError",
                                       "NotNow"};
static const char *const verbs[VT_MDM_VERB_COUNT_] = {
    "enroll",   "devices", "wait_device", "push",          "enqueue",      "wait_answer",
    "withdraw", "declare", "undeclare",   "wait_declared", "serve_package"};

const char *vt_mdm_state_name(enum vt_mdm_state state)
{
    return states[state];
}

const char *vt_mdm_status_name(enum vt_mdm_status status)
{
    return statuses[status];
}

const char *vt__mdm_verb_name(enum vt_mdm_verb verb)
{
    return verbs[verb];
}

enum vt_mdm_verb vt__mdm_verb_parse(const char *name)
{
    unsigned i = 0;
    while (i < VT_MDM_VERB_COUNT_ && strcmp(name, verbs[i]) != 0)
        i++;
    return (enum vt_mdm_verb)i;
}
