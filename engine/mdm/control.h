/* How other processes of this user control a lab server that runs.
 *
 * STATE/control.json, mode 0600, there as long as the server runs: {"url", "token", "pid",
 * "devices": where devices reach it, "ca": PEM}. At `url`, which is on 127.0.0.1, with the header
 * "Authorization: Bearer TOKEN":
 *   POST /v1/VERB?timeout=SECONDS   the request of server.h with its arguments (JSON object) as the
 *                                   body -> 200 {"result": …} or {"error": {"code", "op",
 *                                   "message", "hint"}}, when it has ended; it ends with the
 *                                   connection
 * 401 without the token, 404 for another path, 400 for what is no JSON object. */
#ifndef VT_MDM_CONTROL_H
#define VT_MDM_CONTROL_H

#include "http/server.h"
#include "mdm/lab.h"

#define VT_CONTROL_FILE "control.json"

struct vt_control;

enum vt_code vt_control_open(struct vt_lab *lab, struct vt_control **out, struct vt_error *err);
void vt_control_close(struct vt_control *control);

#endif
