/* A crowd of devices against an MDM server: they enroll, then ask for commands.
 *
 *   mdm_load prepare DIR                    makes the CA that signs them; writes DIR/devices-ca.pem
 *   mdm_load run DIR URL DEVICES AT_ONCE    URL is the server's one for check-ins and commands
 *
 * Everything is signed before the clock runs. One JSON line for each phase on standard output. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "http/client.h"
#include "mdm/identity.h"
#include "plist/base64.h"
#include "plist/cms.h"
#include "plist/tree.h"

#define YEAR (365.0 * 86400)
#define WAIT_S 60

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
static const char *url;
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
    vt_plist_set_str(m, "Topic", "com.apple.mgmt.External.vmtest");
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

static void make_device(const struct vt_ca *ca, unsigned i)
{
    struct vt_error err = VT_ERROR_INIT;
    char name[32];
    snprintf(name, sizeof name, "device %u", i);
    EVP_PKEY *key = vt_key_new(false, &err);
    X509 *cert = key ? vt_ca_issue(ca, key, NULL, name, YEAR, &err) : NULL;
    for (unsigned p = 0; cert && p < PHASES; p++) {
        struct vt_buf body = VT_BUF_INIT, der = VT_BUF_INIT, text = VT_BUF_INIT;
        plist_t m = write_message(i, (enum phase)p);
        if (vt_plist_write(m, VT_PLIST_XML, &body, &err) ||
            vt_cms_sign(cert, key, NULL, body.data, body.len, true, &der, &err))
            fail(&err);
        vt_base64_encode(&text, der.data, der.len);
        struct message *to = &devices[i].messages[p];
        to->size = body.len;
        to->body = vt_buf_steal(&body);
        to->signature = vt_buf_steal(&text);
        vt_buf_free(&der);
        plist_free(m);
    }
    if (err.code)
        fail(&err);
    X509_free(cert);
    EVP_PKEY_free(key);
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
    };
    struct vt_http_opts opts = {.method = "PUT",
                                .url = url,
                                .fields = fields,
                                .field_count = 2,
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

static void prepare(const char *dir, struct vt_ca **ca)
{
    struct vt_error err = VT_ERROR_INIT;
    char *path = vt_path_join(dir, "devices-ca.pem");
    if (vt_mkdirs(dir, &err) || vt_ca_open(dir, ca, &err) ||
        vt_write_file(path, (*ca)->pem, strlen((*ca)->pem), 0600, &err))
        fail(&err);
    vt_free(path);
}

int main(int argc, char **argv)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_ca *ca = NULL;
    bool run = argc == 6 && !strcmp(argv[1], "run");
    if (!run && (argc != 3 || strcmp(argv[1], "prepare") != 0)) {
        fprintf(stderr, "mdm_load prepare DIR | run DIR URL DEVICES AT_ONCE\n");
        return 2;
    }
    prepare(argv[2], &ca);
    if (run) {
        url = argv[3];
        count = (unsigned)strtoul(argv[4], NULL, 10);
        at_once = (unsigned)strtoul(argv[5], NULL, 10);
        devices = vt_calloc(count, sizeof *devices);
        for (unsigned i = 0; i < count; i++)
            make_device(ca, i);
        struct vt_loop *loop = vt_loop_new(&err);
        client = loop ? vt_http_client_new(loop, &err) : NULL;
        if (!client)
            fail(&err);
        for (unsigned p = 0; p < PHASES; p++)
            run_phase(loop, (enum phase)p);
        vt_http_client_free(client);
        vt_loop_free(loop);
    }
    vt_ca_free(ca);
    return 0;
}
