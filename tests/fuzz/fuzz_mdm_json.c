/* JSON from devices and users: status reports, declarations, commands. */
#include <stdlib.h>
#include <string.h>

#include "core/sys.h"
#include "mdm/convert.h"
#include "mdm/protocol.h"

static struct vt_store *store;

static void drop(json_t *event, void *user)
{
    (void)user;
    json_decref(event);
}

static void send(plist_t body)
{
    struct vt_protocol p = {.store = store, .event = drop};
    struct vt_protocol_reply reply;
    struct vt_buf bytes = VT_BUF_INIT;
    vt_plist_set_str(body, "UDID", "D");
    vt_plist_set_str(body, "Topic", "t");
    if (vt_plist_write(body, VT_PLIST_BINARY, &bytes, NULL))
        abort();
    const struct vt_protocol_request request = {
        .body = bytes.data, .size = bytes.len, .fingerprint = "c1"};
    vt_protocol_handle(&p, &request, &reply);
    if (reply.status == 500)
        abort();
    vt_buf_free(&reply.body);
    vt_buf_free(&bytes);
    plist_free(body);
}

static plist_t message(const char *type)
{
    plist_t body = plist_new_dict();
    vt_plist_set_str(body, "MessageType", type);
    return body;
}

static void begin(void)
{
    const struct vt_enrollment_row row = {.id = "e", .topic = "t", .expires = vt_wall() + 1e6};
    if (vt_store_open(NULL, &store, NULL) || vt_store_add_enrollment(store, &row, NULL) ||
        vt_store_add_cert(store, "c1", "e", vt_wall() + 1e6, NULL))
        abort();
    send(message("Authenticate"));
    plist_t token = message("TokenUpdate");
    vt_plist_set_data(token, "Token", "t", 1);
    vt_plist_set_str(token, "PushMagic", "m");
    send(token);
}

/* What a list can hold comes back as it was. */
static void round_trip(const json_t *value)
{
    plist_t list;
    if (vt_plist_from_json(value, "input", &list, NULL))
        return;
    json_t *back = vt_plist_to_json(list);
    if (!back)
        abort();
    json_decref(back);
    plist_free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static unsigned runs;
    if (runs++ % 1000 == 0) {
        vt_store_close(store);
        begin();
    }
    plist_t report = message("DeclarativeManagement");
    vt_plist_set_str(report, "Endpoint", "status");
    vt_plist_set_data(report, "Data", (const char *)data, n);
    send(report);
    json_t *value = json_loadb((const char *)data, n, JSON_ALLOW_NUL, NULL);
    if (value) {
        round_trip(value);
        vt_protocol_declare(store, "D", value, NULL);
        vt_protocol_enqueue(store, "D", "u", value, NULL);
        struct vt_buf text = VT_BUF_INIT;
        vt_error_chain_text(value, &text);
        vt_buf_free(&text);
    }
    json_decref(value);
    plist_t items = message("DeclarativeManagement");
    vt_plist_set_str(items, "Endpoint", "declaration-items");
    send(items);
    return 0;
}
