/* A real ssh server of the test's own on 127.0.0.1: OpenSSH's sshd, or dropbear where the
 * environment says VMTEST_TEST_SERVER=dropbear. Keys, configuration and a folder to work in are
 * made in a new temporary folder and removed with it. */
#ifndef VT_TESTS_SSH_SERVER_H
#define VT_TESTS_SSH_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "guest/ssh.h"

struct ssh_server {
    char dir[64];
    char user[64];
    char key[128];        /* user's private key, ed25519 */
    char key_locked[128]; /* the same kind with the passphrase "secret", accepted too */
    char key_ecdsa[128];  /* accepted too */
    char key_unknown[128];
    char *host_key;  /* "ssh-ed25519 AAAA…" */
    char *other_key; /* the same kind, another key */
    int port;
    pid_t pid;
    bool dropbear;
};

/* Why no server can run here, or NULL. */
const char *ssh_server_missing(void);

/* Prepares keys and a port; nothing listens yet. */
void ssh_server_prepare(struct ssh_server *s);

/* config: further lines for sshd_config, or NULL. Fails the test where it does not come up. */
void ssh_server_listen(struct ssh_server *s, const char *config);

/* As ssh_server_listen() in a mount namespace of its own, where /etc/passwd and /etc/shadow know
 * the user "vtuser" with the password "pass word'$1". Only for root. */
void ssh_server_listen_with_password(struct ssh_server *s, const char *config);
#define SSH_SERVER_USER "vtuser"
#define SSH_SERVER_PASSWORD "pass word'$1"
const char *ssh_server_no_namespace(void); /* why not, or NULL */

/* Both of the above. */
void ssh_server_start(struct ssh_server *s, const char *config);

/* Ends the server and every connection of it at once (SIGKILL). */
void ssh_server_kill(struct ssh_server *s);

void ssh_server_free(struct ssh_server *s);

/* user and key_file set, nothing pinned. */
struct vt_ssh_config ssh_server_config(const struct ssh_server *s);

/* A path inside the server's folder; static buffers, four in turn. */
const char *ssh_server_path(const struct ssh_server *s, const char *name);

/* A port of 127.0.0.1 where nothing listens now. */
int free_port(void);

#endif
