#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/sys.h"
#include "mdm/lab.h"
#include "mdm/scep.h"
#include "plist/base64.h"
#include "plist/cms.h"

#define SIGNATURE_MAX 32768

/* --- who it is from --- */

/* By Mdm-Signature, which proves the key at every message; else by the certificate that the TLS
 * connection was made with. *problem: why there is neither. */
static bool identify(const struct vt_lab_call *call, char fingerprint[VT_FINGERPRINT_SIZE],
                     struct vt_error *problem)
{
    X509 *cert = NULL;
    const unsigned char *der = call->cert;
    if (call->signature) {
        struct vt_buf cms = VT_BUF_INIT;
        size_t n = strlen(call->signature);
        if (n > SIGNATURE_MAX || !vt_base64_decode(&cms, call->signature, n))
            vt_fail(problem, VT_EAUTH, "mdm", "its Mdm-Signature is no base64");
        else
            vt_cms_verify_detached(cms.data, cms.len, call->body, call->size, NULL, &cert, problem);
        vt_buf_free(&cms);
    } else if (der) {
        cert = d2i_X509(NULL, &der, (long)call->cert_size);
    }
    if (cert)
        vt_fingerprint(cert, fingerprint);
    else
        vt_fail(problem, VT_EAUTH, "mdm",
                "it has neither an Mdm-Signature nor a TLS client certificate");
    X509_free(cert);
    return cert != NULL;
}

static void protocol(struct vt_lab *lab, const struct vt_lab_call *call,
                     struct vt_lab_answer *answer)
{
    char fingerprint[VT_FINGERPRINT_SIZE];
    struct vt_error problem = VT_ERROR_INIT;
    bool known = identify(call, fingerprint, &problem);
    const struct vt_protocol_request request = {.body = call->body,
                                                .size = call->size,
                                                .fingerprint = known ? fingerprint : NULL,
                                                .problem = known ? NULL : problem.message};
    struct vt_protocol_reply reply;
    vt_protocol_handle(&lab->protocol, &request, &reply);
    answer->status = reply.status;
    answer->type = reply.type;
    answer->body = reply.body;
}

/* --- SCEP --- */

static void refused(struct vt_lab *lab, const char *reason, int status)
{
    json_t *event = vt_protocol_event("refused", NULL);
    json_object_set_new(event, "reason", json_sprintf("SCEP: %s", reason));
    json_object_set_new(event, "status", json_integer(status));
    vt__mdm_event(&lab->mdm, event);
}

/* The certificate, which is in the store before anybody has it. */
static X509 *issue(struct vt_lab *lab, const struct vt_scep_request *r, struct vt_error *err)
{
    char *enrollment = NULL, fingerprint[VT_FINGERPRINT_SIZE];
    double valid = 0;
    X509 *cert = NULL;
    enum vt_code code = vt_store_begin(lab->store, err);
    if (code)
        return NULL;
    code = vt_store_take_challenge(lab->store, r->challenge, &enrollment, &valid, err);
    if (!code)
        cert = vt_ca_issue(lab->ca, r->key, X509_REQ_get_subject_name(r->csr), NULL, valid, err);
    if (cert) {
        vt_fingerprint(cert, fingerprint);
        code = vt_store_add_cert(lab->store, fingerprint, enrollment, vt_cert_expires(cert), err);
    } else if (!code) {
        code = VT_EINTERNAL;
    }
    code = vt_store_end(lab->store, code, err);
    vt_free(enrollment);
    if (!code)
        return cert;
    X509_free(cert);
    return NULL;
}

static void pki_operation(struct vt_lab *lab, const struct vt_lab_call *call,
                          struct vt_lab_answer *answer)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_scep_request r;
    X509 *cert = NULL;
    answer->type = "application/x-pki-message";
    enum vt_code code = vt_scep_read(lab->ca, call->body, call->size, &r, &err);
    if (!code)
        cert = issue(lab, &r, &err);
    if (!r.transaction)
        answer->status = 400;
    else if (cert ? vt_scep_grant(lab->ca, &r, cert, &answer->body, &err)
                  : vt_scep_refuse(lab->ca, &r, r.why, &answer->body, &err))
        answer->status = 500;
    if (err.code)
        refused(lab, err.message, answer->status);
    X509_free(cert);
    vt_scep_clear(&r);
}

static void scep(struct vt_lab *lab, const struct vt_lab_call *call, struct vt_lab_answer *answer)
{
    const char *operation = call->query ? strstr(call->query, "operation=") : NULL;
    operation = operation ? operation + strlen("operation=") : "";
    size_t n = strcspn(operation, "&");
    if (n == 9 && !strncmp(operation, "GetCACaps", n)) {
        answer->type = "text/plain";
        vt_buf_puts(&answer->body, vt_scep_capabilities);
    } else if (n == 9 && !strncmp(operation, "GetCACert", n)) {
        answer->type = "application/x-x509-ca-cert";
        vt_cert_der(lab->ca->cert, &answer->body);
    } else if (n == 12 && !strncmp(operation, "PKIOperation", n) && !strcmp(call->method, "POST")) {
        pki_operation(lab, call, answer);
    } else {
        answer->status = 400;
    }
}

/* --- packages --- */

static void package(struct vt_lab *lab, const char *rest, struct vt_lab_answer *answer)
{
    for (const struct vt_lab_package *p = lab->packages; p; p = p->next) {
        size_t n = strlen(p->id);
        if (strncmp(rest, p->id, n) != 0 || rest[n] != '/')
            continue;
        if (!strcmp(rest + n + 1, "manifest.plist")) {
            answer->type = "application/xml";
            vt_buf_add(&answer->body, p->manifest.data, p->manifest.len);
            return;
        }
        if (!strcmp(rest + n + 1, "package.pkg")) {
            answer->type = "application/octet-stream";
            answer->file = p->path;
            return;
        }
    }
    answer->status = 404;
}

void vt__lab_answer(struct vt_lab *lab, const struct vt_lab_call *call,
                    struct vt_lab_answer *answer)
{
    bool get = !strcmp(call->method, "GET");
    bool send = !strcmp(call->method, "PUT") || !strcmp(call->method, "POST");
    *answer = (struct vt_lab_answer){.status = 200, .type = "text/plain"};
    if (send && (!strcmp(call->path, "/mdm") || !strcmp(call->path, "/checkin")))
        protocol(lab, call, answer);
    else if ((get || send) && !strcmp(call->path, "/scep"))
        scep(lab, call, answer);
    else if (get && !strncmp(call->path, "/packages/", 10))
        package(lab, call->path + 10, answer);
    else
        answer->status = 404;
}
