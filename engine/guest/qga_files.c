/* A file server's answers made of the QEMU guest agent's commands, so that transfers are the same
 * code as over SFTP. Open, read, write and close are commands of the agent; for what else a
 * transfer asks there are only commands of the guest (qga_stat.c). One request at a time. */
#include "guest/qga_files.h"

#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "guest/transfer.h"

enum { chunk = 49152, path_limit = 4096 };

/* ---- answers ---- */

void vt__qga_answer(struct vt__qga_files *f, enum vt__sftp_type type, const struct vt_buf *fields)
{
    struct vt_buf reply = VT_BUF_INIT;
    vt__sftp_put_u32(&reply, (uint32_t)(5 + fields->len));
    vt_buf_putc(&reply, (char)type);
    vt__sftp_put_u32(&reply, f->id);
    vt_buf_add(&reply, fields->data, fields->len);
    f->busy = false;
    if (vt__sftp_received(f->sftp, reply.data, reply.len))
        vt__qga_files_go_on(f);
    vt_buf_free(&reply);
}

void vt__qga_answer_status(struct vt__qga_files *f, enum vt__sftp_status status, const char *text)
{
    struct vt_buf fields = VT_BUF_INIT;
    vt__sftp_put_u32(&fields, status);
    vt__sftp_put_string(&fields, text, strlen(text));
    vt__sftp_put_string(&fields, "", 0);
    vt__qga_answer(f, VT__SFTP_STATUS, &fields);
    vt_buf_free(&fields);
}

void vt__qga_answer_problem(struct vt__qga_files *f, const char *words)
{
    static const struct {
        const char *words;
        enum vt__sftp_status status;
    } known[] = {{"No such file", VT__SFTP_NO_SUCH_FILE},
                 {"Not a directory", VT__SFTP_NO_SUCH_FILE},
                 {"Permission denied", VT__SFTP_PERMISSION_DENIED},
                 {"not permitted", VT__SFTP_PERMISSION_DENIED},
                 {"No space left", VT__SFTP_NO_SPACE}};
    enum vt__sftp_status status = VT__SFTP_FAILURE;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strstr(words, known[i].words))
            status = known[i].status;
    vt__qga_answer_status(f, status, words);
}

/* True where it was no success, which is then told. */
static bool went_wrong(struct vt__qga_files *f, const char *problem)
{
    if (problem)
        vt__qga_answer_problem(f, problem);
    return problem != NULL;
}

/* ---- the agent's own ---- */

static void on_opened(void *user, json_t *result, const char *problem)
{
    struct vt__qga_files *f = user;
    if (went_wrong(f, problem))
        return;
    struct vt__qga_handle *h = vt_calloc(1, sizeof *h);
    struct vt_buf fields = VT_BUF_INIT;
    h->number = json_integer_value(result);
    h->path = f->path;
    f->path = NULL;
    h->id = ++f->last_handle;
    h->next = f->handles;
    f->handles = h;
    vt__sftp_put_u32(&fields, 4);
    vt__sftp_put_u32(&fields, h->id);
    vt__qga_answer(f, VT__SFTP_HANDLE, &fields);
    vt_buf_free(&fields);
}

static void open_file(struct vt__qga_files *f, struct vt__fields *in)
{
    f->path = vt__qga_take_path(in);
    const char *mode = vt__take_u32(in) & VT__SFTP_OPEN_WRITE ? "w" : "r";
    json_t *path = json_string(f->path ? f->path : "");
    if (!path) {
        vt__qga_answer_status(f, VT__SFTP_FAILURE, "a name that is not UTF-8");
        return;
    }
    vt__qga_ask(f->member.conn, "guest-file-open",
                json_pack("{s:o, s:s}", "path", path, "mode", mode), on_opened, f);
}

static void on_closed(void *user, json_t *result, const char *problem)
{
    (void)result;
    if (!went_wrong(user, problem))
        vt__qga_answer_status(user, VT__SFTP_OK, "");
}

static void close_file(struct vt__qga_files *f, struct vt__fields *in)
{
    struct vt__qga_handle *h = vt__qga_take_handle(f, in);
    json_int_t number = h ? h->number : 0;
    bool folder = h && h->folder;
    if (h)
        vt__qga_drop_handle(f, h);
    if (!h || folder)
        vt__qga_answer_status(f, h ? VT__SFTP_OK : VT__SFTP_FAILURE, "");
    else
        vt__qga_ask(f->member.conn, "guest-file-close", json_pack("{s:I}", "handle", number),
                    on_closed, f);
}

static void on_data(void *user, json_t *result, const char *problem)
{
    struct vt__qga_files *f = user;
    const json_t *text = json_object_get(result, "buf-b64");
    struct vt_buf data = VT_BUF_INIT, fields = VT_BUF_INIT;
    if (went_wrong(f, problem))
        return;
    if (!json_is_string(text) ||
        !vt__base64_decode(json_string_value(text), json_string_length(text), &data)) {
        vt__qga_answer_status(f, VT__SFTP_FAILURE, "no data came");
    } else if (!data.len) {
        vt__qga_answer_status(f, VT__SFTP_EOF, "");
    } else {
        f->at->position += data.len;
        vt__sftp_put_string(&fields, data.data, data.len);
        vt__qga_answer(f, VT__SFTP_DATA, &fields);
    }
    vt_buf_free(&data);
    vt_buf_free(&fields);
}

static void on_written(void *user, json_t *result, const char *problem)
{
    struct vt__qga_files *f = user;
    json_int_t count = json_integer_value(json_object_get(result, "count"));
    if (went_wrong(f, problem))
        return;
    f->at->position += (uint64_t)(count > 0 ? count : 0);
    if (count == (json_int_t)f->data.len)
        vt__qga_answer_status(f, VT__SFTP_OK, "");
    else
        vt__qga_answer_status(f, VT__SFTP_FAILURE, "not all was written");
}

static void move_data(struct vt__qga_files *f)
{
    json_int_t number = f->at->number;
    if (!f->writing) {
        vt__qga_ask(f->member.conn, "guest-file-read",
                    json_pack("{s:I, s:I}", "handle", number, "count", (json_int_t)f->wanted),
                    on_data, f);
        return;
    }
    struct vt_buf text = VT_BUF_INIT;
    vt__base64_encode(f->data.data, f->data.len, &text);
    vt__qga_ask(f->member.conn, "guest-file-write",
                json_pack("{s:I, s:s#}", "handle", number, "buf-b64", text.data, (int)text.len),
                on_written, f);
    vt_buf_free(&text);
}

static void on_sought(void *user, json_t *result, const char *problem)
{
    struct vt__qga_files *f = user;
    (void)result;
    if (went_wrong(f, problem))
        return;
    f->at->position = f->offset;
    move_data(f);
}

static void read_or_write(struct vt__qga_files *f, struct vt__fields *in, bool writing)
{
    size_t n = 0;
    f->at = vt__qga_take_handle(f, in);
    f->offset = vt__take_u64(in);
    f->writing = writing;
    vt_buf_clear(&f->data);
    if (writing) {
        const unsigned char *data = vt__take_bytes(in, &n);
        vt_buf_add(&f->data, data, n);
    } else {
        f->wanted = vt__take_u32(in);
    }
    if (in->bad || !f->at || f->at->folder)
        vt__qga_answer_status(f, VT__SFTP_FAILURE, "no such handle");
    else if (f->offset == f->at->position)
        move_data(f);
    else
        vt__qga_ask(f->member.conn, "guest-file-seek",
                    json_pack("{s:I, s:I, s:i}", "handle", f->at->number, "offset",
                              (json_int_t)f->offset, "whence", 0),
                    on_sought, f);
}

/* ---- requests ---- */

char *vt__qga_take_path(struct vt__fields *in)
{
    size_t n = 0;
    const unsigned char *p = vt__take_bytes(in, &n);
    return vt_strndup(p && n < path_limit ? (const char *)p : "", p && n < path_limit ? n : 0);
}

struct vt__qga_handle *vt__qga_take_handle(struct vt__qga_files *f, struct vt__fields *in)
{
    size_t n = 0;
    const unsigned char *p = vt__take_bytes(in, &n);
    uint32_t id = p && n == 4 ? vt__load_u32(p) : 0;
    struct vt__qga_handle *h = f->handles;
    while (h && h->id != id)
        h = h->next;
    return h;
}

void vt__qga_drop_handle(struct vt__qga_files *f, struct vt__qga_handle *h)
{
    struct vt__qga_handle **at = &f->handles;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    vt_free(h->path);
    vt_buf_free(&h->names);
    vt_free(h);
}

static void handle_request(struct vt__qga_files *f, unsigned type, struct vt__fields *in)
{
    vt_free(f->path);
    f->path = NULL;
    f->busy = true;
    if (type == VT__SFTP_OPEN)
        open_file(f, in);
    else if (type == VT__SFTP_CLOSE)
        close_file(f, in);
    else if (type == VT__SFTP_READ || type == VT__SFTP_WRITE)
        read_or_write(f, in, type == VT__SFTP_WRITE);
    else
        vt__qga_by_command(f, type, in);
}

/* ---- the link ---- */

static size_t write_one(void *link, const char *data, size_t n)
{
    struct vt__qga_files *f = link;
    size_t whole = n < 4 ? 0 : 4 + (size_t)vt__load_u32((const unsigned char *)data);
    if (f->busy || whole < 9 || whole > n)
        return 0;
    f->busy = true;
    f->id = vt__load_u32((const unsigned char *)data + 5);
    vt_buf_clear(&f->request);
    vt_buf_add(&f->request, data + 4, whole - 4);
    vt_timer_set(&f->timer, f->loop, 0, f->work, f);
    return whole;
}

static void work(struct vt_timer *timer)
{
    struct vt__qga_files *f = timer->user;
    if (f->request.len) {
        struct vt__fields in = {.p = (const unsigned char *)f->request.data + 5,
                                .n = f->request.len - 5};
        unsigned type = (unsigned char)f->request.data[0];
        f->request.len = 0; /* its bytes stay till the next one */
        handle_request(f, type, &in);
        return;
    }
    bool moved = false;
    vt__sftp_run(f->sftp, &moved);
}

void vt__qga_files_go_on(struct vt__qga_files *f)
{
    vt_timer_set(&f->timer, f->loop, 0, work, f);
}

static void kick(void *link)
{
    struct vt__qga_files *f = link;
    if (!vt_timer_is_set(&f->timer))
        vt__qga_files_go_on(f);
}

static void free_files(struct vt__qga_files *f)
{
    vt__qga_quit(&f->member);
    vt_timer_clear(&f->timer);
    while (f->handles)
        vt__qga_drop_handle(f, f->handles);
    vt_free(f->path);
    vt_buf_free(&f->data);
    vt_buf_free(&f->request);
    vt_free(f);
}

/* Files that are open in the agent are closed there. */
static void leave(void *link)
{
    struct vt__qga_files *f = link;
    vt__qga_forget(f->member.conn, f);
    if (f->run)
        vt__qga_run_stop(f->run);
    for (const struct vt__qga_handle *h = f->handles; h; h = h->next)
        if (!h->folder)
            vt__qga_ask(f->member.conn, "guest-file-close", json_pack("{s:I}", "handle", h->number),
                        NULL, NULL);
    free_files(f);
}

void vt__qga_files_lost(struct vt__qga_files *f, const struct vt_error *why)
{
    struct vt__sftp *s = f->sftp;
    struct vt_error e = *why;
    if (f->run)
        vt__qga_run_stop(f->run);
    if (f->member.conn)
        vt__qga_forget(f->member.conn, f);
    free_files(f);
    vt__sftp_lost(s, &e);
}

static void lost(struct vt__qga_member *m, const struct vt_error *why)
{
    vt__qga_files_lost((struct vt__qga_files *)(void *)m, why);
}

static const struct vt__sftp_link link_class = {
    .chunk = chunk, .write = write_one, .kick = kick, .leave = leave};

static struct vt__sftp *session(struct vt_channel *ch, const struct vt__sftp_owner *owner,
                                void *user, struct vt_error *err)
{
    struct vt__qga_files *f = vt_calloc(1, sizeof *f);
    (void)err; /* there is a connection, and nothing else is needed */
    vt__qga_join(vt__qga_conn_of(ch), &f->member, lost);
    f->loop = ch->loop;
    f->work = work;
    f->sftp = vt__sftp_new(&link_class, f);
    vt__sftp_own(f->sftp, owner, user);
    return f->sftp;
}

struct vt_op *vt__qga_transfer(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                               vt_op_fn done, void *user, struct vt_error *err)
{
    return vt__transfer_start(ch, opts, session, done, user, err);
}
