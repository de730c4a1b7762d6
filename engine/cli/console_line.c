#include "cli/console_line.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/socket.h"

#define OP "vm.console"

static enum vt_code check_free(const struct vt_named *named, struct vt_error *err)
{
    if (!vt_named_pid(named)) {
        vt_fail(err, VT_ESTATE, OP, "VM %s does not run", named->name);
        vt_hint(err, "`vmtest vm start %s` starts it", named->name);
        return VT_ESTATE;
    }
    if (!vt_named_in_run(named))
        return VT_OK;
    vt_fail(err, VT_EBUSY, OP, "the console of VM %s is in use by the run %s", named->name,
            named->run);
    vt_hint(err, "what it says is in %s", named->console_log ? named->console_log : "the log");
    return VT_EBUSY;
}

static enum vt_code lock(const struct vt_named *named, int *fd, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    char *path = vt_path_join(named->state_dir, "console.lock");
    if (vt_lock_file(path, fd, &own) == VT_EBUSY) {
        long pid = 0;
        vt_lock_held(path, &pid);
        own = (struct vt_error)VT_ERROR_INIT;
        vt_fail(&own, VT_EBUSY, OP, "process %ld has the console of VM %s", pid, named->name);
    }
    vt_free(path);
    return vt_error_copy(err, &own);
}

/* At once or not at all: commands that came and went while the socket was in use may wait there. */
static enum vt_code connect_to(const struct vt_named *named, const char *file, int *fd,
                               struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    char *path = vt_path_join(named->state_dir, file);
    *fd = vt_socket_connect(path, OP, &own);
    if (*fd >= 0)
        fcntl(*fd, F_SETFL, 0); /* keys wait for the guest to read them */
    vt_free(path);
    return vt_error_copy(err, &own);
}

static enum vt_code open_log(const struct vt_named *named, struct vt_console_line *line,
                             struct vt_error *err)
{
    char *path = vt_path_join(named->state_dir, "console.log");
    enum vt_code code = VT_OK;
    line->log = open(path, O_RDONLY | O_CLOEXEC);
    if (line->log < 0 || lseek(line->log, 0, SEEK_END) < 0)
        code = vt_fail_sys(err, errno, OP, "cannot read %s", path);
    vt_free(path);
    return code ? code : connect_to(named, "console.log.in", &line->socket, err);
}

enum vt_code vt_console_line_open(const struct vt_named *named, struct vt_console_line *line,
                                  struct vt_error *err)
{
    *line = (struct vt_console_line){.socket = -1, .log = -1, .lock = -1};
    enum vt_code code = check_free(named, err);
    if (!code)
        code = lock(named, &line->lock, err);
    if (code)
        return code;
    char *socket = vt_path_join(named->state_dir, "console");
    bool both_ways = access(socket, F_OK) == 0;
    vt_free(socket);
    return both_ways ? connect_to(named, "console", &line->socket, err)
                     : open_log(named, line, err);
}

void vt_console_line_close(struct vt_console_line *line)
{
    if (line->socket >= 0)
        close(line->socket);
    if (line->log >= 0)
        close(line->log);
    if (line->lock >= 0)
        close(line->lock);
    line->socket = line->log = line->lock = -1;
}

ssize_t vt_console_line_read(struct vt_console_line *line, bool readable, char *data, size_t size,
                             bool *ended)
{
    ssize_t n = 0;
    if (readable) {
        n = read(line->socket, data, size);
        *ended = n == 0 || (n < 0 && errno != EINTR);
    }
    if (line->log >= 0) /* nothing is ever said by the socket beside it */
        n = read(line->log, data, size);
    return n > 0 ? n : 0;
}
