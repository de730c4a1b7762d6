/* The VM's states: Apple's VZVirtualMachineState, with the first and the last of our own. */
#ifndef VT_VZ_STATE_H
#define VT_VZ_STATE_H

enum vtz_state {
    VTZ_NONE, /* before `create` */
    VTZ_STOPPED,
    VTZ_RUNNING,
    VTZ_PAUSED,
    VTZ_ERROR,
    VTZ_STARTING,
    VTZ_PAUSING,
    VTZ_RESUMING,
    VTZ_STOPPING,
    VTZ_SAVING,
    VTZ_RESTORING,
    VTZ_INSTALLING,
    VTZ_STATES_
};

const char *vtz_state_name(enum vtz_state state); /* as protocol.md writes it */

#endif
