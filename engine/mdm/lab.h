/* The lab server: what its files share. */
#ifndef VT_MDM_LAB_H
#define VT_MDM_LAB_H

#include "mdm/identity.h"
#include "mdm/protocol.h"
#include "mdm/server.h"
#include "mdm/store.h"

#define VT_LAB_TOPIC "com.apple.mgmt.vmtest.lab"

struct vt_lab_package {
    struct vt_lab_package *next;
    char id[33]; /* in its address: whoever knows it may fetch it */
    char *path;
    struct vt_buf manifest;
    json_t *facts; /* the result of serve_package */
};

struct vt_lab_listener; /* its sockets */

struct vt_lab {
    struct vt_mdm mdm; /* url and ca_pem are set */
    struct vt_ca *ca;
    struct vt_store *store;
    struct vt_protocol protocol;
    char **names; /* what the server's certificate is for; NULL-terminated */
    size_t name_count;
    int port;
    char *state_dir;
    bool temporary; /* state_dir goes with the server */
    int lock;       /* on state_dir; -1: none */
    struct vt_lab_package *packages;
    struct vt_lab_listener *listener;
};

/* --- lab_http.c: what devices ask, free of sockets --- */

struct vt_lab_call {
    const char *method, *path, *query; /* path without the query; query NULL: none */
    const char *signature;             /* Mdm-Signature; NULL: none */
    const void *cert;                  /* DER of the TLS client's certificate; NULL: none */
    size_t cert_size;
    const void *body;
    size_t size;
};

struct vt_lab_answer {
    int status;
    const char *type;
    struct vt_buf body; /* vt_buf_free()d by the caller */
    const char *file;   /* to be sent instead of body; borrowed from the package */
};

void vt__lab_answer(struct vt_lab *lab, const struct vt_lab_call *call,
                    struct vt_lab_answer *answer);

/* --- lab_look.c, lab_enroll.c, lab_package.c: requests, as server.h has them --- */

void vt__lab_look(struct vt_mdm *mdm, struct vt_mdm_request *r);
void vt__lab_drop(struct vt_mdm *mdm, struct vt_mdm_request *r, struct vt_error *why);
enum vt_code vt__lab_enroll(struct vt_lab *lab, const json_t *args, json_t **out,
                            struct vt_error *err);
void vt__lab_serve_package(struct vt_lab *lab, struct vt_mdm_request *r);
void vt__lab_free_packages(struct vt_lab *lab);

/* "https://ADDRESS:PORT" as a device reaches it, for an address (NULL: the first) that the server's
 * certificate names; else NULL with VT_EINVAL in *err. */
char *vt__lab_url(const struct vt_lab *lab, const char *address, struct vt_error *err);

/* --- listen.c: the sockets --- */

/* Listens for devices, and, where asked, for other processes of this user; sets lab->port. */
enum vt_code vt__lab_listen(struct vt_lab *lab, const char *listen, bool control,
                            struct vt_error *err);
void vt__lab_unlisten(struct vt_lab *lab);

/* A new UUID, upper case. */
void vt__uuid(char out[37]);

#endif
