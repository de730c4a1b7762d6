/* The session with a monitor on whatever a peer sends, in two pieces, with requests under way. The
 * first byte says in whose dialect, where it is cut, and whether a greeting has come before. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "driver/qemu/instance.h"
#include "driver/qemu/qmp.h"
#include "driver/vz/client.h"

struct peer {
    const struct vt_monitor_dialect *dialect;
    const char *greeting;
    int greeted, broken, replies;
};

static void on_write(const char *data, size_t n, void *user)
{
    (void)user;
    if (!n || data[n - 1] != '\n')
        __builtin_trap();
}

static void on_greeted(const json_t *greeting, void *user)
{
    struct peer *p = user;
    if (p->greeted++ || p->broken)
        __builtin_trap();
    if (p->dialect == &vt_qmp)
        vt_free(vt_qmp_version(greeting));
}

static void on_event(const char *name, const json_t *event, void *user)
{
    const struct peer *p = user;
    if (!name || !json_is_object(event) || !p->greeted || p->broken)
        __builtin_trap();
}

static void on_broken(const struct vt_error *why, void *user)
{
    struct peer *p = user;
    if (why->code != VT_EPROTO || p->broken++ || p->replies != 2)
        __builtin_trap();
}

static void on_reply(const json_t *result, const struct vt_error *why, void *user)
{
    struct peer *p = user;
    if (!result == !why || ++p->replies > 2)
        __builtin_trap();
    struct vt_forward forwards[] = {{0, 22}, {0, 80}};
    if (json_is_string(result))
        vt_qemu_forwards_parse(json_string_value(result), forwards, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct peer peers[] = {
        {.dialect = &vt_qmp, .greeting = "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}}}\n"},
        {.dialect = &vt_vz_client, .greeting = "{\"event\": \"hello\", \"protocol\": 1}\n"},
    };
    if (!size)
        return 0;
    const uint8_t how = *data++;
    size--;
    struct peer peer = peers[how >> 1 & 1];
    size_t cut = size ? how % size : 0;
    const struct vt_monitor_handler handler = {.write = on_write,
                                               .greeted = on_greeted,
                                               .event = on_event,
                                               .broken = on_broken,
                                               .user = &peer};
    struct vt_monitor *monitor = vt_monitor_new(peer.dialect, &handler);
    if (how & 1)
        vt_monitor_feed(monitor, peer.greeting, strlen(peer.greeting));
    vt_monitor_request(monitor, "one", NULL, on_reply, &peer);
    vt_monitor_request(monitor, "two", json_pack("{s:i}", "n", 1), on_reply, &peer);
    vt_monitor_feed(monitor, (const char *)data, cut);
    vt_monitor_feed(monitor, (const char *)data + cut, size - cut);
    vt_monitor_free(monitor);
    return 0;
}
