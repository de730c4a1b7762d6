/* A guest that is real: QEMU by emulation, with the framework's operations as QEMU has them. What
 * the framework does by vsock is a virtio-serial port here, which the same agent serves. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sys.h"
#include "guest.h"
#include "qemu_argv.h"
#include "qemu_monitor.h"
#include "qemu_shares.h"

enum { agent_port = 0x764d }; /* shim/agent/protocol.md */

struct guest {
    struct monitor *monitor;
    char name[40]; /* its sockets', which are abstract: nothing of a guest that was killed stays */
    bool vsock, saved;
    pid_t *servers; /* of its shares */
    size_t server_count;
};

/* --- its agent's socket --- */

static socklen_t agent_address(const struct guest *g, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "%s-agent", g->name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static int listen_for_agent(const struct guest *g, char why[GUEST_WHY])
{
    struct sockaddr_un address;
    socklen_t size = agent_address(g, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, size) && !listen(fd, 8))
        return fd;
    snprintf(why, GUEST_WHY, "the agent's socket: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int connect_to(struct guest *g, uint32_t port, char why[GUEST_WHY])
{
    struct sockaddr_un address;
    if (!g->vsock || port != agent_port) {
        snprintf(why, GUEST_WHY, "nothing in the guest listens on port %u", (unsigned)port);
        return -1;
    }
    socklen_t size = agent_address(g, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, size))
        return fd;
    snprintf(why, GUEST_WHY, "the guest's agent: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* --- saving and restoring: QEMU's migration, by a file --- */

static bool await_migration(struct guest *g, char why[GUEST_WHY])
{
    for (;;) {
        json_t *told = NULL;
        if (!monitor_ask(g->monitor, "query-migrate", NULL, &told, why))
            return false;
        const char *status = json_string_value(json_object_get(told, "status"));
        bool done = status && !strcmp(status, "completed");
        bool failed = status && (!strcmp(status, "failed") || !strcmp(status, "cancelled"));
        if (failed)
            snprintf(why, GUEST_WHY, "QEMU: the migration %s: %.100s", status,
                     json_string_value(json_object_get(told, "error-desc"))
                         ? json_string_value(json_object_get(told, "error-desc"))
                         : "");
        json_decref(told);
        if (done || failed)
            return done;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

static bool migrate(struct guest *g, const char *command, int fd, char why[GUEST_WHY])
{
    return monitor_ask(g->monitor, "migrate-set-parameters",
                       json_pack("{s:I}", "max-bandwidth", (json_int_t)1 << 40), NULL, why) &&
           monitor_give(g->monitor, "state", fd, why) &&
           monitor_ask(g->monitor, command, json_pack("{s:s}", "uri", "fd:state"), NULL, why) &&
           await_migration(g, why);
}

static bool save(struct guest *g, const char *path, char why[GUEST_WHY])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(why, GUEST_WHY, "%.120s: %s", path, strerror(errno));
        return false;
    }
    /* QEMU saves no second time before the guest ran */
    bool good = !g->saved || (monitor_ask(g->monitor, "cont", NULL, NULL, why) &&
                              monitor_ask(g->monitor, "stop", NULL, NULL, why));
    good = good && migrate(g, "migrate", fd, why);
    g->saved = good;
    close(fd);
    if (!good)
        unlink(path);
    return good;
}

static bool restore(struct guest *g, const char *path, char why[GUEST_WHY])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(why, GUEST_WHY, "%.120s: %s", path, strerror(errno));
        return false;
    }
    bool good = migrate(g, "migrate-incoming", fd, why);
    close(fd);
    return good;
}

/* --- USB disks --- */

static bool unplug(struct guest *g, unsigned number, char why[GUEST_WHY])
{
    char device[32], node[32];
    snprintf(device, sizeof device, "stick%u", number);
    snprintf(node, sizeof node, "stick%u-file", number);
    bool good = monitor_ask(g->monitor, "device_del", json_pack("{s:s}", "id", device), NULL, why);
    bool removed = false;
    for (int tries = 0; good && !removed && tries < 200; tries++) { /* a moment after the device */
        removed = monitor_ask(g->monitor, "blockdev-del", json_pack("{s:s}", "node-name", node),
                              NULL, why);
        if (!removed)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return good && removed;
}

static bool plug(struct guest *g, unsigned number, const struct guest_disk *disk,
                 char why[GUEST_WHY])
{
    char device[32], node[32];
    snprintf(device, sizeof device, "stick%u", number);
    snprintf(node, sizeof node, "stick%u-file", number);
    json_t *file =
        json_pack("{s:s, s:s, s:s}", "driver", "file", "filename", disk->path, "locking", "off");
    json_t *raw = json_pack("{s:s, s:s, s:b, s:o}", "driver", "raw", "node-name", node, "read-only",
                            (int)disk->read_only, "file", file);
    if (!monitor_ask(g->monitor, "blockdev-add", raw, NULL, why))
        return false;
    if (monitor_ask(g->monitor, "device_add",
                    json_pack("{s:s, s:s, s:s, s:s}", "driver", "usb-storage", "id", device, "bus",
                              "usb.0", "drive", node),
                    NULL, why))
        return true;
    char ignored[GUEST_WHY];
    monitor_ask(g->monitor, "blockdev-del", json_pack("{s:s}", "node-name", node), NULL, ignored);
    return false;
}

/* --- its life --- */

static void stop(struct guest *g)
{
    if (g->monitor)
        monitor_end(g->monitor);
    for (size_t i = 0; i < g->server_count; i++) {
        kill(g->servers[i], SIGKILL);
        waitpid(g->servers[i], NULL, 0);
    }
    vt_free(g->servers);
    vt_free(g);
}

static bool launch(struct guest *g, const struct guest_config *c, char **sockets,
                   guest_ended *ended, void *user, char why[GUEST_WHY])
{
    struct vt_args args = VT_ARGS_INIT;
    struct monitor_opts opts = {.args = &args,
                                .in = c->console_in,
                                .out = c->console_out,
                                .agent = -1,
                                .ended = ended,
                                .user = user};
    qemu_argv(&args, c, sockets);
    if (c->vsock)
        opts.agent = listen_for_agent(g, why);
    if (!c->vsock || opts.agent >= 0)
        g->monitor = monitor_start(&opts, why);
    if (opts.agent >= 0)
        close(opts.agent);
    vt_args_free(&args);
    return g->monitor != NULL;
}

static bool serve_shares(struct guest *g, const struct guest_config *c, char **sockets,
                         char why[GUEST_WHY])
{
    g->servers = vt_calloc(c->share_count + 1, sizeof *g->servers);
    for (size_t i = 0; i < c->share_count; i++) {
        sockets[i] = vt_malloc(sizeof g->name + 32);
        snprintf(sockets[i], sizeof g->name + 32, "%s-share%zu", g->name, i);
        int pid = qemu_share_serve(&c->shares[i], sockets[i], why);
        if (pid < 0)
            return false;
        g->servers[g->server_count++] = pid;
    }
    return true;
}

static struct guest *start(const struct guest_config *c, guest_ended *ended, void *user,
                           char why[GUEST_WHY])
{
    if (strcmp(c->boot, "linux") != 0) {
        snprintf(why, GUEST_WHY, "the emulated guest boots kernels alone, no \"%s\"", c->boot);
        return NULL;
    }
    struct guest *g = vt_calloc(1, sizeof *g);
    char **sockets = vt_calloc(c->share_count + 1, sizeof *sockets);
    g->vsock = c->vsock;
    char random[17];
    vt_random_hex(random, 16);
    snprintf(g->name, sizeof g->name, "vmtest-fake-vz-%s", random);
    bool good = serve_shares(g, c, sockets, why) && launch(g, c, sockets, ended, user, why) &&
                (c->restore ? restore(g, c->restore, why)
                            : monitor_ask(g->monitor, "cont", NULL, NULL, why));
    for (size_t i = 0; i < c->share_count; i++)
        vt_free(sockets[i]);
    vt_free(sockets);
    if (good)
        return g;
    stop(g);
    return NULL;
}

static bool pause_guest(struct guest *g, char why[GUEST_WHY])
{
    return monitor_ask(g->monitor, "stop", NULL, NULL, why);
}

static bool resume(struct guest *g, char why[GUEST_WHY])
{
    g->saved = false;
    return monitor_ask(g->monitor, "cont", NULL, NULL, why);
}

static bool request_stop(struct guest *g, char why[GUEST_WHY])
{
    return monitor_ask(g->monitor, "system_powerdown", NULL, NULL, why);
}

const struct guest_ops guest_qemu = {
    .name = "qemu",
    .start = start,
    .pause = pause_guest,
    .resume = resume,
    .request_stop = request_stop,
    .save = save,
    .connect = connect_to,
    .plug = plug,
    .unplug = unplug,
    .stop = stop,
};
