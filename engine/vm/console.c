#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "vm/internal.h"

static void trim(struct console *c)
{
    if (c->text.len <= 2 * CONSOLE_KEPT)
        return;
    size_t drop = c->text.len - CONSOLE_KEPT;
    vt_buf_consume(&c->text, drop);
    c->searched = c->searched > drop ? c->searched - drop : 0;
}

void vt__console_add(struct console *c, const char *data, size_t n)
{
    if (n > CONSOLE_KEPT) {
        data += n - CONSOLE_KEPT;
        n = CONSOLE_KEPT;
    }
    vt_buf_add(&c->text, data, n);
    trim(c);
}

/* True, once, when `needle` has appeared since the last restart. */
bool vt__console_search(struct console *c, const char *needle)
{
    size_t n = strlen(needle);
    if (c->ready || !n || c->text.len < n)
        return false;
    size_t from = c->searched;
    if (memmem(c->text.data + from, c->text.len - from, needle, n))
        c->ready = true;
    c->searched = c->text.len - (n - 1);
    return c->ready;
}

void vt__console_restart(struct console *c)
{
    c->ready = false;
    c->searched = c->text.len;
}

void vt_vm_console_tail(const struct vt_vm *vm, size_t limit, char **out)
{
    const struct vt_buf *text = &vm->console.text;
    size_t n = text->len < limit ? text->len : limit;
    struct vt_buf clean = VT_BUF_INIT;
    vt_utf8_append(&clean, vt_buf_str(text) + (text->len - n), n);
    *out = vt_buf_steal(&clean);
}

#define ERROR_LINES 8

void vt__vm_add_console(const struct vt_vm *vm, struct vt_error *why)
{
    char *tail;
    vt_vm_console_tail(vm, 700, &tail);
    size_t len = strlen(tail);
    while (len && strchr("\r\n ", tail[len - 1]))
        tail[--len] = '\0';
    const char *from = tail + len;
    for (int lines = 0; from > tail; from--)
        if (from[-1] == '\n' && ++lines == ERROR_LINES)
            break;
    struct vt_buf text = VT_BUF_INIT;
    for (; *from; from++)
        if (*from != '\r')
            vt_buf_putc(&text, *from);
    if (text.len)
        vt_error_append(why, "\nthe last lines of its console:\n%s", text.data);
    else
        vt_error_append(why, "; its console said nothing");
    vt_buf_free(&text);
    vt_free(tail);
}
