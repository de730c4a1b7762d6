/* The ssh channel: libssh2, non-blocking, inside the loop. */
#ifndef VT_GUEST_SSH_H
#define VT_GUEST_SSH_H

#include "guest/channel.h"

struct vt_ssh_config {
    const char *host; /* numeric address, or a name that is resolved inside the loop */
    /* Or, with host NULL, asked before each attempt to connect: writes a numeric address, or says
     * why it is not known yet. `find_user` is to live as long as the channel. */
    bool (*find)(void *find_user, char *host, size_t size, struct vt_error *why);
    void *find_user;
    int port;
    const char *user;
    const char *key_file;   /* private key (OpenSSH or PEM format), or NULL */
    const char *passphrase; /* of key_file, or NULL */
    const char *password;   /* or NULL */
    bool agent;             /* also try the keys of SSH_AUTH_SOCK */
    const char *host_key;   /* "ssh-ed25519 AAAA…" as in known_hosts, pinned; NULL: the first key
                               that is seen is pinned for the channel's life */
    bool known_only;        /* with host_key NULL: no credential is shown to any server; connecting
                               fails with VT_EHOSTKEY, which tells the key it has */
};

/* Copies the configuration. VT_EINVAL with *err set (and NULL) where it is incomplete. */
struct vt_channel *vt_ssh_new(struct vt_loop *loop, const struct vt_ssh_config *config,
                              struct vt_error *err);

/* The host key that was seen, "ssh-ed25519 AAAA…", or NULL before the first connection. */
const char *vt_ssh_host_key(const struct vt_channel *ch);

#endif
