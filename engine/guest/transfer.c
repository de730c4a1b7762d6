#include "guest/transfer.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

static struct vt__transfer *of(void *user)
{
    return user;
}

bool vt__transfer_alive(const struct vt__transfer *t)
{
    return !vt_op_ended(&t->op) && !t->failure.code;
}

static void let_go(struct vt__transfer *t)
{
    struct vt__sftp *sftp = t->sftp;
    t->sftp = NULL;
    vt__sftp_free(sftp);
    if (t->check) {
        struct vt_op *check = t->check;
        t->check = NULL;
        vt_op_forget(check);
    }
}

static void transfer_abort(struct vt_op *op, struct vt_error *why)
{
    struct vt__transfer *t = (struct vt__transfer *)(void *)op;
    vt_error_append(why, " with %llu bytes of %s %s", (unsigned long long)t->result.bytes,
                    t->remote, t->direction == &vt__transfer_put ? "sent" : "received");
    let_go(t);
}

static void transfer_free(struct vt_op *op)
{
    struct vt__transfer *t = (struct vt__transfer *)(void *)op;
    if (t->work)
        t->direction->free(t);
    for (size_t i = 0; i < t->n_sums; i++)
        vt_free(t->sums[i].remote);
    vt_free(t->sums);
    vt_free(t->remote);
    vt_free(t->local);
    vt_buf_free(&t->memory);
    vt_loop_release(op->loop);
}

static const struct vt_op_class transfer_class = {
    .name = "transfer", .abort = transfer_abort, .free = transfer_free};

void vt__transfer_fail(struct vt__transfer *t, const struct vt_error *why)
{
    let_go(t);
    vt_op_fail(&t->op, why);
}

void vt__transfer_fail_sys(struct vt__transfer *t, int sys, const char *doing, const char *path)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_fail_sys(&why, sys, "transfer", "cannot %s %s", doing, path);
    vt__transfer_fail(t, &why);
}

/* ---- a full disk in the guest ---- */

/* SFTP version 3 has no word for it, so the file system is asked (an extension of OpenSSH's). */
static void on_space(void *user, const struct vt__sftp_reply *reply)
{
    struct vt__transfer *t = of(user);
    if (vt_op_ended(&t->op))
        return;
    struct vt_error why = t->failure;
    /* 64-bit numbers: block size, fragment size, blocks, free, available, files, free, … */
    if (reply->type == VT__SFTP_EXTENDED_REPLY && reply->size >= 64) {
        uint64_t values[8];
        for (size_t i = 0; i < 8; i++) {
            values[i] = 0;
            for (size_t j = 0; j < 8; j++)
                values[i] = values[i] << 8 | reply->data[i * 8 + j];
        }
        bool no_room = values[2] && values[4] * values[1] < 65536,
             no_files = values[5] && !values[7];
        if (no_room || no_files) {
            why.code = VT_ENOSPC;
            vt_error_append(&why, ": the guest's disk is full");
            vt_hint(&why, "make room in the guest, or give it a larger disk");
        }
    }
    vt__transfer_fail(t, &why);
}

void vt__transfer_refused(struct vt__transfer *t, const struct vt__sftp_reply *reply,
                          const char *doing, const char *path)
{
    struct vt_error why = VT_ERROR_INIT;
    vt__sftp_error(reply, doing, path, &why);
    if (reply->status != VT__SFTP_FAILURE || t->direction != &vt__transfer_put) {
        vt__transfer_fail(t, &why);
        return;
    }
    t->failure = why;
    struct vt_buf fields = VT_BUF_INIT;
    static const char extension[] = "statvfs@openssh.com";
    char *folder = vt_strdup(path);
    char *slash = strrchr(folder, '/');
    const char *where = !slash ? "." : slash == folder ? "/" : folder;
    if (slash && slash != folder)
        *slash = '\0';
    vt__sftp_put_string(&fields, extension, sizeof extension - 1);
    vt__sftp_put_string(&fields, where, strlen(where));
    vt__sftp_send(t->sftp, VT__SFTP_EXTENDED, &fields, NULL, 0, on_space, t);
    vt_buf_free(&fields);
    vt_free(folder);
}

/* ---- bookkeeping ---- */

void vt__transfer_count(struct vt__transfer *t, uint64_t n, const char *file)
{
    t->result.bytes += n;
    if (t->on_progress)
        t->on_progress(t->result.bytes, t->total, file, t->progress_user);
}

EVP_MD_CTX *vt__digest_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    return ctx;
}

void vt__transfer_file_done(struct vt__transfer *t, const char *remote, EVP_MD_CTX *digest)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char hex[65];
    EVP_DigestFinal_ex(digest, sum, &n);
    EVP_MD_CTX_free(digest);
    for (size_t i = 0; i < 32; i++) {
        static const char digits[] = "0123456789abcdef";
        hex[2 * i] = digits[sum[i] >> 4];
        hex[2 * i + 1] = digits[sum[i] & 15];
    }
    hex[64] = '\0';
    memcpy(t->result.sha256, hex, sizeof hex);
    t->result.files++;
    if (!t->verify)
        return;
    if ((t->n_sums & (t->n_sums + 1)) == 0) /* room for twice as many at 0, 1, 3, 7, … */
        t->sums = vt_realloc(t->sums, (2 * t->n_sums + 1) * sizeof *t->sums);
    struct vt__sum *at = &t->sums[t->n_sums++];
    at->remote = vt_strdup(remote);
    memcpy(at->hex, hex, sizeof hex);
}

static void finish(struct vt__transfer *t, const struct vt_error *wrong)
{
    struct vt_error why = VT_ERROR_INIT;
    if (wrong)
        why = *wrong;
    else if (t->direction->publish)
        t->direction->publish(t, &why);
    if (why.code) {
        vt__transfer_fail(t, &why);
        return;
    }
    t->result.data = t->direction == &vt__transfer_get && !t->local ? vt_buf_str(&t->memory) : NULL;
    t->result.size = t->result.data ? t->memory.len : 0;
    t->result.duration = vt_loop_now(t->op.loop) - t->op.started;
    vt_op_succeed(&t->op, &t->result);
}

void vt__transfer_complete(struct vt__transfer *t)
{
    if (t->complete)
        return;
    t->complete = true;
    if (t->folder)
        t->result.sha256[0] = '\0';
    struct vt__sftp *sftp = t->sftp;
    t->sftp = NULL;
    vt__sftp_give(sftp); /* where the server allows few channels, the check needs this one */
    if (t->verify && t->n_sums)
        vt__transfer_verify(t, finish);
    else
        finish(t, NULL);
}

/* ---- the session ---- */

static void on_step(void *user)
{
    struct vt__transfer *t = of(user);
    if (vt__transfer_alive(t) && !t->complete)
        t->direction->step(t);
}

static void on_failed(void *user, const struct vt_error *why)
{
    struct vt__transfer *t = of(user);
    t->sftp = NULL;
    vt__transfer_fail(t, why);
}

static const struct vt__sftp_owner owner = {.step = on_step, .failed = on_failed};

static enum vt_code check(const struct vt_transfer_opts *opts, const struct vt_channel *ch,
                          struct vt_error *err)
{
    if (!(opts->timeout > 0) || isinf(opts->timeout))
        return vt_fail(err, VT_EINVAL, "transfer", "a transfer needs a time-out of more than 0");
    if (!opts->remote || !opts->remote[0])
        return vt_fail(err, VT_EINVAL, "transfer", "the path in the guest is missing");
    if (opts->local && !opts->local[0])
        return vt_fail(err, VT_EINVAL, "transfer", "the path on the host is empty");
    if (opts->direction == VT_PUT && !opts->local && !opts->data && opts->size)
        return vt_fail(err, VT_EINVAL, "transfer", "there is nothing to put");
    if (opts->direction != VT_PUT && opts->direction != VT_GET)
        return vt_fail(err, VT_EINVAL, "transfer", "a transfer is a put or a get");
    if (!ch->cls->connected(ch))
        return vt_fail(err, VT_ESTATE, "transfer", "there is no connection to the guest");
    return VT_OK;
}

struct vt_op *vt__transfer_start(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                                 vt__transfer_session_fn session, vt_op_fn done, void *user,
                                 struct vt_error *err)
{
    enum { default_limit = 1024 * 1024 };
    if (check(opts, ch, err))
        return NULL;
    struct vt__transfer *t =
        vt_op_new(sizeof *t, &transfer_class, ch->loop, opts->timeout, done, user);
    vt_loop_hold(ch->loop);
    t->ch = ch;
    t->direction = opts->direction == VT_PUT ? &vt__transfer_put : &vt__transfer_get;
    t->remote = vt_strdup(opts->remote);
    t->local = vt_strdup(opts->local);
    t->limit = opts->limit ? opts->limit : default_limit;
    t->mode = opts->mode;
    t->verify = opts->verify;
    t->on_progress = opts->on_progress;
    t->progress_user = opts->progress_user;
    if (opts->direction == VT_PUT && !opts->local && opts->size)
        vt_buf_add(&t->memory, opts->data, opts->size);
    struct vt_error why = VT_ERROR_INIT;
    enum vt_code code = opts->direction == VT_PUT ? vt__put_start(t, &why) : vt__get_start(t, &why);
    if (!code)
        t->sftp = session(ch, &owner, t, &why);
    if (t->sftp)
        vt__sftp_kick(t->sftp);
    else
        vt__transfer_fail(t, &why);
    return &t->op;
}
