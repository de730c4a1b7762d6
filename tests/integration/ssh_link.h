/* A server that all tests of a program share, and channels to it that do not connect by themselves.
 */
#ifndef VT_TESTS_SSH_LINK_H
#define VT_TESTS_SSH_LINK_H

#include "ssh_test.h"

extern struct ssh_server server;

/* Group fixtures: the server runs. */
int server_setup(void **state);
int server_teardown(void **state);

struct link {
    struct vt_loop *loop;
    struct vt_channel *ch;
};

struct link open_link(const struct vt_ssh_config *config);
void close_link(struct link *l);

/* Connects by a link of its own, which is closed again; duration is that of the attempt. */
struct outcome try_connect(const struct vt_ssh_config *config, double timeout);

#endif
