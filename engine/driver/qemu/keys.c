/* Keys pressed, one event at a time. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/instance.h"
#include "driver/qemu/screen.h"

#define OP "vm.send_keys"
#define LOOK_S 0.002 /* between two looks whether the guest has taken the key */
#define USB_S 0.025  /* a USB keyboard is polled every 10 ms */

const char *const vt_qemu_keys[] = {"unmapped",
                                    "shift",
                                    "shift_r",
                                    "alt",
                                    "alt_r",
                                    "ctrl",
                                    "ctrl_r",
                                    "menu",
                                    "esc",
                                    "1",
                                    "2",
                                    "3",
                                    "4",
                                    "5",
                                    "6",
                                    "7",
                                    "8",
                                    "9",
                                    "0",
                                    "minus",
                                    "equal",
                                    "backspace",
                                    "tab",
                                    "q",
                                    "w",
                                    "e",
                                    "r",
                                    "t",
                                    "y",
                                    "u",
                                    "i",
                                    "o",
                                    "p",
                                    "bracket_left",
                                    "bracket_right",
                                    "ret",
                                    "a",
                                    "s",
                                    "d",
                                    "f",
                                    "g",
                                    "h",
                                    "j",
                                    "k",
                                    "l",
                                    "semicolon",
                                    "apostrophe",
                                    "grave_accent",
                                    "backslash",
                                    "z",
                                    "x",
                                    "c",
                                    "v",
                                    "b",
                                    "n",
                                    "m",
                                    "comma",
                                    "dot",
                                    "slash",
                                    "asterisk",
                                    "spc",
                                    "caps_lock",
                                    "f1",
                                    "f2",
                                    "f3",
                                    "f4",
                                    "f5",
                                    "f6",
                                    "f7",
                                    "f8",
                                    "f9",
                                    "f10",
                                    "num_lock",
                                    "scroll_lock",
                                    "kp_divide",
                                    "kp_multiply",
                                    "kp_subtract",
                                    "kp_add",
                                    "kp_enter",
                                    "kp_decimal",
                                    "sysrq",
                                    "kp_0",
                                    "kp_1",
                                    "kp_2",
                                    "kp_3",
                                    "kp_4",
                                    "kp_5",
                                    "kp_6",
                                    "kp_7",
                                    "kp_8",
                                    "kp_9",
                                    "less",
                                    "f11",
                                    "f12",
                                    "print",
                                    "home",
                                    "pgup",
                                    "pgdn",
                                    "end",
                                    "left",
                                    "up",
                                    "down",
                                    "right",
                                    "insert",
                                    "delete",
                                    "stop",
                                    "again",
                                    "props",
                                    "undo",
                                    "front",
                                    "copy",
                                    "open",
                                    "paste",
                                    "find",
                                    "cut",
                                    "lf",
                                    "help",
                                    "meta_l",
                                    "meta_r",
                                    "compose",
                                    "pause",
                                    "ro",
                                    "hiragana",
                                    "henkan",
                                    "yen",
                                    "muhenkan",
                                    "katakanahiragana",
                                    "kp_comma",
                                    "kp_equals",
                                    "power",
                                    "sleep",
                                    "wake",
                                    "audionext",
                                    "audioprev",
                                    "audiostop",
                                    "audioplay",
                                    "audiomute",
                                    "volumeup",
                                    "volumedown",
                                    "mediaselect",
                                    "mail",
                                    "calculator",
                                    "computer",
                                    "ac_home",
                                    "ac_back",
                                    "ac_forward",
                                    "ac_refresh",
                                    "ac_bookmarks",
                                    "lang1",
                                    "lang2",
                                    NULL};
#define KEYS (sizeof vt_qemu_keys / sizeof *vt_qemu_keys - 1)

static enum vt_code unknown(const char *name, const char *chord, struct vt_error *err)
{
    enum vt_code code =
        vt_fail(err, VT_EINVAL, OP, "there is no key \"%.40s\" (in \"%.80s\")", name, chord);
    const char *near = vt_nearest(name, vt_qemu_keys, KEYS);
    if (near)
        vt_hint(err, "did you mean \"%s\"?", near);
    else
        vt_hint(err, "keys have the names of QEMU's QKeyCode: \"a\", \"ret\", \"ctrl\", \"f1\"");
    return code;
}

enum vt_code vt_qemu_chord(const char *chord, const char *keys[VT_CHORD_MAX], size_t *count,
                           struct vt_error *err)
{
    *count = 0;
    for (const char *at = chord;; at++) {
        size_t n = strcspn(at, "-"), i = 0;
        while (i < KEYS && (strlen(vt_qemu_keys[i]) != n || strncmp(vt_qemu_keys[i], at, n) != 0))
            i++;
        if (i == KEYS) {
            char *name = vt_strndup(at, n);
            enum vt_code code = unknown(name, chord, err);
            vt_free(name);
            return code;
        }
        if (*count == VT_CHORD_MAX)
            return vt_fail(err, VT_EINVAL, OP, "\"%.80s\" holds more than %d keys", chord,
                           VT_CHORD_MAX);
        keys[(*count)++] = vt_qemu_keys[i];
        at += n;
        if (!*at)
            return VT_OK;
    }
}

struct event {
    const char *key;
    bool down;
};

struct vt_qemu_keys {
    struct vt_qemu *q;
    struct vt_op *op;
    struct event *events;
    size_t count, sent;
    struct vt_timer timer;
};

static void press(struct vt_qemu_keys *k, const struct event *e, vt_monitor_reply_fn fn)
{
    vt_monitor_request(k->q->qmp, "input-send-event",
                       json_pack("{s:[{s:s, s:{s:b, s:{s:s, s:s}}}]}", "events", "type", "key",
                                 "data", "down", e->down, "key", "type", "qcode", "data", e->key),
                       fn, k);
}

static void free_keys(struct vt_qemu_keys *k)
{
    k->q->keys = NULL;
    if (k->q->qmp)
        vt_monitor_forget(k->q->qmp, k);
    vt_timer_clear(&k->timer);
    vt_free(k->events);
    vt_free(k);
}

static void finish(struct vt_qemu_keys *k, const struct vt_error *why)
{
    struct vt_op *op = k->op;
    free_keys(k);
    if (why)
        vt_op_fail(op, why);
    else
        vt_op_succeed(op, NULL);
}

static void on_pressed(const json_t *result, const struct vt_error *why, void *user);
static void look(struct vt_qemu_keys *k);

static void press_next(struct vt_qemu_keys *k)
{
    if (k->sent == k->count)
        finish(k, NULL);
    else
        press(k, &k->events[k->sent], on_pressed);
}

static void on_look_again(struct vt_timer *timer)
{
    look(timer->user);
}

static void on_polled(struct vt_timer *timer)
{
    press_next(timer->user);
}

/* "portb[0x0064] = 0x1d": bit 0 is set as long as a byte waits for the guest. Reading the status
 * of the keyboard's controller changes nothing. */
static void on_status(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu_keys *k = user;
    const char *text = json_string_value(result), *value = text ? strchr(text, '=') : NULL;
    struct vt_error own = VT_ERROR_INIT;
    if (why)
        own = *why;
    else if (!value)
        vt_fail(&own, VT_EPROTO, OP, "QEMU does not tell the state of the keyboard: %.100s",
                text ? text : "no text");
    if (own.code || !value)
        finish(k, &own);
    else if (strtoul(value + 1, NULL, 16) & 1)
        vt_timer_set(&k->timer, k->q->loop, LOOK_S, on_look_again, k);
    else
        press_next(k);
}

static void look(struct vt_qemu_keys *k)
{
    vt_monitor_request(k->q->qmp, "human-monitor-command",
                       json_pack("{s:s}", "command-line", "i/b 0x64"), on_status, k);
}

static void on_pressed(const json_t *result, const struct vt_error *why, void *user)
{
    struct vt_qemu_keys *k = user;
    (void)result;
    if (why) {
        finish(k, why);
        return;
    }
    k->sent++;
    if (vt_qemu_arch(k->q->config->image->arch)->keyboard)
        vt_timer_set(&k->timer, k->q->loop, USB_S, on_polled, k);
    else
        look(k);
}

/* Down in order, up the other way round. */
static enum vt_code add_chord(struct vt_qemu_keys *k, const char *chord, struct vt_error *err)
{
    const char *keys[VT_CHORD_MAX];
    size_t n;
    enum vt_code code = vt_qemu_chord(chord, keys, &n, err);
    if (code)
        return code;
    for (size_t i = 0; i < n; i++)
        k->events[k->count++] = (struct event){.key = keys[i], .down = true};
    while (n)
        k->events[k->count++] = (struct event){.key = keys[--n]};
    return VT_OK;
}

void vt_qemu_send_keys(void *instance, const char *const *chords, struct vt_op *op)
{
    struct vt_qemu *q = instance;
    struct vt_error why = VT_ERROR_INIT;
    size_t n = 0;
    while (chords[n])
        n++;
    if (!q->qmp)
        vt_fail(&why, VT_ESTATE, OP, "VM %s does not run", q->config->name);
    else if (q->keys)
        vt_fail(&why, VT_EBUSY, OP, "VM %s: other keys are being pressed", q->config->name);
    if (why.code) {
        vt_op_fail(op, &why);
        return;
    }
    struct vt_qemu_keys *k = vt_calloc(1, sizeof *k);
    q->keys = k;
    k->q = q;
    k->op = op;
    k->events = vt_calloc(n * 2 * VT_CHORD_MAX, sizeof *k->events);
    for (size_t i = 0; i < n && !why.code; i++)
        add_chord(k, chords[i], &why);
    if (why.code)
        finish(k, &why);
    else
        press_next(k);
}

void vt_qemu_keys_forget(struct vt_qemu *q, const struct vt_op *op)
{
    struct vt_qemu_keys *k = q->keys;
    if (!k || (op && k->op != op))
        return;
    /* an event on its way counts; a chord ends with as many up as it began with down */
    size_t sent = k->sent + (k->sent < k->count), held = 0;
    for (size_t i = 0; i < sent; i++)
        held = k->events[i].down ? held + 1 : held - 1;
    for (size_t i = sent; q->qmp && held; i++) {
        if (k->events[i].down)
            continue;
        size_t pressed = sent;
        while (pressed && k->events[pressed - 1].key != k->events[i].key)
            pressed--;
        if (pressed && k->events[pressed - 1].down) {
            press(k, &k->events[i], NULL);
            held--;
        }
    }
    free_keys(k);
}
