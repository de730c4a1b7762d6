#include "cli/spec.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/text.h"

#define OP "vm.create"
#define WORD_MAX_ 4096
#define KEY_MAX 64

static bool is_flag(const char *key, const char *const *flags)
{
    for (; *flags; flags++)
        if (!strcmp(key, *flags))
            return true;
    return false;
}

/* Takes the next word, its doubled commas made single; where the text goes on. */
static const char *next_word(const char *text, struct vt_buf *word)
{
    vt_buf_clear(word);
    for (; *text; text++) {
        if (*text == ',' && text[1] != ',')
            return text + 1;
        if (*text == ',')
            text++;
        vt_buf_putc(word, *text);
    }
    return NULL;
}

static enum vt_code read_flag(const char *key, const char *value, json_t **out,
                              struct vt_error *err)
{
    static const char *const yes[] = {"yes", "true", "on"}, *const no[] = {"no", "false", "off"};
    for (size_t i = 0; value && i < sizeof yes / sizeof *yes; i++) {
        if (!strcmp(value, yes[i]) || !strcmp(value, no[i])) {
            *out = json_boolean(!strcmp(value, yes[i]));
            return VT_OK;
        }
    }
    if (value)
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" is yes or no, not \"%.100s\"", key, value);
    *out = json_true();
    return VT_OK;
}

static enum vt_code add_word(json_t *object, char *word, const char *const *flags,
                             struct vt_error *err)
{
    char *value = strchr(word, '=');
    if (value)
        *value++ = '\0';
    if (!*word || strlen(word) > KEY_MAX)
        return vt_fail(err, VT_EINVAL, OP, "each part is to be KEY=VALUE, with commas between");
    for (char *c = word; *c; c++)
        if (*c == '-')
            *c = '_';
    if (json_object_get(object, word))
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" is given twice", word);
    json_t *read = NULL;
    if (is_flag(word, flags)) {
        if (read_flag(word, value, &read, err))
            return VT_EINVAL;
    } else if (!value || !*value) {
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" has no value: write %s=VALUE", word, word);
    } else {
        read = json_string(value);
    }
    if (!read || json_object_set_new(object, word, read))
        return vt_fail(err, VT_EINVAL, OP, "\"%s\" is not valid UTF-8",
                       value ? "a value" : "a key");
    return VT_OK;
}

enum vt_code vt_spec_parse(const char *text, const char *const *flags, json_t **out,
                           struct vt_error *err)
{
    struct vt_buf word = VT_BUF_INIT;
    json_t *object = json_object();
    enum vt_code code = VT_OK;
    for (const char *at = text; at && !code;) {
        at = next_word(at, &word);
        if (word.len > WORD_MAX_)
            code = vt_fail(err, VT_ELIMIT, OP, "a value is longer than %d bytes", WORD_MAX_);
        else {
            vt_buf_putc(&word, '\0');
            code = add_word(object, word.data, flags, err);
        }
    }
    vt_buf_free(&word);
    if (code) {
        json_decref(object);
        object = NULL;
    }
    *out = object;
    return code;
}

/* A port, or -1. */
static int port(const char *text, size_t n)
{
    int value = 0;
    if (!n || n > 5)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value <= 65535 ? value : -1;
}

enum vt_code vt_spec_forward(const char *text, json_t **out, struct vt_error *err)
{
    const char *colon = strchr(text, ':'), *guest = colon ? colon + 1 : text;
    int h = colon ? port(text, (size_t)(colon - text)) : 0, g = port(guest, strlen(guest));
    *out = NULL;
    if (h < 0 || g < 1) {
        vt_fail(err, VT_EINVAL, OP, "\"%.60s\" is no pair of ports", text);
        vt_hint(err, "8080:80 leads from port 8080 of this host to port 80 of the guest; 80 alone "
                     "takes a free port of the host");
        return VT_EINVAL;
    }
    *out = h ? json_pack("{s:i, s:i}", "host", h, "guest", g) : json_pack("{s:i}", "guest", g);
    return VT_OK;
}
