/* The lab's sockets: what lab_http.c answers, on HTTPS. */
#include <openssl/crypto.h>

#include "core/mem.h"
#include "mdm/control.h"

#define CONNECTIONS_MAX 16384

struct vt_lab_listener {
    struct vt_http_server *devices;
    struct vt_control *control;
};

static void handle(struct vt_http_request *request, void *user)
{
    struct vt_lab *lab = user;
    const struct vt_lab_call call = {
        .method = request->method,
        .path = request->path,
        .query = request->query,
        .signature = vt_http_field(request, "Mdm-Signature"),
        .cert = request->cert,
        .cert_size = request->cert_size,
        .body = request->body,
        .size = request->body_size,
    };
    struct vt_lab_answer answer;
    vt__lab_answer(lab, &call, &answer);
    if (!answer.file)
        vt_http_reply(request, answer.status, answer.body.len ? answer.type : NULL,
                      answer.body.data, answer.body.len);
    else if (vt_http_reply_file(request, answer.file, answer.type, NULL))
        vt_http_reply(request, 404, NULL, NULL, 0);
    vt_buf_free(&answer.body);
}

static struct vt_http_server *listen_tls(struct vt_lab *lab, const char *listen,
                                         struct vt_error *err)
{
    struct vt_buf chain = VT_BUF_INIT, key = VT_BUF_INIT;
    struct vt_http_server *server = NULL;
    if (!vt_ca_server(lab->ca, (const char *const *)lab->names, &chain, &key, err)) {
        const struct vt_http_server_opts opts = {.listen = listen,
                                                 .cert_pem = chain.data,
                                                 .key_pem = key.data,
                                                 .client_cert = VT_HTTP_CERT_ASK,
                                                 .body_limit = VT_PROTOCOL_MAX,
                                                 .max_connections = CONNECTIONS_MAX,
                                                 .handle = handle,
                                                 .user = lab};
        server = vt_http_server_new(lab->mdm.loop, &opts, err);
    }
    if (key.data)
        OPENSSL_cleanse(key.data, key.len);
    vt_buf_free(&chain);
    vt_buf_free(&key);
    return server;
}

enum vt_code vt__lab_listen(struct vt_lab *lab, const char *listen, bool control,
                            struct vt_error *err)
{
    struct vt_lab_listener *l = lab->listener = vt_calloc(1, sizeof *l);
    l->devices = listen_tls(lab, listen, err);
    if (!l->devices)
        return VT_EIO;
    lab->port = (int)vt_http_server_port(l->devices);
    return control ? vt_control_open(lab, &l->control, err) : VT_OK;
}

void vt__lab_unlisten(struct vt_lab *lab)
{
    if (!lab->listener)
        return;
    vt_control_close(lab->listener->control);
    vt_http_server_close(lab->listener->devices);
    vt_free(lab->listener);
    lab->listener = NULL;
}
