#include "agent_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"

static const char *program(void)
{
    return getenv("VMTEST_TEST_AGENT");
}

void agent_server_needed(void)
{
    if (program() && access(program(), X_OK) == 0)
        return;
    printf("SKIPPED: VMTEST_TEST_AGENT names no program\n");
    exit(77);
}

void agent_server_start(struct agent_rig *r)
{
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid)
        return;
    execl(program(), program(), "--listen", r->socket, (char *)NULL);
    _exit(127);
}

void agent_server_kill(struct agent_rig *r)
{
    if (!r->pid)
        return;
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

void agent_rig_init(struct agent_rig *r)
{
    *r = (struct agent_rig){.dir = "/tmp/vt-agent-XXXXXX"};
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->socket, sizeof r->socket, "%s/socket", r->dir);
    r->base = (struct rig){.loop = vt_loop_new(NULL),
                           .dir = r->dir,
                           .longest_line = 32000,
                           .ends_commands = true,
                           .fifo_fails = true};
    const struct vt_agent_config config = {.socket_path = r->socket};
    r->base.ch = vt_agent_new(r->base.loop, &config, NULL);
    assert_non_null(r->base.ch);
}

void agent_rig_free(struct agent_rig *r)
{
    r->base.ch->cls->free(r->base.ch);
    vt_loop_free(r->base.loop);
    agent_server_kill(r);
    vt_remove_tree(r->dir, NULL);
}

int agent_setup(void **state)
{
    struct agent_rig *r = vt_calloc(1, sizeof *r);
    agent_rig_init(r);
    agent_server_start(r);
    struct outcome o = connect_now(r->base.loop, r->base.ch, 60);
    if (o.code)
        print_error("%s\n", o.error.message);
    assert_int_equal(o.code, VT_OK);
    assert_true(r->base.ch->cls->connected(r->base.ch));
    *state = r;
    return 0;
}

int agent_teardown(void **state)
{
    agent_rig_free(*state);
    vt_free(*state);
    return 0;
}
