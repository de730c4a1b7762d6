#include "vz/request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "vz/take.h"

enum { PASSWORD_MAX = 1024 };
#define ID_MAX (UINT64_C(1) << 53)

static const char *const names[VTZ_OPS_] = {[VTZ_OP_HOST] = "host",
                                            [VTZ_OP_RESTORE_IMAGE] = "restore_image",
                                            [VTZ_OP_CREATE] = "create",
                                            [VTZ_OP_VALIDATE_SAVE] = "validate_save",
                                            [VTZ_OP_START] = "start",
                                            [VTZ_OP_REQUEST_STOP] = "request_stop",
                                            [VTZ_OP_STOP] = "stop",
                                            [VTZ_OP_PAUSE] = "pause",
                                            [VTZ_OP_RESUME] = "resume",
                                            [VTZ_OP_SAVE] = "save",
                                            [VTZ_OP_RESTORE] = "restore",
                                            [VTZ_OP_INSTALL] = "install",
                                            [VTZ_OP_CANCEL] = "cancel",
                                            [VTZ_OP_ATTACH_USB] = "attach_usb",
                                            [VTZ_OP_DETACH_USB] = "detach_usb",
                                            [VTZ_OP_STATE] = "state",
                                            [VTZ_OP_QUIT] = "quit",
                                            [VTZ_OP_CONNECT] = "connect"};

const char *vtz_op_name(enum vtz_op op)
{
    return names[op];
}

static void wipe(const char *text)
{
    union {
        const char *from;
        volatile char *to;
    } at = {.from = text};
    while (at.to && *at.to)
        *at.to++ = '\0';
}

/* The first line of a regular file that its owner alone may read. */
static char *read_password(const char *path, struct vtz_failure *failure)
{
    char text[PASSWORD_MAX + 1], *password = NULL;
    struct stat st;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n;
    if (fd < 0) {
        vtz_fail(failure, VTZ_FILE, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (st.st_mode & 077) || st.st_size > PASSWORD_MAX)
        vtz_fail(failure, VTZ_FILE,
                 "%s: has to be a small file that its owner alone may read (mode 0600)", path);
    else if ((n = read(fd, text, PASSWORD_MAX)) < 0)
        vtz_fail(failure, VTZ_FILE, "%s: %s", path, strerror(errno));
    else {
        text[n] = '\0';
        text[strcspn(text, "\r\n")] = '\0';
        password = vt_strdup(text);
        if (!*password)
            vtz_fail(failure, VTZ_FILE, "%s: there is no password in it", path);
        wipe(text);
    }
    close(fd);
    return password;
}

static void read_provisioning(struct vtz_request *r, json_t *value, struct vtz_failure *failure)
{
    struct vtz_provisioning *p = &r->provisioning;
    struct vtz_take take;
    vtz_take_begin(&take, value, failure, "provisioning");
    p->user = vtz_take_text(&take, "user", VTZ_REQUIRED);
    p->full_name = vtz_take_text(&take, "full_name", VTZ_OPTIONAL);
    const char *file = vtz_take_path(&take, "password_file", VTZ_REQUIRED);
    p->auto_login = vtz_take_required_bool(&take, "auto_login");
    p->remote_login = vtz_take_required_bool(&take, "remote_login");
    vtz_take_end(&take);
    if (!failure->message)
        p->password = read_password(file, failure);
    r->call.provisioning = p;
}

static void read_members(struct vtz_request *r, struct vtz_take *take, struct vtz_failure *failure)
{
    struct vtz_call *call = &r->call;
    json_t *value;
    switch (call->op) {
    case VTZ_OP_RESTORE_IMAGE:
        call->path = vtz_take_path(take, "path", VTZ_OPTIONAL);
        break;
    case VTZ_OP_SAVE:
    case VTZ_OP_RESTORE:
    case VTZ_OP_INSTALL:
        call->path = vtz_take_path(take, "path", VTZ_REQUIRED);
        break;
    case VTZ_OP_CREATE:
        if ((value = vtz_take_value(take, "config", VTZ_REQUIRED)))
            call->config = r->config = vtz_config_read(value, failure);
        break;
    case VTZ_OP_START:
        call->recovery = vtz_take_bool(take, "recovery", false);
        if ((value = vtz_take_value(take, "provisioning", VTZ_OPTIONAL)))
            read_provisioning(r, value, failure);
        break;
    case VTZ_OP_ATTACH_USB:
        call->path = vtz_take_path(take, "path", VTZ_REQUIRED);
        call->read_only = vtz_take_required_bool(take, "read_only");
        call->name = vtz_take_text(take, "name", VTZ_REQUIRED);
        break;
    case VTZ_OP_DETACH_USB:
        call->name = vtz_take_text(take, "name", VTZ_REQUIRED);
        break;
    default:
        break;
    }
}

int vtz_request_read(struct vtz_request *r, const char *line, size_t n, struct vtz_failure *failure)
{
    struct vtz_take take;
    json_error_t error;
    *r = (struct vtz_request){.has_id = false};
    r->json = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
    if (!r->json) {
        vtz_fail(failure, VTZ_BAD_REQUEST, "this line is no JSON: %s", error.text);
        return -1;
    }
    vtz_take_begin(&take, r->json, failure, "%s", "");
    r->id = (int64_t)vtz_take_uint(&take, "id", 0, ID_MAX);
    r->has_id = !failure->message;
    r->call.op = (enum vtz_op)vtz_take_word(&take, "op", names, VTZ_OP_CONNECT, -1);
    if (!failure->message) {
        read_members(r, &take, failure);
        vtz_take_end(&take);
    }
    return failure->message ? -1 : 0;
}

void vtz_request_clear(struct vtz_request *r)
{
    wipe(r->provisioning.password);
    vt_free_const(r->provisioning.password);
    vtz_config_free(r->config);
    json_decref(r->json);
    *r = (struct vtz_request){.has_id = false};
}
