/* The "ssh" object of a configuration, and the keys of known_hosts files. */
#ifndef VT_DRIVER_SSH_OPTIONS_H
#define VT_DRIVER_SSH_OPTIONS_H

#include <jansson.h>

#include "vmtest/error.h"

struct vt_ssh_options {
    char *host, *user;
    int port;
    char *key;           /* private key: absolute path, or NULL */
    char *password_file; /* absolute path, or NULL */
    bool agent;          /* the keys of SSH_AUTH_SOCK */
    char *host_key;      /* "TYPE BASE64", given or found in known_hosts; or NULL */
    char *known_hosts;   /* absolute path, or NULL */
    bool accept_new;     /* takes the first key it sees for its own */
    char *reboot;        /* command, or NULL */
};

/* Reads strictly; `vm` is the VM's name, for messages. vt_ssh_options_clear() in any case. */
enum vt_code vt_ssh_options_read(const json_t *object, const char *vm, struct vt_ssh_options *out,
                                 struct vt_error *err);
void vt_ssh_options_clear(struct vt_ssh_options *o);

/* The key ("TYPE BASE64", vt_free() it) that a known_hosts file has for host and port, the best
 * type where it has several; *out NULL where it has none. Hashed names count. */
enum vt_code vt_ssh_known_key(const char *path, const char *host, int port, char **out,
                              struct vt_error *err);

#endif
