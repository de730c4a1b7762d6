/* What the commands that ask a running lab server share: they wait for one thing after another. */
#ifndef VT_CLI_MDM_SESSION_H
#define VT_CLI_MDM_SESSION_H

#include "cli/options.h"
#include "vmtest/mdm.h"

struct vt_mdm_session {
    struct vt_loop *loop;
    struct vt_mdm *mdm;
    struct vt_op *kept; /* whose result is in use */
    bool done;
};

/* Reaches the server whose state folder `state` is (NULL: the user's own). */
enum vt_code vt_mdm_session_open(struct vt_mdm_session *s, const char *state, struct vt_error *err);
void vt_mdm_session_close(struct vt_mdm_session *s);

/* What operations of the session are begun with; user is the session. */
void vt_mdm_session_done(struct vt_op *op, void *user);

/* Waits for an operation's end (op NULL: it was not begun, and *err is set). The result lives till
 * the next wait. */
enum vt_code vt_mdm_session_wait(struct vt_mdm_session *s, struct vt_op *op, void **result,
                                 struct vt_error *err);

/* Reports the error, where there is one; the exit code. */
int vt_mdm_session_exit(const struct vt_command *self, const struct vt_error *err);

#endif
