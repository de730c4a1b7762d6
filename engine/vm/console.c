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
    c->total += n;
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

uint64_t vt_vm_console_size(const struct vt_vm *vm)
{
    return vm->console.total;
}

void vt_vm_console_read(const struct vt_vm *vm, uint64_t *offset, char **out, size_t *n)
{
    const struct console *c = &vm->console;
    size_t kept = c->text.len < CONSOLE_KEPT ? c->text.len : CONSOLE_KEPT;
    uint64_t missed = *offset < c->total ? c->total - *offset : 0;
    *n = missed < kept ? (size_t)missed : kept;
    struct vt_buf copy = VT_BUF_INIT;
    vt_buf_add(&copy, vt_buf_str(&c->text) + (c->text.len - *n), *n);
    *out = vt_buf_steal(&copy);
    *offset = c->total;
}

/* --- waiting for more of it --- */

struct wait_op {
    struct vm_op base;
    uint64_t offset;
};

static void wait_abort(struct vt_op *op, struct vt_error *why)
{
    const struct vm_op *self = (struct vm_op *)(void *)op;
    vt_error_append(why, " (the console of VM %s said no more)", self->vm->config.name);
}

static const struct vt_op_class wait_class = {
    .name = "vm.console", .abort = wait_abort, .free = vt__vm_op_detach};

static void wait_console(struct vm_op *self)
{
    if (self->vm->console.total > ((struct wait_op *)(void *)self)->offset)
        vt_op_succeed(&self->op, NULL);
}

static void wait_ended(struct vm_op *self)
{
    vt_op_fail(&self->op, &self->vm->end);
}

struct vt_op *vt_vm_console_wait(struct vt_vm *vm, uint64_t offset, double timeout, vt_op_fn done,
                                 void *user, struct vt_error *err)
{
    bool there = vm->console.total > offset;
    unsigned alive =
        1u << VT_VM_STARTING | 1u << VT_VM_RUNNING | 1u << VT_VM_PAUSED | 1u << VT_VM_STOPPING;
    if (!vt_vm_supports(vm, VT_CAP_CONSOLE, err))
        return NULL;
    if (!(timeout > 0)) {
        vt_fail(err, VT_EINVAL, wait_class.name, "a wait needs a time-out above 0");
        return NULL;
    }
    if (!there && vt__vm_need_state(vm, alive, wait_class.name, err))
        return NULL;
    struct vm_op *self =
        vt__vm_op_new(vm, sizeof(struct wait_op), &wait_class, timeout, done, user);
    ((struct wait_op *)(void *)self)->offset = offset;
    self->ended = wait_ended;
    self->console = wait_console;
    wait_console(self);
    return &self->op;
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
