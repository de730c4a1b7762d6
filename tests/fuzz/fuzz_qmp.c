/* The QMP session on whatever a peer sends, in two pieces, with commands under way. */
#include <stddef.h>
#include <stdint.h>

#include "driver/qemu/instance.h"
#include "driver/qemu/qmp.h"

static void on_write(const char *data, size_t n, void *user)
{
    (void)data;
    *(size_t *)user += n;
}

static void on_event(const char *name, const json_t *data, void *user)
{
    (void)user;
    if (!name || !json_is_object(data))
        __builtin_trap();
}

static void on_broken(const struct vt_error *why, void *user)
{
    (void)user;
    if (why->code != VT_EPROTO)
        __builtin_trap();
}

static void on_reply(const json_t *result, const struct vt_error *why, void *user)
{
    (void)user;
    if (!result == !why)
        __builtin_trap();
    struct vt_forward forwards[] = {{0, 22}, {0, 80}};
    if (json_is_string(result))
        vt_qemu_forwards_parse(json_string_value(result), forwards, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char greeting[] =
        "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": []}}\n";
    size_t written = 0, cut = size ? data[0] % size : 0;
    const struct vt_qmp_handler handler = {
        .write = on_write, .event = on_event, .broken = on_broken, .user = &written};
    struct vt_qmp *qmp = vt_qmp_new(&handler);
    if (size && data[0] & 1)
        vt_qmp_feed(qmp, greeting, sizeof greeting - 1);
    vt_qmp_command(qmp, "one", NULL, on_reply, &written);
    vt_qmp_command(qmp, "two", NULL, on_reply, &written);
    vt_qmp_feed(qmp, (const char *)data, cut);
    vt_qmp_feed(qmp, (const char *)data + cut, size - cut);
    vt_qmp_free(qmp);
    return 0;
}
