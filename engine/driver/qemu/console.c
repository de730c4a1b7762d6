/* The serial console: a socket that listens, so that it can be had after this process, too. */
#include "driver/qemu/instance.h"

#include "driver/qemu/argv.h"

#define UNREAD_MAX ((size_t)256 << 10)

void vt_qemu_argv_console(struct vt_args *args, const struct vt_qemu_machine *m)
{
    struct vt_buf console = VT_BUF_INIT;
    vt_buf_printf(&console, "socket,id=console,fd=%d,server=on,wait=off", VT_QEMU_FD_CONSOLE);
    if (m->config->console_log) {
        vt_buf_puts(&console, ",logappend=on,logfile=");
        vt_qemu_escape(&console, m->config->console_log);
    }
    vt_qemu_option(args, "-chardev", vt_buf_str(&console));
    vt_buf_free(&console);
    vt_qemu_option(args, "-serial", "chardev:console");
}

enum vt_code vt_qemu_console_write(void *instance, const void *data, size_t n, struct vt_error *err)
{
    struct vt_qemu *q = instance;
    if (!q->process)
        return vt_fail(err, VT_ESTATE, "vm.console", "VM %s does not run", q->config->name);
    if (n > UNREAD_MAX || vt_qemu_process_unread(q->process) > UNREAD_MAX - n)
        return vt_fail(err, VT_EBUSY, "vm.console",
                       "VM %s does not read its console: %zu bytes wait there already",
                       q->config->name, vt_qemu_process_unread(q->process));
    vt_qemu_process_write_console(q->process, data, n);
    return VT_OK;
}
