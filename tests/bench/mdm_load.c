/* A crowd of devices against an MDM server: they enroll, then ask for commands.
 *
 *   mdm_load prepare CA DEVICES FILE [DATABASE]   makes the devices' identities, signed by the CA
 * in the folder CA (made where it is missing), into FILE; with DATABASE, the lab server's, it is
 * told of them mdm_load run FILE URL AT_ONCE [TRUSTED]       URL is the server's for check-ins and
 * commands, TRUSTED a PEM file with the CA of its TLS
 *
 * Each message comes on a connection of its own, as from devices that are woken one by one.
 * Everything is signed before the clock runs. One JSON line for each phase on standard output. */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "http/client.h"
#include "mdm/identity.h"
#include "mdm/store.h"
#include "plist/base64.h"
#include "plist/cms.h"
#include "plist/tree.h"

#define YEAR (365.0 * 86400)
#define WAIT_S 60
#define TOPIC "com.apple.mgmt.External.vmtest"

enum phase { AUTHENTICATE, TOKEN_UPDATE, IDLE, PHASES };
static const char *const phase_names[] = {"Authenticate", "TokenUpdate", "Idle"};

struct message {
    char *body, *signature;
    size_t size;
};

struct device {
    struct message messages[PHASES];
};

static struct vt_http_client *client;
static struct device *devices;
static const char *url, *trusted;
static unsigned count, at_once, begun, ended, bad;
static enum phase phase;

static void fail(const struct vt_error *err)
{
    fprintf(stderr, "mdm_load: %s\n", err->message);
    exit(1);
}

static plist_t write_message(unsigned i, enum phase p)
{
    char udid[64];
    plist_t m = plist_new_dict();
    snprintf(udid, sizeof udid, "00000000-0000-4000-8000-%012u", i);
    vt_plist_set_str(m, "UDID", udid);
    if (p == IDLE) {
        vt_plist_set_str(m, "Status", "Idle");
        return m;
    }
    vt_plist_set_str(m, "MessageType", phase_names[p]);
    vt_plist_set_str(m, "Topic", TOPIC);
    if (p == AUTHENTICATE) {
        vt_plist_set_str(m, "DeviceName", udid);
        vt_plist_set_str(m, "SerialNumber", udid + 24);
        vt_plist_set_str(m, "Model", "VirtualMac2,1");
        vt_plist_set_str(m, "OSVersion", "15.1");
        vt_plist_set_str(m, "BuildVersion", "24B83");
    } else {
        vt_plist_set_data(m, "Token", udid, 32);
        vt_plist_set_str(m, "PushMagic", udid);
    }
    return m;
}

static void sign(struct message *to, plist_t m, X509 *cert, EVP_PKEY *key)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf body = VT_BUF_INIT, der = VT_BUF_INIT, text = VT_BUF_INIT;
    if (vt_plist_write(m, VT_PLIST_XML, &body, &err) ||
        vt_cms_sign(cert, key, NULL, body.data, body.len, true, &der, &err))
        fail(&err);
    vt_base64_encode(&text, der.data, der.len);
    to->size = body.len;
    to->body = vt_buf_steal(&body);
    to->signature = vt_buf_steal(&text);
    vt_buf_free(&der);
    plist_free(m);
}

/* Identities: a certificate and its key, PEM, one behind the other. */
static void load(const char *path)
{
    struct vt_error err = VT_ERROR_INIT;
    size_t room = 0;
    FILE *file = fopen(path, "r");
    if (!file) {
        vt_fail_sys(&err, errno, "mdm_load", "cannot read %s", path);
        fail(&err);
    }
    for (X509 *cert; (cert = PEM_read_X509(file, NULL, NULL, NULL)); count++) {
        EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        if (count == room)
            devices = vt_realloc(devices, (room = room ? room * 2 : 64) * sizeof *devices);
        for (unsigned p = 0; p < PHASES; p++)
            sign(&devices[count].messages[p], write_message(count, (enum phase)p), cert, key);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    fclose(file);
}

static void send_next(void);

static void on_done(struct vt_op *op, void *user)
{
    const struct vt_http_answer *a = vt_op_error(op) ? NULL : vt_op_result(op);
    (void)user;
    if (!a || a->status != 200) {
        if (!bad++)
            fprintf(stderr, "mdm_load: %s: %s %d\n", phase_names[phase],
                    a ? "status" : vt_op_error(op)->message, a ? a->status : 0);
    }
    ended++;
    send_next();
}

static void send_next(void)
{
    struct vt_error err = VT_ERROR_INIT;
    if (begun == count)
        return;
    const struct message *m = &devices[begun++].messages[phase];
    struct vt_http_field fields[] = {
        {"Content-Type",
         phase == IDLE ? "application/x-apple-aspen-mdm" : "application/x-apple-aspen-mdm-checkin"},
        {"Mdm-Signature", m->signature},
        {"Connection", "close"},
    };
    struct vt_http_opts opts = {.method = "PUT",
                                .url = url,
                                .fields = fields,
                                .field_count = 3,
                                .ca_file = trusted,
                                .body = m->body,
                                .body_size = m->size,
                                .timeout = WAIT_S};
    if (!vt_http_send(client, &opts, on_done, NULL, &err))
        fail(&err);
}

static void run_phase(struct vt_loop *loop, enum phase p)
{
    double start = vt_monotonic();
    phase = p;
    begun = ended = bad = 0;
    for (unsigned i = 0; i < at_once; i++)
        send_next();
    while (ended < count)
        vt_loop_run_once(loop, true);
    double seconds = vt_monotonic() - start;
    printf("{\"phase\": \"%s\", \"devices\": %u, \"at_once\": %u, \"seconds\": %.3f, "
           "\"per_second\": %.1f, \"failed\": %u}\n",
           phase_names[p], count, at_once, seconds, count / seconds, bad);
    fflush(stdout);
}

static X509 *make_identity(const struct vt_ca *ca, unsigned i, FILE *out)
{
    struct vt_error err = VT_ERROR_INIT;
    char name[32];
    snprintf(name, sizeof name, "device %u", i);
    EVP_PKEY *key = vt_key_new(false, &err);
    X509 *cert = key ? vt_ca_issue(ca, key, NULL, name, YEAR, &err) : NULL;
    if (!cert)
        fail(&err);
    PEM_write_X509(out, cert);
    PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    EVP_PKEY_free(key);
    return cert;
}

static void prepare(const char *ca_dir, unsigned n, const char *path, const char *database)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_ca *ca = NULL;
    struct vt_store *store = NULL;
    const struct vt_enrollment_row row = {
        .id = "crowd", .method = VT_MDM_PKCS12, .topic = TOPIC, .valid = YEAR};
    FILE *out = fopen(path, "w");
    if (!out)
        vt_fail_sys(&err, errno, "mdm_load", "cannot write %s", path);
    if (!out || vt_mkdirs(ca_dir, &err) || vt_ca_open(ca_dir, &ca, &err))
        fail(&err);
    if (database && (vt_store_open(database, &store, &err) || vt_store_begin(store, &err) ||
                     vt_store_add_enrollment(store, &row, &err)))
        fail(&err);
    for (unsigned i = 0; i < n; i++) {
        char fingerprint[VT_FINGERPRINT_SIZE];
        X509 *cert = make_identity(ca, i, out);
        vt_fingerprint(cert, fingerprint);
        if (store && vt_store_add_cert(store, fingerprint, row.id, vt_cert_expires(cert), &err))
            fail(&err);
        X509_free(cert);
    }
    if (store && vt_store_end(store, VT_OK, &err))
        fail(&err);
    vt_store_close(store);
    fclose(out);
    vt_ca_free(ca);
}

static void run(const char *path)
{
    struct vt_error err = VT_ERROR_INIT;
    load(path);
    struct vt_loop *loop = vt_loop_new(&err);
    client = loop ? vt_http_client_new(loop, &err) : NULL;
    if (!client)
        fail(&err);
    for (unsigned p = 0; p < PHASES; p++)
        run_phase(loop, (enum phase)p);
    vt_http_client_free(client);
    vt_loop_free(loop);
}

int main(int argc, char **argv)
{
    if ((argc == 5 || argc == 6) && !strcmp(argv[1], "prepare")) {
        prepare(argv[2], (unsigned)strtoul(argv[3], NULL, 10), argv[4], argv[5]);
    } else if ((argc == 5 || argc == 6) && !strcmp(argv[1], "run")) {
        url = argv[3];
        at_once = (unsigned)strtoul(argv[4], NULL, 10);
        trusted = argv[5];
        run(argv[2]);
    } else {
        fprintf(stderr,
                "mdm_load prepare CA DEVICES FILE [DATABASE] | run FILE URL AT_ONCE [TRUSTED]\n");
        return 2;
    }
    return 0;
}
