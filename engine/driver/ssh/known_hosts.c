/* known_hosts, by libssh2's reader. */
#include <libssh2.h>
#include <openssl/evp.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "driver/ssh/options.h"

#define OP "vm.new"
#define FILE_MAX ((size_t)4 << 20)
#define TYPE_MAX 64

/* Best first. */
static const char *const types[] = {"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
                                    "ecdsa-sha2-nistp521", "ssh-rsa"};
#define TYPES (sizeof types / sizeof *types)

/* The place in `types` of a key in base64, whose bytes begin with the length and name of its type;
 * TYPES where it has none. */
static size_t type_of(const char *key)
{
    unsigned char blob[3 * TYPE_MAX / 4 + 3];
    size_t n = strlen(key) / 4 * 4;
    int size = EVP_DecodeBlock(blob, (const unsigned char *)key, n < TYPE_MAX ? (int)n : TYPE_MAX);
    size_t at = 0;
    for (; size > 4 && at < TYPES; at++) {
        size_t length = strlen(types[at]);
        if (!blob[0] && !blob[1] && !blob[2] && blob[3] == length && (size_t)size >= 4 + length &&
            !memcmp(blob + 4, types[at], length))
            return at;
    }
    return TYPES;
}

/* Each line ends by a newline. What libssh2 does not know (markers, say) is passed over. */
static void read_lines(LIBSSH2_KNOWNHOSTS *hosts, char *text)
{
    for (char *line = text, *next; *line; line = next) {
        size_t n = strcspn(line, "\n") + 1; /* it counts on the end of the line being there */
        next = line + n;
        if (line[0] != '@')
            libssh2_knownhost_readline(hosts, line, n, LIBSSH2_KNOWNHOST_FILE_OPENSSH);
    }
}

/* Names may be hashed, so each key of the file is asked for with this host's name. */
static char *best_key(LIBSSH2_KNOWNHOSTS *hosts, const char *host, int port)
{
    const char *best = NULL;
    size_t best_type = TYPES;
    struct libssh2_knownhost *at = NULL, *found = NULL;
    while (libssh2_knownhost_get(hosts, &at, at) == 0) {
        if (!at->key)
            continue;
        size_t type = type_of(at->key);
        if (type < best_type &&
            libssh2_knownhost_checkp(hosts, host, port, at->key, strlen(at->key),
                                     LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_BASE64,
                                     &found) == LIBSSH2_KNOWNHOST_CHECK_MATCH) {
            best = at->key;
            best_type = type;
        }
    }
    if (!best)
        return NULL;
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "%s %s", types[best_type], best);
    return vt_buf_steal(&line);
}

enum vt_code vt_ssh_known_key(const char *path, const char *host, int port, char **out,
                              struct vt_error *err)
{
    struct vt_buf text = VT_BUF_INIT;
    *out = NULL;
    enum vt_code code = vt_read_file(path, FILE_MAX, &text, err);
    if (code)
        return code;
    vt_buf_putc(&text, '\n');
    LIBSSH2_SESSION *session = libssh2_init(0) ? NULL : libssh2_session_init();
    LIBSSH2_KNOWNHOSTS *hosts = session ? libssh2_knownhost_init(session) : NULL;
    if (hosts) {
        read_lines(hosts, text.data);
        *out = best_key(hosts, host, port);
        libssh2_knownhost_free(hosts);
    } else {
        code = vt_fail(err, VT_EINTERNAL, OP, "libssh2 cannot be initialised");
    }
    if (session) {
        libssh2_session_free(session);
        libssh2_exit();
    }
    vt_buf_free(&text);
    return code;
}
