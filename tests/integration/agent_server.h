/* The real guest agent as a process of the test's own, listening on a unix socket as QEMU does. */
#ifndef VT_TESTS_AGENT_SERVER_H
#define VT_TESTS_AGENT_SERVER_H

#include <sys/types.h>

#include "channel_test.h"
#include "guest/agent.h"

struct agent_rig {
    struct rig base; /* first */
    char dir[64], socket[128];
    pid_t pid;
};

/* Ends the test program as skipped where VMTEST_TEST_AGENT names no program. */
void agent_server_needed(void);

void agent_server_start(struct agent_rig *r); /* in r->dir, which is there */
void agent_server_kill(struct agent_rig *r);

/* A folder and a channel, not connected; nothing listens yet. */
void agent_rig_init(struct agent_rig *r);
void agent_rig_free(struct agent_rig *r);

/* Group fixtures: *state is a connected rig. */
int agent_setup(void **state);
int agent_teardown(void **state);

#endif
