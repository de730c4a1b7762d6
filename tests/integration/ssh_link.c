#include "ssh_link.h"

#include <stdlib.h>

#include "core/sys.h"

struct ssh_server server;

int server_setup(void **state)
{
    (void)state;
    ssh_server_start(&server, NULL);
    return 0;
}

int server_teardown(void **state)
{
    (void)state;
    ssh_server_free(&server);
    return 0;
}

struct link open_link(const struct vt_ssh_config *config)
{
    struct link l = {.loop = vt_loop_new(NULL)};
    struct vt_error err = VT_ERROR_INIT;
    l.ch = vt_ssh_new(l.loop, config, &err);
    if (!l.ch)
        print_error("%s\n", err.message);
    assert_non_null(l.ch);
    if (!l.ch)
        abort(); /* not reached; for static analysis */
    assert_false(l.ch->cls->connected(l.ch));
    return l;
}

void close_link(struct link *l)
{
    l->ch->cls->free(l->ch);
    vt_loop_free(l->loop);
}

struct outcome try_connect(const struct vt_ssh_config *config, double timeout)
{
    struct link l = open_link(config);
    double before = vt_monotonic();
    struct outcome o = connect_now(l.loop, l.ch, timeout);
    o.duration = vt_monotonic() - before;
    assert_int_equal(l.ch->cls->connected(l.ch), o.code == VT_OK);
    close_link(&l);
    return o;
}
