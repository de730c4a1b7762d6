#include "driver/qemu/nbd.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

#define OP "vm.new"
#define RECONNECT_S 2 /* a server that is away longer is an I/O error for the guest */

/* NULL where a %XX is none or stands for a NUL. */
static char *decode(const char *text, size_t n)
{
    struct vt_buf out = VT_BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        char hex[3] = "", *end = hex;
        if (text[i] != '%') {
            vt_buf_putc(&out, text[i]);
            continue;
        }
        if (i + 2 < n)
            memcpy(hex, text + i + 1, 2);
        long c = strtol(hex, &end, 16);
        if (end != hex + 2 || c <= 0 || hex[0] == '-' || hex[0] == '+' || hex[0] == ' ') {
            vt_buf_free(&out);
            return NULL;
        }
        vt_buf_putc(&out, (char)c);
        i += 2;
    }
    return vt_buf_steal(&out);
}

static bool parse_tcp(const char *rest, struct vt_nbd *out)
{
    size_t n = strcspn(rest, "/");
    const char *path = rest[n] ? rest + n + 1 : rest + n, *port = NULL;
    size_t host;
    if (rest[0] == '[') { /* an IPv6 address */
        const char *end = memchr(rest, ']', n);
        if (!end)
            return false;
        host = (size_t)(end - rest) + 1;
        out->host = decode(rest + 1, host - 2);
    } else {
        const char *colon = memchr(rest, ':', n);
        host = colon ? (size_t)(colon - rest) : n;
        out->host = decode(rest, host);
    }
    if (host < n && rest[host] != ':')
        return false;
    if (host < n)
        port = rest + host + 1;
    size_t digits = port ? strspn(port, "0123456789") : 0;
    if (port && (digits == 0 || digits > 5 || port + digits != rest + n || atoi(port) > 65535))
        return false;
    out->port = port ? vt_strndup(port, digits) : vt_strdup(VT_NBD_PORT);
    out->export = decode(path, strlen(path));
    return out->host && *out->host && out->export && !strpbrk(path, "?#");
}

static bool parse_unix(const char *rest, struct vt_nbd *out)
{
    static const char key[] = "socket=";
    size_t n = strcspn(rest, "?");
    if (rest[0] != '/' || !rest[n] || strncmp(rest + n + 1, key, sizeof key - 1) != 0)
        return false;
    const char *path = rest + n + sizeof key;
    out->export = decode(rest + 1, n - 1);
    out->socket = decode(path, strlen(path));
    return out->export && out->socket && out->socket[0] == '/' && !strchr(path, '&');
}

enum vt_code vt_nbd_parse(const char *url, struct vt_nbd *out, struct vt_error *err)
{
    static const char tcp[] = "nbd://", local[] = "nbd+unix://";
    *out = (struct vt_nbd){.host = NULL};
    bool good = false;
    if (!strncmp(url, tcp, sizeof tcp - 1))
        good = parse_tcp(url + sizeof tcp - 1, out);
    else if (!strncmp(url, local, sizeof local - 1))
        good = parse_unix(url + sizeof local - 1, out);
    if (good)
        return VT_OK;
    vt_nbd_clear(out);
    enum vt_code code = vt_fail(err, VT_EINVAL, OP, "\"%s\" is no URL of an NBD disk", url);
    vt_hint(err, "like nbd://host:10809/export or nbd+unix:///export?socket=/path");
    return code;
}

void vt_nbd_clear(struct vt_nbd *nbd)
{
    vt_free(nbd->host);
    vt_free(nbd->port);
    vt_free(nbd->socket);
    vt_free(nbd->export);
    *nbd = (struct vt_nbd){.host = NULL};
}

json_t *vt_nbd_blockdev(const struct vt_nbd *nbd)
{
    json_t *server = nbd->socket ? json_pack("{s:s, s:s}", "type", "unix", "path", nbd->socket)
                                 : json_pack("{s:s, s:s, s:s}", "type", "inet", "host", nbd->host,
                                             "port", nbd->port);
    return json_pack("{s:s, s:o, s:s, s:i}", "driver", "nbd", "server", server, "export",
                     nbd->export, "reconnect-delay", RECONNECT_S);
}
