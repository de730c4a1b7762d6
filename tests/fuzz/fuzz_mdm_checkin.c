/* What an enrolled device may send: check-ins, and reports of the command loop. */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/sys.h"
#include "mdm/protocol.h"

static struct vt_store *store;
static unsigned runs;
static bool other; /* it said that it is another device, which is refused with 500, too */

static void send(struct vt_protocol *p, const void *body, size_t n)
{
    struct vt_protocol_reply reply;
    const struct vt_protocol_request request = {.body = body, .size = n, .fingerprint = "c1"};
    other = false;
    vt_protocol_handle(p, &request, &reply);
    if (reply.status != 200 && reply.body.len)
        abort(); /* a refusal says nothing */
    if (reply.status == 500 && !other)
        abort(); /* the database is not a device's to break */
    vt_buf_free(&reply.body);
}

static void drop(json_t *event, void *user)
{
    (void)user;
    if (!json_object_get(event, "type") || !json_object_get(event, "time"))
        abort();
    other |= strstr(vt_json_str(event, "reason", ""), "its certificate is that of") != NULL;
    json_decref(event);
}

static void begin(struct vt_protocol *p)
{
    static const char start[] =
        "<plist><dict><key>UDID</key><string>D</string><key>MessageType</key>"
        "<string>Authenticate</string><key>Topic</key><string>t</string></dict></plist>";
    static const char token[] =
        "<plist><dict><key>UDID</key><string>D</string><key>MessageType</key>"
        "<string>TokenUpdate</string><key>Topic</key><string>t</string><key>Token</key>"
        "<data>AA==</data><key>PushMagic</key><string>m</string></dict></plist>";
    const struct vt_enrollment_row row = {.id = "e", .topic = "t", .expires = vt_wall() + 1e6};
    json_t *command = json_pack("{s:s}", "RequestType", "ProfileList");
    if (vt_store_open(NULL, &store, NULL) || vt_store_add_enrollment(store, &row, NULL) ||
        vt_store_add_cert(store, "c1", "e", vt_wall() + 1e6, NULL))
        abort();
    p->store = store;
    send(p, start, sizeof start - 1);
    send(p, token, sizeof token - 1);
    if (vt_protocol_enqueue(store, "D", "u1", command, NULL) ||
        vt_protocol_enqueue(store, "D", "u2", command, NULL))
        abort();
    json_decref(command);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct vt_protocol p = {.store = store, .event = drop};
    if (runs++ % 1000 == 0) { /* what is remembered is to stay small */
        vt_store_close(store);
        begin(&p);
    }
    send(&p, data, n);
    return 0;
}
