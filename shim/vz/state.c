#include "vz/state.h"

static const char *const names[VTZ_STATES_] = {
    [VTZ_NONE] = "none",       [VTZ_STOPPED] = "stopped",     [VTZ_RUNNING] = "running",
    [VTZ_PAUSED] = "paused",   [VTZ_ERROR] = "error",         [VTZ_STARTING] = "starting",
    [VTZ_PAUSING] = "pausing", [VTZ_RESUMING] = "resuming",   [VTZ_STOPPING] = "stopping",
    [VTZ_SAVING] = "saving",   [VTZ_RESTORING] = "restoring", [VTZ_INSTALLING] = "installing"};

const char *vtz_state_name(enum vtz_state state)
{
    return names[state];
}
