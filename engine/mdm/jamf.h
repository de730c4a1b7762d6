/* What the two files of the kind "jamf" share. */
#ifndef VT_MDM_JAMF_H
#define VT_MDM_JAMF_H

#include "mdm/polled.h"

struct vt_jamf {
    struct vt_polled polled;
    bool by_client;     /* the login is an API client's, else a user's */
    bool old_inventory; /* it has only the first version of computers-inventory */
    double until;       /* loop time from which the token is not used any more */
};

/* True where the token is to be got anew before the next request. */
bool vt__jamf_stale(const struct vt_jamf *j);

/* Gets a token, then runs the errand's step. */
void vt__jamf_renew(struct vt_errand *e);

void vt__jamf_look(struct vt_mdm *mdm, struct vt_mdm_request *r);

#endif
