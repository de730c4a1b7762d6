#include "guest/ssh.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "guest/connecting.h"
#include "guest/ssh_internal.h"

struct ssh {
    struct vt_channel base; /* first */
    char *host, *user, *key_file, *passphrase, *password;
    bool (*find)(void *find_user, char *host, size_t size, struct vt_error *why); /* or NULL */
    void *find_user;
    int port;
    char *host_key; /* pinned: configured, or the first that was accepted */
    bool agent, known_only;
    struct vt_buf key; /* bytes of key_file, while connecting */
    struct vt_error key_error;
    struct vt__ssh_credentials cred;

    struct vt__ssh_conn *conn;
    bool logged_in;
    struct vt__ssh_dial *dial;
    struct vt__connecting connecting;
};

static struct ssh *ssh_of(const struct vt_channel *ch)
{
    union {
        const struct vt_channel *from;
        struct ssh *to;
    } cast = {.from = ch};
    return cast.to;
}

struct vt__ssh_conn *vt__ssh_conn_of(struct vt_channel *ch)
{
    struct ssh *s = ssh_of(ch);
    return s->logged_in ? s->conn : NULL;
}

/* ---- connect operations ---- */

static void wipe(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    vt_free(text);
}

static void wipe_key(struct ssh *s)
{
    if (s->key.data)
        OPENSSL_cleanse(s->key.data, s->key.cap);
    vt_buf_free(&s->key);
}

/* Ends what was begun for a connection that nobody waits for any more, or that there is. */
static void stop_connecting(struct vt_channel *ch)
{
    struct ssh *s = ssh_of(ch);
    vt_timer_clear(&s->connecting.retry);
    vt__ssh_dial_free(s->dial);
    s->dial = NULL;
    if (s->conn && !s->logged_in) {
        struct vt__ssh_conn *c = s->conn;
        s->conn = NULL;
        struct vt_error why = VT_ERROR_INIT;
        vt_fail(&why, VT_ECANCELED, "ssh.connect", "cancelled");
        vt__ssh_conn_close(c, &why);
    }
    wipe_key(s);
}

static void timed_out(const struct vt_channel *ch, struct vt_error *why)
{
    const struct ssh *s = ssh_of(ch);
    vt_error_append(why, ": no ssh server answered at %s:%d: %s", s->host[0] ? s->host : "?",
                    s->port, s->connecting.reason[0] ? s->connecting.reason : "no connection yet");
    vt_hint(why, "is the guest up, with an ssh server on this port?");
}

/* ---- from dialling to logged in ---- */

/* An established connection went away by itself: its tasks were told already. */
static void on_lost(void *user, const struct vt_error *why)
{
    struct ssh *s = user;
    (void)why;
    s->conn = NULL;
    s->logged_in = false;
}

static void on_login(void *user, const struct vt_error *why, bool again, const char *host_key)
{
    struct ssh *s = user;
    if (!s->conn)
        return; /* given up meanwhile */
    if (!why) {
        s->logged_in = true;
        if (!s->host_key)
            s->host_key = vt_strdup(host_key);
        wipe_key(s);
        vt__ssh_remote_spare(s->conn);
        vt__ssh_conn_kick(s->conn);
        vt__connecting_end(&s->connecting, NULL);
        return;
    }
    struct vt__ssh_conn *c = s->conn;
    s->conn = NULL;
    vt__ssh_conn_close(c, why);
    if (again) {
        vt__connecting_again(&s->connecting, why);
        return;
    }
    wipe_key(s);
    vt__connecting_end(&s->connecting, why);
}

static void on_won(void *user, int fd, const char *seen, size_t n)
{
    struct ssh *s = user;
    s->dial = NULL;
    struct vt_error why = VT_ERROR_INIT;
    s->conn = vt__ssh_conn_new(s->base.loop, fd, seen, n, on_lost, s, &why);
    if (!s->conn) {
        vt__connecting_again(&s->connecting, &why);
        return;
    }
    s->logged_in = false;
    s->cred = (struct vt__ssh_credentials){
        .user = s->user,
        .key = s->key.len ? s->key.data : NULL,
        .key_size = s->key.len,
        .key_file = s->key_file,
        .key_error = s->key_error.code ? s->key_error.message : NULL,
        .passphrase = s->passphrase,
        .password = s->password,
        .agent = s->agent,
        .host_key = s->host_key,
        .known_only = s->known_only,
        .host = s->host,
        .port = s->port,
    };
    vt__ssh_login_start(s->conn, &s->cred, on_login, s);
}

static void on_note(void *user, const char *reason)
{
    struct ssh *s = user;
    vt__connecting_set_reason(&s->connecting, reason);
}

/* The server's address of now, where that is not known once for all. */
static bool find_host(struct ssh *s, struct vt_error *why)
{
    char host[64] = "";
    if (!s->find)
        return true;
    if (!s->find(s->find_user, host, sizeof host, why))
        return false;
    vt_free(s->host);
    s->host = vt_strdup(host);
    return true;
}

static void dial(struct vt_channel *ch)
{
    struct ssh *s = ssh_of(ch);
    static const struct vt__ssh_dial_class cls = {.won = on_won, .note = on_note};
    struct vt_error why = VT_ERROR_INIT;
    if (!find_host(s, &why)) {
        vt__connecting_again(&s->connecting, &why);
        return;
    }
    s->dial = vt__ssh_dial_new(s->base.loop, s->host, s->port, &cls, s);
}

/* Reads the key file; one that cannot be read is an error only where there is nothing else. */
static enum vt_code load_key(struct ssh *s, struct vt_error *err)
{
    enum { key_limit = 256 * 1024 };
    s->key_error = (struct vt_error)VT_ERROR_INIT;
    if (!s->key_file)
        return VT_OK;
    vt_read_file(s->key_file, key_limit, &s->key, &s->key_error);
    if (!s->key_error.code && !s->key.len)
        vt_fail(&s->key_error, VT_EINVAL, "ssh", "the key file %s is empty", s->key_file);
    if (!s->key_error.code)
        return VT_OK;
    wipe_key(s);
    if (s->password || s->agent)
        return VT_OK;
    vt_error_copy(err, &s->key_error);
    vt_hint(err, "key_file must name a private key that this user can read");
    return s->key_error.code;
}

static const struct vt__connecting_class connecting_class = {
    .op = {.name = "ssh.connect", .abort = vt__connecting_abort, .free = vt__connecting_free},
    .retry_first = 0.1,
    .attempt = dial,
    .stop = stop_connecting,
    .timed_out = timed_out,
};

static struct vt_op *ssh_connect(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                                 struct vt_error *err)
{
    struct ssh *s = ssh_of(ch);
    bool idle = !s->connecting.waiting && !s->logged_in;
    if (timeout > 0 && idle && load_key(s, err))
        return NULL;
    return vt__connecting_add(&s->connecting, s->logged_in, timeout, done, user, err);
}

/* ---- the channel ---- */

static bool ssh_connected(const struct vt_channel *ch)
{
    return ssh_of(ch)->logged_in;
}

static void ssh_drop(struct vt_channel *ch, const struct vt_error *why)
{
    struct ssh *s = ssh_of(ch);
    if (s->logged_in) {
        struct vt__ssh_conn *c = s->conn;
        s->conn = NULL;
        s->logged_in = false;
        vt__ssh_conn_close(c, why);
    }
    stop_connecting(ch);
    vt__connecting_end(&s->connecting, why);
}

static void ssh_free(struct vt_channel *ch)
{
    struct ssh *s = ssh_of(ch);
    struct vt_error why = VT_ERROR_INIT;
    vt_fail(&why, VT_ECANCELED, "ssh", "the connection was closed");
    ssh_drop(ch, &why);
    vt_free(s->host);
    vt_free(s->user);
    vt_free(s->key_file);
    wipe(s->passphrase);
    wipe(s->password);
    vt_free(s->host_key);
    vt_free(s);
    libssh2_exit();
}

static const struct vt_channel_class ssh_class = {
    .name = "ssh",
    .connect = ssh_connect,
    .exec = vt__ssh_exec,
    .transfer = vt__ssh_transfer,
    .connected = ssh_connected,
    .drop = ssh_drop,
    .free = ssh_free,
};

/* "TYPE BASE64 comment" without the comment; NULL where it is not of that form. */
static char *trim_host_key(const char *text)
{
    size_t type = strcspn(text, " \t");
    const char *key = text + type + strspn(text + type, " \t");
    size_t n = strcspn(key, " \t\r\n");
    if (!type || !n || strncmp(key, "AAAA", 4) != 0)
        return NULL;
    struct vt_buf out = VT_BUF_INIT;
    vt_buf_add(&out, text, type);
    vt_buf_putc(&out, ' ');
    vt_buf_add(&out, key, n);
    return vt_buf_steal(&out);
}

static enum vt_code check(const struct vt_ssh_config *config, struct vt_error *err)
{
    if (!config->find && (!config->host || !config->host[0]))
        return vt_fail(err, VT_EINVAL, "ssh", "the guest's address is missing");
    if (config->port < 1 || config->port > 65535)
        return vt_fail(err, VT_EINVAL, "ssh", "%d is not a port", config->port);
    if (!config->user || !config->user[0])
        return vt_fail(err, VT_EINVAL, "ssh", "the user to log in as is missing");
    if (!config->key_file && !config->password && !config->agent) {
        vt_fail(err, VT_EINVAL, "ssh", "there is nothing to log in with");
        vt_hint(err, "give a key file, a password, or allow the ssh agent");
        return VT_EINVAL;
    }
    return VT_OK;
}

struct vt_channel *vt_ssh_new(struct vt_loop *loop, const struct vt_ssh_config *config,
                              struct vt_error *err)
{
    if (check(config, err))
        return NULL;
    char *host_key = config->host_key ? trim_host_key(config->host_key) : NULL;
    if (config->host_key && !host_key) {
        vt_fail(err, VT_EINVAL, "ssh", "the host key is not of the form \"ssh-ed25519 AAAA...\"");
        return NULL;
    }
    if (libssh2_init(0)) {
        vt_fail(err, VT_EINTERNAL, "ssh", "libssh2 cannot be initialised");
        vt_free(host_key);
        return NULL;
    }
    struct ssh *s = vt_calloc(1, sizeof *s);
    s->base.cls = &ssh_class;
    s->base.loop = loop;
    s->connecting.cls = &connecting_class;
    s->connecting.ch = &s->base;
    s->host = vt_strdup(config->host ? config->host : "");
    s->find = config->find;
    s->find_user = config->find_user;
    s->port = config->port;
    s->user = vt_strdup(config->user);
    s->key_file = vt_strdup(config->key_file);
    s->passphrase = vt_strdup(config->passphrase);
    s->password = vt_strdup(config->password);
    s->agent = config->agent;
    s->host_key = host_key;
    s->known_only = config->known_only;
    return &s->base;
}

const char *vt_ssh_host_key(const struct vt_channel *ch)
{
    return ssh_of(ch)->host_key;
}
