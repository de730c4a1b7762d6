/* Results as vmtest/mdm.h has them, made from the JSON that servers end requests with. */
#ifndef VT_MDM_RESULTS_H
#define VT_MDM_RESULTS_H

#include "mdm/server.h"

/* Sets r->typed (and r->owned) from r->result, whose texts they point into. VT_EPROTO where the
 * server left out what must be there. */
enum vt_code vt__mdm_typed(struct vt_mdm_request *r, struct vt_error *err);
void vt__mdm_untyped(struct vt_mdm_request *r);

#endif
