/* How a kind of server is written. Its users' side of the contract is in vmtest/mdm.h.
 *
 * mdm.c checks what the caller gave, makes one `struct vt_mdm_request` of it, and makes the typed
 * result of the JSON that the server ends it with. A kind has one function for all requests:
 *
 *   look(mdm, r)  ends the request by vt__mdm_succeed() or vt__mdm_fail(), at once or later, or
 *                 leaves it waiting. It is called when the request begins, and for those that wait
 *                 again after each vt__mdm_changed(), unless r->busy: then something is under way
 *                 for it (an HTTP request, say) whose end will call.
 *   drop(mdm, r)  the request ends by its deadline or a cancel: whatever is under way for it is let
 *                 go; it may add to *why (how far it came).
 *
 * Requests, their arguments and results (JSON; ? marks what may be missing; vmtest/mdm.h says what
 * each means):
 *   enroll         {method, address?, topic?, access_rights?, rsa, valid?, keep_on_remove,
 *                   display_name?} -> {profile, ca?, id?}; profile is text
 *   devices        {} -> {devices: [DEVICE]}
 *   wait_device    {udid? | serial? | enrollment?, state, seen, since} -> DEVICE
 *   push           {udid} -> {}
 *   enqueue        {udid, command, uuid?, no_push} -> QUEUED
 *   wait_answer    {udid, uuid, stop_at_not_now} ->
 *                  {uuid, request_type?, status, not_now, raw: {"$data"}}
 *   withdraw       {udid, uuid} -> {}
 *   declare        {udid, declaration} -> QUEUED
 *   undeclare      {udid, identifier} -> QUEUED
 *   wait_declared  {udid, identifier} -> {server_token, status}; status as the device sent it
 *   serve_package  {path, bundle_id, version, title?, address?} ->
 *                  {manifest_url, manifest, sha256, size}
 * DEVICE is {udid, state, reason, serial?, name?, model?, os_version?, build_version?, product?,
 * enrollment?, enrolled, last_seen, queued, bootstrap_token, awaiting, declarative,
 * user_approved?}; QUEUED is {uuid, pushed, push_problem?}. */
#ifndef VT_MDM_SERVER_H
#define VT_MDM_SERVER_H

#include "loop/op.h"
#include "vmtest/mdm.h"

enum vt_mdm_verb {
    VT_MDM_DO_ENROLL,
    VT_MDM_DO_DEVICES,
    VT_MDM_DO_WAIT_DEVICE,
    VT_MDM_DO_PUSH,
    VT_MDM_DO_ENQUEUE,
    VT_MDM_DO_WAIT_ANSWER,
    VT_MDM_DO_WITHDRAW,
    VT_MDM_DO_DECLARE,
    VT_MDM_DO_UNDECLARE,
    VT_MDM_DO_WAIT_DECLARED,
    VT_MDM_DO_SERVE_PACKAGE,
    VT_MDM_VERB_COUNT_
};

/* "enroll", "devices", … and back; COUNT_ for a name that is none. */
const char *vt__mdm_verb_name(enum vt_mdm_verb verb);
enum vt_mdm_verb vt__mdm_verb_parse(const char *name);

struct vt_mdm_request {
    struct vt_op op;
    struct vt_mdm *mdm; /* NULL once it has ended */
    struct vt_mdm_request *next;
    enum vt_mdm_verb verb;
    json_t *args;
    json_t *result;
    void *typed; /* the result as vmtest/mdm.h has it */
    void *owned; /* what `typed` needs freed besides */
    bool busy;   /* the kind's: not to be looked at again */
    void *work;  /* the kind's: what is under way */
};

struct vt_mdm_class {
    const char *kind;
    struct vt_op *(*open)(struct vt_loop *loop, const struct vt_mdm_opts *opts, vt_op_fn done,
                          void *user, struct vt_error *err); /* result: struct vt_mdm * */
    void (*close)(struct vt_mdm *mdm);                       /* requests have ended; frees it */
    bool (*supports)(const struct vt_mdm *mdm, enum vt_mdm_capability cap, struct vt_error *why);
    void (*look)(struct vt_mdm *mdm, struct vt_mdm_request *r);
    void (*drop)(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why); /* or NULL */
};

/* The first member of each kind's own struct. */
struct vt_mdm {
    const struct vt_mdm_class *cls;
    struct vt_loop *loop;
    char *url, *ca_pem;              /* vt_free()d by vt_mdm_close(); NULL: none */
    struct vt_mdm_request *requests; /* those that have not ended */
    vt_mdm_event_fn on_event;
    void *user;
};

/* Each kind that is built in. */
extern const struct vt_mdm_class vt_mdm_lab, vt_mdm_lab_client, vt_mdm_nanomdm, vt_mdm_micromdm,
    vt_mdm_fleet, vt_mdm_jamf;

/* Begins a request; args are taken over, also on failure. timeout 0: `standard`, or wrong where
 * that is 0, too. The operation is a struct vt_mdm_request. */
struct vt_op *vt__mdm_begin(struct vt_mdm *mdm, enum vt_mdm_verb verb, json_t *args, double timeout,
                            double standard, vt_op_fn done, void *user, struct vt_error *err);

/* Ends a request; `result` is taken over. */
void vt__mdm_succeed(struct vt_mdm_request *r, json_t *result);
void vt__mdm_fail(struct vt_mdm_request *r, const struct vt_error *why);

/* Something has changed: those that wait are looked at again. */
void vt__mdm_changed(struct vt_mdm *mdm);

/* Tells the listener, then that something has changed; takes the event over. */
void vt__mdm_event(struct vt_mdm *mdm, json_t *event);

/* An unsupported capability that is no server's: its reason and the way round it. */
enum vt_code vt__mdm_never(enum vt_mdm_capability cap, struct vt_error *why);

#endif
