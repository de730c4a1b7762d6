/* Compares digests: the guest computes its own with whatever tool it has, many files at a time. */
#include <ctype.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "guest/transfer.h"

enum {
    line_budget = 6000, /* bytes of quoted names in one command; dropbear takes 9000 in all */
    max_batch = 512,
    no_tool = 97, /* exit status of the script */
};

static const char script[] =
    "if command -v sha256sum >/dev/null 2>&1; then sha256sum -- \"$@\"; "
    "elif command -v shasum >/dev/null 2>&1; then shasum -a 256 -- \"$@\"; "
    "elif command -v openssl >/dev/null 2>&1; then "
    "for f do openssl dgst -sha256 -r < \"$f\" || exit 1; done; "
    "else exit 97; fi";

struct verify {
    struct vt__transfer *t;
    void (*done)(struct vt__transfer *t, const struct vt_error *why);
    size_t at, n; /* the files of the command under way */
};

static bool start_batch(struct verify *v, struct vt_error *err);

static void end(struct verify *v, const struct vt_error *why)
{
    struct vt__transfer *t = v->t;
    void (*done)(struct vt__transfer *, const struct vt_error *) = v->done;
    vt_free(v);
    done(t, why);
}

size_t vt__read_digests(const char *out, size_t n, char (*hex)[65], size_t max)
{
    size_t found = 0;
    while (n) {
        const char *newline = memchr(out, '\n', n);
        size_t length = newline ? (size_t)(newline - out) : n, i = 0;
        const char *at = out;
        if (length && *at == '\\') { /* how a name that is quoted is marked */
            at++;
            length--;
        }
        while (i < length && i < 64 && isxdigit((unsigned char)at[i]))
            i++;
        if (i == 64 && length > 64 && at[64] == ' ') {
            if (found < max) {
                for (size_t j = 0; j < 64; j++)
                    hex[found][j] = (char)tolower((unsigned char)at[j]);
                hex[found][64] = '\0';
            }
            found++;
        }
        size_t used = newline ? (size_t)(newline - out) + 1 : n;
        out += used;
        n -= used;
    }
    return found;
}

static void judge(const struct verify *v, const struct vt_exec_result *r, struct vt_error *why)
{
    const struct vt__transfer *t = v->t;
    if (r->status == no_tool) {
        vt_fail(why, VT_EUNSUPPORTED, "transfer",
                "the guest has no tool to compute SHA-256 for the verification");
        vt_hint(why, "install coreutils, busybox, perl (shasum) or openssl there, or transfer "
                     "without verify");
        return;
    }
    char(*hex)[65] = vt_calloc(v->n, sizeof *hex);
    size_t found = vt__read_digests(r->out, r->out_size, hex, v->n);
    if (found != v->n)
        vt_fail(why, VT_EIO, "transfer",
                "the guest cannot compute the SHA-256 of what was transferred: %.*s",
                (int)(r->err_size < 200 ? r->err_size : 200), r->err);
    for (size_t i = 0; i < v->n && !why->code; i++) {
        const struct vt__sum *sum = &t->sums[v->at + i];
        if (strcmp(sum->hex, hex[i]) != 0)
            vt_fail(why, VT_EIO, "transfer",
                    "%s in the guest differs from what was transferred: SHA-256 %s there, %s here",
                    sum->remote, hex[i], sum->hex);
    }
    vt_free(hex);
}

static void on_checked(struct vt_op *op, void *user)
{
    struct verify *v = user;
    struct vt_error why = VT_ERROR_INIT;
    v->t->check = NULL;
    if (vt_op_error(op))
        why = *vt_op_error(op);
    else
        judge(v, vt_op_result(op), &why);
    v->at += v->n;
    if (!why.code && v->at < v->t->n_sums && start_batch(v, &why))
        return;
    end(v, why.code ? &why : NULL);
}

/* A name that no tool takes for an option or for its standard input. */
static char *as_argument(const char *path)
{
    struct vt_buf out = VT_BUF_INIT;
    vt_buf_printf(&out, "%s%s", path[0] == '/' ? "" : "./", path);
    return vt_buf_steal(&out);
}

static bool start_batch(struct verify *v, struct vt_error *err)
{
    enum { words_before = 4 };
    struct vt__transfer *t = v->t;
    char *names[max_batch] = {NULL};
    const char *argv[max_batch + words_before + 1] = {"sh", "-c", script, "sh"};
    struct vt_buf quoted = VT_BUF_INIT;
    v->n = 0;
    while (v->n < max_batch && v->at + v->n < t->n_sums) {
        char *name = as_argument(t->sums[v->at + v->n].remote);
        vt_shell_quote(&quoted, name);
        if (v->n && quoted.len > line_budget) {
            vt_free(name);
            break;
        }
        names[v->n] = name;
        argv[words_before + v->n++] = name;
    }
    vt_buf_free(&quoted);
    double left = t->op.timeout - (vt_loop_now(t->op.loop) - t->op.started);
    const struct vt_exec_opts opts = {.argv = argv,
                                      .timeout = left > 0.001 ? left : 0.001,
                                      .output_limit = (size_t)max_batch * 8192};
    t->check = t->ch->cls->exec(t->ch, &opts, on_checked, v, err);
    for (size_t i = 0; i < v->n; i++)
        vt_free(names[i]);
    return t->check != NULL;
}

void vt__transfer_verify(struct vt__transfer *t,
                         void (*done)(struct vt__transfer *t, const struct vt_error *why))
{
    struct verify *v = vt_calloc(1, sizeof *v);
    struct vt_error why = VT_ERROR_INIT;
    v->t = t;
    v->done = done;
    if (!start_batch(v, &why))
        end(v, &why);
}
