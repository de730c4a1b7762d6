/* Sessions of SFTP over remotes of the ssh channel; one that is idle is kept for the next. */
#include "core/mem.h"
#include "guest/ssh_internal.h"
#include "guest/transfer.h"

enum {
    chunk = 32256,          /* with its header it fits into one packet of ssh */
    read_size = 128 * 1024, /* per read of the channel */
    max_reads = 4,          /* of a step */
};

struct link {
    struct vt__ssh_conn *conn;
    struct vt__ssh_remote *remote; /* NULL once lost */
    struct vt__sftp *sftp;         /* NULL once it has ended */
    char *buffer;
    bool running; /* not freed meanwhile */
};

static void release(struct link *l)
{
    if (l->conn->sftp && l->conn->sftp == l->sftp)
        l->conn->sftp = NULL;
    if (l->running)
        return;
    vt_free(l->buffer);
    vt_free(l);
}

static size_t write_some(void *link, const char *data, size_t n)
{
    const struct link *l = link;
    if (vt__ssh_conn_full(l->conn))
        return 0;
    ssize_t written = libssh2_channel_write(l->remote->ch, data, n);
    if (written < 0 && written != LIBSSH2_ERROR_EAGAIN)
        vt__ssh_conn_break(l->conn, "sending to the SFTP server");
    return written > 0 ? (size_t)written : 0;
}

static void kick(void *link)
{
    const struct link *l = link;
    vt__ssh_conn_kick(l->conn);
}

static bool keep(void *link, struct vt__sftp *s)
{
    const struct link *l = link;
    if (l->conn->sftp)
        return false;
    l->conn->sftp = s;
    return true;
}

static void leave(void *link)
{
    struct link *l = link;
    struct vt__ssh_remote *remote = l->remote;
    if (l->conn->sftp == l->sftp)
        l->conn->sftp = NULL;
    l->sftp = NULL;
    l->remote = NULL;
    release(l);
    if (remote)
        vt__ssh_remote_leave(remote);
}

static const struct vt__sftp_link link_class = {.chunk = chunk,
                                                .greets = true,
                                                .write = write_some,
                                                .kick = kick,
                                                .keep = keep,
                                                .leave = leave};

static void failed(void *user, const struct vt_error *why)
{
    struct link *l = user;
    struct vt__sftp *s = l->sftp;
    struct vt_error e = *why;
    if (e.code == VT_EUNSUPPORTED)
        vt_hint(&e, "enable it (OpenSSH: \"Subsystem sftp internal-sftp\" in sshd_config; dropbear "
                    "needs OpenSSH's sftp-server), or move data by exec with input");
    l->remote = NULL;
    release(l);
    if (s)
        vt__sftp_lost(s, &e);
}

/* False where the session has ended. */
static bool receive(struct link *l, bool *moved)
{
    LIBSSH2_CHANNEL *ch = l->remote->ch;
    for (int i = 0; i < max_reads; i++) {
        ssize_t n = libssh2_channel_read(ch, l->buffer, read_size);
        if (n == LIBSSH2_ERROR_EAGAIN)
            return true;
        if (n < 0) {
            vt__ssh_conn_break(l->conn, "reading from the SFTP server");
            return false;
        }
        if (!n) {
            if (libssh2_channel_eof(ch) != 1)
                return true;
            vt__sftp_protocol_error(l->sftp, "it ended");
            return false;
        }
        *moved = true;
        if (!vt__sftp_received(l->sftp, l->buffer, (size_t)n) || !l->remote)
            return false;
    }
    return true;
}

static bool run(struct vt__ssh_remote *remote, void *user)
{
    struct link *l = user;
    bool moved = false;
    l->running = true;
    if (receive(l, &moved)) {
        /* what the server says besides is not for us, but would keep the channel from ending */
        char ignored[4096];
        while (libssh2_channel_read_stderr(remote->ch, ignored, sizeof ignored) > 0)
            moved = true;
        vt__sftp_run(l->sftp, &moved);
    }
    l->running = false;
    if (!l->remote)
        release(l);
    return moved;
}

static const struct vt__ssh_remote_class remote_class = {.run = run, .failed = failed};

static struct vt__sftp *session(struct vt_channel *ch, const struct vt__sftp_owner *owner,
                                void *user, struct vt_error *err)
{
    struct vt__ssh_conn *c = vt__ssh_conn_of(ch);
    struct vt__sftp *s = c->sftp;
    (void)err; /* what is wrong shows later */
    c->sftp = NULL;
    if (!s) {
        struct link *l = vt_calloc(1, sizeof *l);
        l->conn = c;
        l->buffer = vt_malloc(read_size);
        l->remote = vt__ssh_remote_start(c, "subsystem", "sftp", 4, false, &remote_class, l);
        s = l->sftp = vt__sftp_new(&link_class, l);
    }
    vt__sftp_own(s, owner, user);
    return s;
}

struct vt_op *vt__ssh_transfer(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                               vt_op_fn done, void *user, struct vt_error *err)
{
    return vt__transfer_start(ch, opts, session, done, user, err);
}
