/* What the files of the ssh channel share.
 *
 *   ssh.c           the channel: configuration, connect operations, retries
 *   ssh_dial.c      finds a server that shows an ssh banner
 *   ssh_conn.c      one connection: socket, libssh2 session, the tasks that run on it
 *   ssh_login.c     task: key exchange, host key, credentials
 *   ssh_agent*.c    the keys of an ssh agent, without blocking
 *   ssh_remote.c    task: one channel of the session, from its opening to its closing
 *   ssh_exec.c      operation: a command on a remote
 *   ssh_files.c     sessions of SFTP (sftp*.c, transfer*.c) on a remote
 *
 * How libssh2 is kept from blocking. The session's send and receive functions are ours: they move
 * bytes between libssh2 and two buffers in memory. Sending thus never is partial, so the rule that
 * after a partial send only the same call may follow never comes into play, and packets of several
 * calls leave in one system call. What remains of libssh2's rules:
 *   - a call that said EAGAIN is called again with the same arguments (a key exchange started by
 *     the server may interrupt any call), hence one state per task and buffers that stay in place;
 *   - opening a channel keeps its state in the session, so one task at a time may be in it: the
 *     `turn` of the connection;
 *   - any call may take in packets for all channels, so after progress every task is stepped again.
 * There is no keepalive: a paused or slowly emulated guest is alive, and only deadlines end a wait.
 */
#ifndef VT_GUEST_SSH_INTERNAL_H
#define VT_GUEST_SSH_INTERNAL_H

#include <libssh2.h>
#include <uv.h>

#include "core/buf.h"
#include "guest/channel.h"
#include "guest/ssh.h"
#include "guest/wire.h"
#include "loop/op.h"

struct vt__ssh_conn;

/* ---- connection ---- */

struct vt__ssh_task {
    struct vt__ssh_conn *conn;
    struct vt__ssh_task *next, *prev;
    /* Does what can be done without waiting. True where something was done, so that the others
     * are stepped again. May end itself (vt__ssh_task_remove, then free). */
    bool (*step)(struct vt__ssh_task *task);
    /* The connection is gone, the task was removed: frees itself. */
    void (*lost)(struct vt__ssh_task *task, const struct vt_error *why);
};

#define VT__SSH_IN_SIZE ((size_t)256 << 10)
#define VT__SSH_OUT_SOFT ((size_t)512 << 10) /* tasks stop writing above it */

struct vt__ssh_conn {
    struct vt_loop *loop;
    LIBSSH2_SESSION *session;
    struct vt__wire wire;
    char *in; /* received, not yet taken by libssh2: in[in_head..in_tail) */
    size_t in_head, in_tail;
    uint64_t in_total;                          /* ever taken by libssh2 */
    struct vt__ssh_task *tasks, *tail, *cursor; /* cursor: the next of a walk */
    struct vt__ssh_task *turn;                  /* who may use the session's own state */
    struct vt__ssh_block *blocks;               /* libssh2's memory for this session */
    struct vt_timer again;
    bool pumping, dirty, dead, closed_by_peer;
    struct vt_error broken; /* set: the connection cannot go on */

    /* channels of the session, see ssh_remote.c */
    unsigned channels, channel_limit, channel_peak; /* now, allowed, most at a time so far */
    unsigned refusals;                              /* in a row */
    struct vt_timer hold;                           /* set: no channel is opened for now */
    struct vt_timer patience;                       /* see `fragile` */
    bool spares;  /* channels may be opened ahead: only known to be safe with OpenSSH */
    bool fragile; /* dropbear: when a command ends while another channel is open, but has no
                     command yet, it closes that channel, and dies of the command that follows */
    struct vt__ssh_remote *spare;
    struct vt__sftp *sftp; /* idle, ready for the next transfer */

    void (*on_lost)(void *user, const struct vt_error *why);
    void *user;
};

/* Takes over fd (connected, non-blocking) and what was read from it already. NULL with *err set
 * (and fd closed) on failure. */
struct vt__ssh_conn *vt__ssh_conn_new(struct vt_loop *loop, int fd, const char *seen, size_t n,
                                      void (*on_lost)(void *user, const struct vt_error *why),
                                      void *user, struct vt_error *err);

/* Fails every task with `why` and frees the connection, now or when its step returns. on_lost is
 * not called. */
void vt__ssh_conn_close(struct vt__ssh_conn *c, const struct vt_error *why);

void vt__ssh_task_add(struct vt__ssh_conn *c, struct vt__ssh_task *task);
void vt__ssh_task_remove(struct vt__ssh_task *task);

/* Steps the tasks now (or again, when called from a step). */
void vt__ssh_conn_kick(struct vt__ssh_conn *c);

/* Says that libssh2 failed while `doing` something: the connection is given up as soon as the
 * present step returns. */
void vt__ssh_conn_break(struct vt__ssh_conn *c, const char *doing);

/* Memory that libssh2 frees, for answers of callbacks. NULL where n is beyond all reason. */
void *vt__ssh_alloc(struct vt__ssh_conn *c, size_t n);

/* True where tasks should not write more for now. */
bool vt__ssh_conn_full(const struct vt__ssh_conn *c);

/* libssh2's last error as text, "" where there is none. */
const char *vt__ssh_last_error(struct vt__ssh_conn *c);

/* ---- dialling ---- */

struct vt__ssh_dial;

struct vt__ssh_dial_class {
    /* A server showed its banner; the dial is over and freed. `seen` starts with "SSH-". */
    void (*won)(void *user, int fd, const char *seen, size_t n);
    /* Why the latest attempt failed, for the message of a time-out. */
    void (*note)(void *user, const char *reason);
};

/* Tries until it is won or freed. host: numeric or a name; cls is static. */
struct vt__ssh_dial *vt__ssh_dial_new(struct vt_loop *loop, const char *host, int port,
                                      const struct vt__ssh_dial_class *cls, void *user);
void vt__ssh_dial_free(struct vt__ssh_dial *dial);

/* Looks for a server's version line in data[0..n) (RFC 4253, 4.2): other lines may come before it,
 * few and short ones. On VT__BANNER_FOUND *start is where it begins. */
enum vt__ssh_banner { VT__BANNER_MORE, VT__BANNER_FOUND, VT__BANNER_NONE };
#define VT__SSH_BANNER_MAX ((size_t)8192)
enum vt__ssh_banner vt__ssh_find_banner(const char *data, size_t n, size_t *start);

/* ---- login ---- */

struct vt__ssh_credentials {
    const char *user;
    const char *key, *key_file; /* the key's bytes and where they came from */
    size_t key_size;
    const char *key_error; /* why key_file could not be read, or NULL */
    const char *passphrase, *password;
    bool agent;
    const char *host_key; /* pinned: "TYPE BASE64", or NULL */
    bool known_only;
    const char *host; /* as configured, for messages */
    int port;
};

/* Adds a task that logs in. done() is called once, from a step: `why` NULL on success, with the
 * host key that was seen; `again` true where trying anew makes sense. Both strings are valid
 * during the call. The credentials must outlive the task. */
typedef void (*vt__ssh_login_fn)(void *user, const struct vt_error *why, bool again,
                                 const char *host_key);
void vt__ssh_login_start(struct vt__ssh_conn *c, const struct vt__ssh_credentials *cred,
                         vt__ssh_login_fn done, void *user);

/* ---- ssh agent ---- */

struct vt__ssh_agent;

struct vt__ssh_agent_key {
    unsigned char *blob;
    size_t size;
};

/* Connects to the agent's socket without blocking; wake() is called whenever there is news. NULL
 * with *err set where there is no agent. */
struct vt__ssh_agent *vt__ssh_agent_new(struct vt_loop *loop, const char *path,
                                        void (*wake)(void *user), void *user, struct vt_error *err);
void vt__ssh_agent_free(struct vt__ssh_agent *agent);

/* 1: *keys and *n are set (owned by the agent); 0: not yet; -1: failed. */
int vt__ssh_agent_keys(struct vt__ssh_agent *agent, const struct vt__ssh_agent_key **keys,
                       size_t *n);

/* Asks for a signature of data by a key. 1: *sig points to it (owned by the agent until the next
 * call): the signature's blob without the name of its algorithm; 0: not yet, call again with the
 * same arguments; -1: failed. */
int vt__ssh_agent_sign(struct vt__ssh_agent *agent, const struct vt__ssh_agent_key *key,
                       const unsigned char *data, size_t n, const unsigned char **sig,
                       size_t *sig_size);

/* The agent's answers, for vt__ssh_agent_* and their fuzzer. Each checks the whole message
 * (without its length). *keys is allocated: vt__ssh_agent_keys_free(). False where malformed. */
bool vt__ssh_agent_parse_keys(const unsigned char *msg, size_t n, struct vt__ssh_agent_key **keys,
                              size_t *count);
void vt__ssh_agent_keys_free(struct vt__ssh_agent_key *keys, size_t n);
bool vt__ssh_agent_parse_signature(const unsigned char *msg, size_t n, const unsigned char **sig,
                                   size_t *size);

/* ---- remotes ---- */

struct vt__ssh_remote;

struct vt__ssh_remote_class {
    /* Started; called until vt__ssh_remote_leave(). True where something was done. */
    bool (*run)(struct vt__ssh_remote *remote, void *user);
    /* It could not be started, or the connection was lost. The remote is gone. */
    void (*failed)(void *user, const struct vt_error *why);
};

enum vt__ssh_remote_state {
    VT__REMOTE_WAIT, /* for the turn, or for another channel to close */
    VT__REMOTE_OPEN,
    VT__REMOTE_IDLE, /* open and unused: a spare */
    VT__REMOTE_PTY,
    VT__REMOTE_START,
    VT__REMOTE_RUN,
    VT__REMOTE_REOPEN, /* the server closed the channel before the command was begun */
    VT__REMOTE_CLOSE
};

struct vt__ssh_remote {
    struct vt__ssh_task task; /* first */
    enum vt__ssh_remote_state state;
    LIBSSH2_CHANNEL *ch;
    const char *request; /* "exec", "subsystem"; NULL for a spare */
    struct vt_buf line;  /* command or name of the subsystem */
    bool pty;
    unsigned reopened;
    double since;                           /* when the command was begun, or its closing */
    const struct vt__ssh_remote_class *cls; /* NULL: abandoned, or a spare */
    void *user;
};

/* `op` is the operation's name for errors. */
struct vt__ssh_remote *vt__ssh_remote_start(struct vt__ssh_conn *c, const char *request,
                                            const char *line, size_t n, bool pty,
                                            const struct vt__ssh_remote_class *cls, void *user);

/* The user lets go; the remote closes its channel in its own time. */
void vt__ssh_remote_leave(struct vt__ssh_remote *remote);

/* Opens a channel ahead, so that the next command saves a round trip. */
void vt__ssh_remote_spare(struct vt__ssh_conn *c);

/* ---- operations ---- */

struct vt__ssh_conn *vt__ssh_conn_of(struct vt_channel *ch);

struct vt_op *vt__ssh_exec(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                           void *user, struct vt_error *err);
struct vt_op *vt__ssh_transfer(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                               vt_op_fn done, void *user, struct vt_error *err);

#endif
