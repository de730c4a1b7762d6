#include "ssh_test.h"

#include <stdio.h>

#include "core/mem.h"

void rig_start(struct ssh_rig *r, const char *config)
{
    ssh_server_start(&r->server, config);
    r->base.loop = vt_loop_new(NULL);
    r->base.dir = r->server.dir;
    r->base.longest_line = r->server.dropbear ? 8999 : 32000; /* dropbear has a limit of its own */
    r->base.waits_for_strays = !r->server.dropbear;
    r->base.own_mounts = r->server.dropbear;
    struct vt_ssh_config c = ssh_server_config(&r->server);
    struct vt_error err = VT_ERROR_INIT;
    r->base.ch = vt_ssh_new(r->base.loop, &c, &err);
    assert_non_null(r->base.ch);
    struct outcome o = connect_now(r->base.loop, r->base.ch, 60);
    if (o.code)
        print_error("%s\n", o.error.message);
    assert_int_equal(o.code, VT_OK);
    assert_true(r->base.ch->cls->connected(r->base.ch));
}

void rig_free(struct ssh_rig *r)
{
    r->base.ch->cls->free(r->base.ch);
    vt_loop_free(r->base.loop);
    ssh_server_free(&r->server);
}

int rig_setup(void **state)
{
    struct ssh_rig *r = vt_calloc(1, sizeof *r);
    rig_start(r, NULL);
    *state = r;
    return 0;
}

int rig_teardown(void **state)
{
    rig_free(*state);
    vt_free(*state);
    return 0;
}

bool ssh_test_can_run(void)
{
    const char *why = ssh_server_missing();
    if (why)
        printf("SKIPPED: %s\n", why);
    return !why;
}
