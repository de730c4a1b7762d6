/* Attributes and folders by the guest's own commands: stat, chmod, mkdir, find. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "guest/qga_files.h"

enum { names_at_once = 64 };

bool vt__qga_read_stat(const char *text, size_t n, struct vt__sftp_attrs *attrs)
{
    char line[64], *end = NULL;
    if (n >= sizeof line || !n || !isxdigit((unsigned char)text[0]))
        return false;
    memcpy(line, text, n);
    line[n] = '\0';
    errno = 0;
    attrs->mode = (unsigned)strtoul(line, &end, 16);
    if (*end != ' ' || !isdigit((unsigned char)end[1]))
        return false;
    attrs->size = strtoull(end + 1, &end, 10);
    attrs->has_mode = attrs->has_size = true;
    return !errno && (*end == '\0' || *end == '\n');
}

static void put_attrs(struct vt_buf *b, const struct vt__sftp_attrs *attrs)
{
    vt__sftp_put_u32(b, 1 | 4); /* size and permissions are what follows */
    vt__sftp_put_u64(b, attrs->size);
    vt__sftp_put_u32(b, attrs->mode);
}

/* ---- running ---- */

static void on_ended(void *user, const struct vt__qga_result *result, const struct vt_error *why)
{
    struct vt__qga_files *f = user;
    f->run = NULL;
    if (why)
        vt__qga_files_lost(f, why);
    else if (result->status)
        vt__qga_answer_problem(f, vt_buf_str(&result->err));
    else
        f->judge(f, result);
}

/* Runs the script with up to two arguments. */
static void run(struct vt__qga_files *f, const char *script, const char *a, const char *b,
                void (*judge)(struct vt__qga_files *f, const struct vt__qga_result *result))
{
    const char *const argv[] = {"/bin/sh", "-c", script, "sh", a, b, NULL};
    json_t *probe = json_string(a);
    if (!probe) {
        vt__qga_answer_status(f, VT__SFTP_FAILURE, "a name that is not UTF-8");
        return;
    }
    json_decref(probe);
    f->judge = judge;
    f->run = vt__qga_run(f->member.conn, f->loop, argv, NULL, 0, on_ended, f);
}

static void judge_done(struct vt__qga_files *f, const struct vt__qga_result *result)
{
    (void)result;
    vt__qga_answer_status(f, VT__SFTP_OK, "");
}

static void judge_stat(struct vt__qga_files *f, const struct vt__qga_result *result)
{
    struct vt__sftp_attrs attrs;
    struct vt_buf fields = VT_BUF_INIT;
    if (vt__qga_read_stat(vt_buf_str(&result->out), result->out.len, &attrs)) {
        put_attrs(&fields, &attrs);
        vt__qga_answer(f, VT__SFTP_ATTRS, &fields);
    } else {
        vt__qga_answer_status(f, VT__SFTP_FAILURE, "the guest's stat is of an unknown kind");
    }
    vt_buf_free(&fields);
}

static void judge_folder(struct vt__qga_files *f, const struct vt__qga_result *result)
{
    struct vt__qga_handle *h = vt_calloc(1, sizeof *h);
    struct vt_buf fields = VT_BUF_INIT;
    h->folder = true;
    vt_buf_add(&h->names, result->out.data, result->out.len);
    h->id = ++f->last_handle;
    h->next = f->handles;
    f->handles = h;
    vt__sftp_put_u32(&fields, 4);
    vt__sftp_put_u32(&fields, h->id);
    vt__qga_answer(f, VT__SFTP_HANDLE, &fields);
    vt_buf_free(&fields);
}

/* ---- folders ---- */

/* "MODE SIZE\n./NAME\0": 1 with the entry taken, 0 at the end, -1 where it is none. */
static int next_entry(struct vt__qga_handle *h, const char **name, size_t *n,
                      struct vt__sftp_attrs *attrs)
{
    const char *at = vt_buf_str(&h->names) + h->told;
    size_t left = h->names.len - h->told;
    const char *end = left ? memchr(at, '\0', left) : NULL;
    const char *newline = end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    if (!left)
        return 0;
    if (!newline || end - newline < 4 || memcmp(newline + 1, "./", 2) != 0 ||
        !vt__qga_read_stat(at, (size_t)(newline - at), attrs))
        return -1;
    *name = newline + 3;
    *n = (size_t)(end - *name);
    h->told += (size_t)(end - at) + 1;
    return 1;
}

static void read_folder(struct vt__qga_files *f, struct vt__fields *in)
{
    struct vt__qga_handle *h = vt__qga_take_handle(f, in);
    struct vt_buf names = VT_BUF_INIT, fields = VT_BUF_INIT;
    struct vt__sftp_attrs attrs;
    const char *name = NULL;
    size_t n = 0;
    uint32_t count = 0;
    int rc = h && h->folder ? 1 : -1;
    while (rc > 0 && count < names_at_once && (rc = next_entry(h, &name, &n, &attrs)) > 0) {
        vt__sftp_put_string(&names, name, n);
        vt__sftp_put_string(&names, "", 0);
        put_attrs(&names, &attrs);
        count++;
    }
    if (rc < 0) {
        vt__qga_answer_status(f, VT__SFTP_FAILURE,
                              "the guest's find or stat is of an unknown kind");
    } else if (!count) {
        vt__qga_answer_status(f, VT__SFTP_EOF, "");
    } else {
        vt__sftp_put_u32(&fields, count);
        vt_buf_add(&fields, names.data, names.len);
        vt__qga_answer(f, VT__SFTP_NAME, &fields);
    }
    vt_buf_free(&names);
    vt_buf_free(&fields);
}

/* ---- requests ---- */

static void set_mode(struct vt__qga_files *f, const char *path, struct vt__fields *in)
{
    char mode[16];
    if (vt__take_u32(in) != 4) { /* permissions alone are what transfers set */
        vt__qga_answer_status(f, VT__SFTP_UNSUPPORTED, "");
        return;
    }
    snprintf(mode, sizeof mode, "%o", (unsigned)vt__take_u32(in) & 07777);
    run(f, "exec chmod \"$2\" -- \"$1\"", path, mode, judge_done);
}

static void stat_path(struct vt__qga_files *f, const char *path, bool follow)
{
    run(f, follow ? "exec stat -L -c '%f %s' -- \"$1\"" : "exec stat -c '%f %s' -- \"$1\"", path,
        NULL, judge_stat);
}

void vt__qga_by_command(struct vt__qga_files *f, unsigned type, struct vt__fields *in)
{
    static const char list[] = "cd -- \"$1\" && exec find . ! -name . -prune "
                               "-exec stat -c '%f %s' -- {} \\; -print0";
    bool by_handle = type == VT__SFTP_FSTAT || type == VT__SFTP_FSETSTAT;
    if (type == VT__SFTP_READDIR) {
        read_folder(f, in);
        return;
    }
    if (by_handle) {
        const struct vt__qga_handle *h = vt__qga_take_handle(f, in);
        f->path = vt_strdup(h && h->path ? h->path : "");
    } else {
        f->path = vt__qga_take_path(in);
    }
    if (type == VT__SFTP_STAT || type == VT__SFTP_LSTAT || type == VT__SFTP_FSTAT)
        stat_path(f, f->path, type != VT__SFTP_LSTAT);
    else if (type == VT__SFTP_SETSTAT || type == VT__SFTP_FSETSTAT)
        set_mode(f, f->path, in);
    else if (type == VT__SFTP_MKDIR)
        run(f, "exec mkdir -- \"$1\"", f->path, NULL, judge_done);
    else if (type == VT__SFTP_OPENDIR)
        run(f, list, f->path, NULL, judge_folder);
    else
        vt__qga_answer_status(f, VT__SFTP_UNSUPPORTED, "");
}
