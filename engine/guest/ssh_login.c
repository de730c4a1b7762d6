/* Logging in: key exchange, host key, then the credentials in turn. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "guest/ssh_internal.h"
#include "vmtest/log.h"

enum state { HANDSHAKE, HOST_KEY, KEY, OFFERED, AGENT, PASSWORD, INTERACTIVE, REFUSED, READY };

struct login {
    struct vt__ssh_task task; /* first */
    enum state state;
    const struct vt__ssh_credentials *cred;
    vt__ssh_login_fn done;
    void *user;
    char *host_key; /* seen */
    char *offered;  /* methods, as the server lists them */
    struct vt_buf tried;
    struct vt__ssh_agent *agent;
    size_t agent_at; /* which of its keys is tried */
    unsigned answers;
};

/* What a state did: wait for the peer, go on with the (new) state, or the login has ended. */
enum outcome { WAIT, NEXT, ENDED };

/* Fast ones first, for guests whose processor is emulated; names that the installed libssh2 does
 * not know are skipped by it. */
static const struct {
    int method;
    const char *list;
} preferences[] = {
    {LIBSSH2_METHOD_KEX,
     "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
     "ecdh-sha2-nistp521,diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,"
     "diffie-hellman-group14-sha256,diffie-hellman-group14-sha1"},
    {LIBSSH2_METHOD_CRYPT_CS,
     "aes128-gcm@openssh.com,aes128-ctr,aes256-gcm@openssh.com,aes192-ctr,aes256-ctr,"
     "chacha20-poly1305@openssh.com,aes128-cbc,aes256-cbc"},
    {LIBSSH2_METHOD_CRYPT_SC,
     "aes128-gcm@openssh.com,aes128-ctr,aes256-gcm@openssh.com,aes192-ctr,aes256-ctr,"
     "chacha20-poly1305@openssh.com,aes128-cbc,aes256-cbc"},
    {LIBSSH2_METHOD_MAC_CS,
     "hmac-sha2-256-etm@openssh.com,hmac-sha2-256,hmac-sha2-512-etm@openssh.com,hmac-sha2-512,"
     "hmac-sha1"},
    {LIBSSH2_METHOD_MAC_SC,
     "hmac-sha2-256-etm@openssh.com,hmac-sha2-256,hmac-sha2-512-etm@openssh.com,hmac-sha2-512,"
     "hmac-sha1"},
};

static const char host_key_types[] = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
                                     "ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256,ssh-rsa";

static void login_free(struct login *l)
{
    vt__ssh_agent_free(l->agent);
    vt_buf_free(&l->tried);
    vt_free(l->host_key);
    vt_free(l->offered);
    vt_free(l);
}

static void login_end(struct login *l, const struct vt_error *why, bool again)
{
    vt__ssh_task_remove(&l->task);
    l->done(l->user, why, again, l->host_key);
    login_free(l);
}

static void login_lost(struct vt__ssh_task *task, const struct vt_error *why)
{
    struct login *l = (struct login *)(void *)task;
    l->done(l->user, why, true, l->host_key);
    login_free(l);
}

/* ---- key exchange ---- */

/* Asks for `list`, less what the installed libssh2 does not know: before 1.11 it takes unknown
 * names out by itself, but copies over itself in doing so. */
static void prefer_known(LIBSSH2_SESSION *session, int method, const char *list)
{
    const char **known = NULL;
    int n = libssh2_session_supported_algs(session, method, &known);
    struct vt_buf out = VT_BUF_INIT;
    for (const char *at = list; n > 0 && *at;) {
        size_t length = strcspn(at, ",");
        for (int i = 0; i < n; i++)
            if (strlen(known[i]) == length && !strncmp(known[i], at, length))
                vt_buf_printf(&out, "%s%s", out.len ? "," : "", known[i]);
        at += length + (at[length] == ',');
    }
    if (n > 0)
        libssh2_free(session, known);
    if (out.len)
        libssh2_session_method_pref(session, method, vt_buf_str(&out));
    vt_buf_free(&out);
}

static void prefer(struct login *l)
{
    LIBSSH2_SESSION *session = l->task.conn->session;
    for (size_t i = 0; i < sizeof preferences / sizeof preferences[0]; i++)
        prefer_known(session, preferences[i].method, preferences[i].list);
    /* the pinned type first: a server with several keys then shows that one */
    struct vt_buf types = VT_BUF_INIT;
    if (l->cred->host_key) {
        int n = (int)strcspn(l->cred->host_key, " ");
        if (n == 7 && !strncmp(l->cred->host_key, "ssh-rsa", 7))
            vt_buf_puts(&types, "rsa-sha2-512,rsa-sha2-256,");
        vt_buf_printf(&types, "%.*s,", n, l->cred->host_key);
    }
    vt_buf_puts(&types, host_key_types);
    prefer_known(session, LIBSSH2_METHOD_HOSTKEY, vt_buf_str(&types));
    vt_buf_free(&types);
}

static enum outcome handshake(struct login *l)
{
    struct vt__ssh_conn *c = l->task.conn;
    int rc = libssh2_session_handshake(c->session, c->wire.fd);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return WAIT;
    if (!rc) {
        l->state = HOST_KEY;
        return NEXT;
    }
    struct vt_error why = VT_ERROR_INIT;
    bool agreed = rc != LIBSSH2_ERROR_KEX_FAILURE && rc != LIBSSH2_ERROR_METHOD_NONE;
    vt_fail(&why, agreed ? VT_EGUEST : VT_EPROTO, "ssh", "the ssh key exchange failed: %s",
            vt__ssh_last_error(c));
    if (!agreed)
        vt_hint(&why, "the server and libssh2 %s may have no algorithm in common",
                libssh2_version(0));
    login_end(l, &why, agreed);
    return ENDED;
}

/* ---- host key ---- */

static char *base64(const unsigned char *data, size_t n)
{
    unsigned char *out = vt_malloc(4 * ((n + 2) / 3) + 1);
    EVP_EncodeBlock(out, data, (int)n);
    return (char *)out;
}

/* "SHA256:…" as ssh-keygen -l shows it. */
static char *fingerprint(const unsigned char *blob, size_t n)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(blob, n, digest, &size, EVP_sha256(), NULL);
    char *text = base64(digest, size);
    text[strcspn(text, "=")] = '\0';
    struct vt_buf out = VT_BUF_INIT;
    vt_buf_printf(&out, "SHA256:%s", text);
    vt_free(text);
    return vt_buf_steal(&out);
}

/* The fingerprint of "TYPE BASE64". */
static char *fingerprint_of_line(const char *line)
{
    const char *text = strchr(line, ' ');
    text = text ? text + 1 : "";
    size_t n = strlen(text);
    unsigned char *blob = vt_malloc(n + 4);
    int size = EVP_DecodeBlock(blob, (const unsigned char *)text, (int)n);
    for (size_t i = n; size > 0 && i > 0 && text[i - 1] == '='; i--)
        size--;
    char *result = fingerprint(blob, size > 0 ? (size_t)size : 0);
    vt_free(blob);
    return result;
}

/* "TYPE BASE64" of a key's blob, whose first string is its type. */
static char *key_line(const unsigned char *blob, size_t n)
{
    size_t type = n < 4 ? 0
                        : ((size_t)blob[0] << 24 | (size_t)blob[1] << 16 | (size_t)blob[2] << 8 |
                           (size_t)blob[3]);
    if (n < 4 || type > n - 4 || type > 64)
        type = 0;
    char *text = base64(blob, n);
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_add(&line, n < 4 ? (const unsigned char *)"" : blob + 4, type);
    vt_buf_printf(&line, " %s", text);
    vt_free(text);
    return vt_buf_steal(&line);
}

static enum outcome refuse_unknown(struct login *l, const unsigned char *blob, size_t n)
{
    struct vt_error why = VT_ERROR_INIT;
    const struct vt__ssh_credentials *cred = l->cred;
    char *seen = fingerprint(blob, n), name[300];
    if (cred->port == 22)
        snprintf(name, sizeof name, "%s", cred->host);
    else
        snprintf(name, sizeof name, "[%s]:%d", cred->host, cred->port);
    vt_fail(&why, VT_EHOSTKEY, "ssh",
            "the host key of %s is not known, so nothing was sent to it. Its fingerprint is %s; "
            "where that is the machine's own, this line makes it known: %s %s",
            name, seen, name, l->host_key);
    vt_hint(&why, "add the line to a known_hosts file, or give the key as host_key; "
                  "`ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub` on the machine shows its own");
    vt_free(seen);
    login_end(l, &why, false);
    return ENDED;
}

static enum outcome check_host_key(struct login *l)
{
    size_t n = 0;
    int type = 0;
    const char *key = libssh2_session_hostkey(l->task.conn->session, &n, &type);
    const unsigned char *blob = (const unsigned char *)key;
    struct vt_error why = VT_ERROR_INIT;
    if (!blob || !n || n > 65536) {
        vt_fail(&why, VT_EPROTO, "ssh", "the server showed no host key");
        login_end(l, &why, false);
        return ENDED;
    }
    l->host_key = key_line(blob, n);
    const char *pinned = l->cred->host_key;
    if (!pinned && l->cred->known_only)
        return refuse_unknown(l, blob, n);
    if (!pinned || !strcmp(pinned, l->host_key)) {
        l->state = l->cred->key ? KEY : OFFERED;
        return NEXT;
    }
    char *seen = fingerprint(blob, n), *wanted = fingerprint_of_line(pinned);
    vt_fail(&why, VT_EHOSTKEY, "ssh",
            "the guest shows another host key than expected: %.*s %s instead of %.*s %s",
            (int)strcspn(l->host_key, " "), l->host_key, seen, (int)strcspn(pinned, " "), pinned,
            wanted);
    vt_hint(&why, "where the guest was installed anew, configure its new host key; else something "
                  "else answers at this address");
    vt_free(seen);
    vt_free(wanted);
    login_end(l, &why, false);
    return ENDED;
}

/* ---- credentials ---- */

static void tried(struct login *l, const char *what, const char *why)
{
    vt_buf_printf(&l->tried, "%s%s (%s)", l->tried.len ? ", " : "", what, why);
}

static enum outcome go(struct login *l, enum state state)
{
    l->state = state;
    return NEXT;
}

static const char *user_of(const struct login *l)
{
    return l->cred->user;
}

static bool is_lost(int rc)
{
    return rc == LIBSSH2_ERROR_SOCKET_DISCONNECT || rc == LIBSSH2_ERROR_SOCKET_RECV ||
           rc == LIBSSH2_ERROR_SOCKET_SEND;
}

static bool is_refusal(int rc)
{
    return rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED || rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED;
}

static bool is_of_server(int rc)
{
    return is_lost(rc) || is_refusal(rc);
}

/* Common to all methods: on success ready, on refusal the next state. */
static enum outcome judge(struct login *l, int rc, const char *what, enum state next)
{
    struct vt__ssh_conn *c = l->task.conn;
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return WAIT;
    if (!rc)
        return go(l, READY);
    if (is_lost(rc)) {
        vt__ssh_conn_break(c, "logging in");
        return WAIT;
    }
    tried(l, what, is_refusal(rc) ? "refused" : vt__ssh_last_error(c));
    return go(l, next);
}

static enum outcome with_key(struct login *l)
{
    const struct vt__ssh_credentials *cred = l->cred;
    int rc = libssh2_userauth_publickey_frommemory(
        l->task.conn->session, user_of(l), strlen(user_of(l)), NULL, 0, cred->key, cred->key_size,
        cred->passphrase ? cred->passphrase : "");
    struct vt_buf what = VT_BUF_INIT;
    vt_buf_printf(&what, "key file %s", cred->key_file);
    enum outcome outcome;
    if (!rc || rc == LIBSSH2_ERROR_EAGAIN || is_of_server(rc)) {
        outcome = judge(l, rc, vt_buf_str(&what), OFFERED);
    } else {
        struct vt_buf why = VT_BUF_INIT;
        vt_buf_printf(&why, "it cannot be read: %s, or libssh2 does not know its format: %s",
                      cred->passphrase ? "its passphrase is wrong" : "it needs a passphrase",
                      vt__ssh_last_error(l->task.conn));
        tried(l, vt_buf_str(&what), vt_buf_str(&why));
        vt_buf_free(&why);
        outcome = go(l, OFFERED);
    }
    vt_buf_free(&what);
    return outcome;
}

static bool offers(const struct login *l, const char *method)
{
    size_t n = strlen(method);
    for (const char *at = l->offered; at && *at;) {
        size_t length = strcspn(at, ",");
        if (length == n && !strncmp(at, method, n))
            return true;
        at += length + (at[length] == ',');
    }
    return false;
}

static enum outcome ask_offered(struct login *l)
{
    struct vt__ssh_conn *c = l->task.conn;
    const char *list = libssh2_userauth_list(c->session, user_of(l), (unsigned)strlen(user_of(l)));
    if (!list) {
        if (libssh2_userauth_authenticated(c->session))
            return go(l, READY); /* the server asks for nothing */
        if (libssh2_session_last_errno(c->session) == LIBSSH2_ERROR_EAGAIN)
            return WAIT;
        vt__ssh_conn_break(c, "asking how to log in");
        return WAIT;
    }
    l->offered = vt_strdup(list);
    return go(l, AGENT);
}

static void agent_news(void *user)
{
    struct login *l = user;
    vt__ssh_conn_kick(l->task.conn);
}

static int sign(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len,
                const unsigned char *data, size_t n, void **abstract)
{
    struct login *l = *abstract;
    const struct vt__ssh_agent_key *keys = NULL;
    size_t count = 0, size = 0;
    const unsigned char *made = NULL;
    (void)session;
    if (vt__ssh_agent_keys(l->agent, &keys, &count) != 1 || l->agent_at >= count)
        return -1;
    int rc = vt__ssh_agent_sign(l->agent, &keys[l->agent_at], data, n, &made, &size);
    if (rc <= 0)
        return rc ? -1 : LIBSSH2_ERROR_EAGAIN;
    *sig = vt__ssh_alloc(l->task.conn, size);
    if (!*sig)
        return -1;
    memcpy(*sig, made, size);
    *sig_len = size;
    return 0;
}

static enum outcome with_agent(struct login *l)
{
    enum { max_keys = 5 }; /* servers hang up after six refusals */
    if (!l->cred->agent || !offers(l, "publickey"))
        return go(l, PASSWORD);
    if (!l->agent) {
        struct vt_error why = VT_ERROR_INIT;
        l->agent = vt__ssh_agent_new(l->task.conn->loop, NULL, agent_news, l, &why);
        if (!l->agent) {
            tried(l, "ssh agent", why.message);
            return go(l, PASSWORD);
        }
    }
    const struct vt__ssh_agent_key *keys = NULL;
    size_t n = 0;
    int rc = vt__ssh_agent_keys(l->agent, &keys, &n);
    if (!rc)
        return WAIT;
    if (rc < 0 || l->agent_at >= n || l->agent_at >= max_keys) {
        if (!l->agent_at)
            tried(l, "ssh agent", rc < 0 ? "it does not answer as an agent" : "it holds no key");
        return go(l, PASSWORD);
    }
    void *abstract = l;
    const struct vt__ssh_agent_key *key = &keys[l->agent_at];
    rc = libssh2_userauth_publickey(l->task.conn->session, user_of(l), key->blob, key->size, sign,
                                    &abstract);
    enum outcome outcome = judge(l, rc, "key of the ssh agent", AGENT);
    if (outcome == NEXT)
        l->agent_at++;
    return outcome;
}

static enum outcome with_password(struct login *l)
{
    if (!l->cred->password)
        return go(l, REFUSED);
    if (!offers(l, "password"))
        return go(l, INTERACTIVE);
    int rc = libssh2_userauth_password_ex(l->task.conn->session, user_of(l),
                                          (unsigned)strlen(user_of(l)), l->cred->password,
                                          (unsigned)strlen(l->cred->password), NULL);
    if (rc == LIBSSH2_ERROR_PASSWORD_EXPIRED) {
        tried(l, "password", "it has expired");
        return go(l, REFUSED);
    }
    return judge(l, rc, "password", REFUSED);
}

/* Answers each prompt that hides its answer by the password, once per login. */
static LIBSSH2_USERAUTH_KBDINT_RESPONSE_FUNC(answer)
{
    struct vt__ssh_conn *c = *abstract;
    struct login *l = (struct login *)(void *)c->tasks;
    (void)name;
    (void)name_len;
    (void)instruction;
    (void)instruction_len;
    for (int i = 0; i < num_prompts; i++) {
        const char *text = !prompts[i].echo && l->answers++ < 3 ? l->cred->password : "";
        size_t n = strlen(text);
        responses[i].text = vt__ssh_alloc(c, n + 1);
        if (!responses[i].text)
            continue;
        memcpy(responses[i].text, text, n);
        responses[i].length = (unsigned)n;
    }
}

static enum outcome with_interactive(struct login *l)
{
    if (!offers(l, "keyboard-interactive"))
        return go(l, REFUSED);
    int rc = libssh2_userauth_keyboard_interactive_ex(l->task.conn->session, user_of(l),
                                                      (unsigned)strlen(user_of(l)), answer);
    return judge(l, rc, "password (keyboard-interactive)", REFUSED);
}

static enum outcome refuse(struct login *l)
{
    struct vt_error why = VT_ERROR_INIT;
    if (l->cred->key_error)
        tried(l, "key file", l->cred->key_error);
    vt_fail(&why, VT_EAUTH, "ssh", "the guest lets %s not in; tried: %s; the server offers: %s",
            user_of(l), l->tried.len ? vt_buf_str(&l->tried) : "nothing",
            l->offered ? l->offered : "nothing");
    vt_hint(&why, "check the user name and that the guest accepts this key or password; servers "
                  "since OpenSSH 8.8 refuse the RSA signatures of libssh2 before 1.11: use an "
                  "ed25519 or ecdsa key");
    login_end(l, &why, false);
    return ENDED;
}

static enum outcome ready(struct login *l)
{
    LIBSSH2_SESSION *session = l->task.conn->session;
    const char *kex = libssh2_session_methods(session, LIBSSH2_METHOD_KEX);
    const char *cipher = libssh2_session_methods(session, LIBSSH2_METHOD_CRYPT_CS);
    const char *mac = libssh2_session_methods(session, LIBSSH2_METHOD_MAC_CS);
    vt_log(VT_LOG_DEBUG, "ssh: logged in (%s, %s, %s)", kex ? kex : "?", cipher ? cipher : "?",
           mac ? mac : "?");
    const char *banner = libssh2_session_banner_get(session);
    l->task.conn->spares = banner && strstr(banner, "OpenSSH");
    l->task.conn->fragile = banner && strstr(banner, "dropbear");
    login_end(l, NULL, false);
    return ENDED;
}

static enum outcome (*const states[])(struct login *) = {
    [HANDSHAKE] = handshake, [HOST_KEY] = check_host_key,
    [KEY] = with_key,        [OFFERED] = ask_offered,
    [AGENT] = with_agent,    [PASSWORD] = with_password,
    [REFUSED] = refuse,      [INTERACTIVE] = with_interactive,
    [READY] = ready,
};

static bool login_step(struct vt__ssh_task *task)
{
    struct login *l = (struct login *)(void *)task;
    enum outcome outcome = NEXT;
    bool moved = false;
    while ((outcome = states[l->state](l)) == NEXT)
        moved = true;
    return moved || outcome == ENDED;
}

void vt__ssh_login_start(struct vt__ssh_conn *c, const struct vt__ssh_credentials *cred,
                         vt__ssh_login_fn done, void *user)
{
    struct login *l = vt_calloc(1, sizeof *l);
    l->task.step = login_step;
    l->task.lost = login_lost;
    l->cred = cred;
    l->done = done;
    l->user = user;
    vt__ssh_task_add(c, &l->task);
    prefer(l);
    vt__ssh_conn_kick(c);
}
