/* MDM servers as Lua sees them: a userdata "vmtest.mdm" whose server may be closed already, which
 * is an error at its next use and never more. A server belongs to the scope it was made in and is
 * closed at its end; the run's own belongs to the job. */
#ifndef VTL_MDM_H
#define VTL_MDM_H

#include "host.h"
#include "vmtest/mdm.h"

#define VTL_MDM "vmtest.mdm"

struct vtl_mdm {
    struct vtl_host *host;
    struct vtl_mdm *next;
    struct vt_mdm *mdm; /* NULL: not open yet, or closed */
    struct vtl_task *opener;
    int ref; /* registry: anchors the userdata while the server is open */
    int scope;
    char refused[256]; /* the last request without right or sense, and when it came */
    double refused_at;
};

/* The server at the given argument; raises where it is none or is closed. `op`: for the error. */
struct vtl_mdm *vtl_check_mdm(lua_State *L, int arg, const char *op);

/* A userdata without a server, on top of the stack. */
struct vtl_mdm *vtl_mdm_push(lua_State *L, int scope);

/* The callback of vt_mdm_open(), with the userdata: the server is the host's from then on. */
void vtl_mdm_on_open(struct vt_op *op, void *mdm);

void vtl_mdm_close(struct vtl_mdm *m);

/* Closes those of scope n and of those within it; and all. */
void vtl_mdms_end_scope(struct vtl_host *h, int from);
void vtl_mdms_end(struct vtl_host *h);

void vtl_mdm_metatable(lua_State *L); /* makes and pushes it */

#endif
