/* The ssh channel, or the agent's, against OpenSSH's own client on the same guest, turn about:
 *   ssh_bench HOST PORT USER KEY [RUNS [AGENT_SOCKET]]
 * Commands: `true` on the open connection against `ssh` over a ControlMaster. Files: 64 MiB each
 * way against `sftp` with the same cipher; the agent against `scp`, with the cipher it likes. One
 * JSON line each; `ratio` is ours by the peer's median (below 1: faster). Files are made in the
 * folder /tmp of the host and of the guest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sys.h"
#include "guest/agent.h"
#include "guest/ssh.h"

enum { file_size = 64 << 20, most = 1000 };

struct bench {
    struct vt_loop *loop;
    struct vt_channel *ch;
    const char *host, *port, *user, *key;
    const char *socket; /* the agent's, or NULL */
    char dir[64];
    bool done, failed;
};

struct series {
    double ms[most];
    int n;
};

static void on_done(struct vt_op *op, void *user)
{
    struct bench *b = user;
    b->done = true;
    const struct vt_error *why = vt_op_error(op);
    if (why) {
        fprintf(stderr, "%s: %s\n", vt_op_name(op), why->message);
        b->failed = true;
    }
}

/* Milliseconds until an operation that was started at `before` is over. */
static double finish(struct bench *b, const struct vt_op *op, double before,
                     const struct vt_error *err)
{
    if (!op) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
    b->done = false;
    while (!b->done)
        vt_loop_run_once(b->loop, true);
    if (b->failed)
        exit(1);
    return (vt_monotonic() - before) * 1000;
}

static double our_exec(struct bench *b)
{
    struct vt_error err = VT_ERROR_INIT;
    double before = vt_monotonic();
    const struct vt_exec_opts opts = {.command = "true", .timeout = 60};
    return finish(b, b->ch->cls->exec(b->ch, &opts, on_done, b, &err), before, &err);
}

static double our_transfer(struct bench *b, enum vt_direction direction)
{
    struct vt_error err = VT_ERROR_INIT;
    char local[128];
    snprintf(local, sizeof local, "%s/%s", b->dir, direction == VT_PUT ? "source" : "got");
    const struct vt_transfer_opts opts = {
        .direction = direction, .remote = "/tmp/vmtest-bench.bin", .local = local, .timeout = 600};
    double before = vt_monotonic();
    return finish(b, b->ch->cls->transfer(b->ch, &opts, on_done, b, &err), before, &err);
}

static double peer(const char *command)
{
    double before = vt_monotonic();
    if (system(command)) {
        fprintf(stderr, "failed: %s\n", command);
        exit(1);
    }
    return (vt_monotonic() - before) * 1000;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median(struct series *s)
{
    qsort(s->ms, (size_t)s->n, sizeof s->ms[0], by_size);
    return s->ms[s->n / 2];
}

static void report(const char *name, struct series *ours, struct series *theirs,
                   const char *peer_name)
{
    double m = median(ours), p = median(theirs);
    printf("{\"name\":\"%s\",\"unit\":\"ms\",\"median\":%.3f,\"min\":%.3f,\"max\":%.3f,\"n\":%d,"
           "\"ratio\":%.3f,\"peer\":\"%s\"}\n",
           name, m, ours->ms[0], ours->ms[ours->n - 1], ours->n, m / p, peer_name);
    printf("{\"name\":\"%s (%s)\",\"unit\":\"ms\",\"median\":%.3f,\"min\":%.3f,\"max\":%.3f,"
           "\"n\":%d,\"ratio\":1,\"peer\":\"%s\"}\n",
           name, peer_name, p, theirs->ms[0], theirs->ms[theirs->n - 1], theirs->n, peer_name);
    fflush(stdout);
    ours->n = theirs->n = 0;
}

static void options(const struct bench *b, char *out, size_t size)
{
    snprintf(out, size,
             "-q -o ControlPath=%s/control -o BatchMode=yes -o StrictHostKeyChecking=no "
             "-o UserKnownHostsFile=/dev/null -o User=%s -i %s",
             b->dir, b->user, b->key);
}

static void bench_exec(struct bench *b, int runs)
{
    static struct series ours, theirs;
    char common[400], command[600];
    options(b, common, sizeof common);
    snprintf(command, sizeof command, "ssh %s -p %s -MNf %s", common, b->port, b->host);
    peer(command);
    snprintf(command, sizeof command, "exec ssh %s -p %s %s true", common, b->port, b->host);
    for (int i = 0; i < runs; i++) {
        ours.ms[ours.n++] = our_exec(b);
        theirs.ms[theirs.n++] = peer(command);
    }
    report(b->socket ? "agent_true" : "exec on an open session", &ours, &theirs,
           "ssh ControlMaster");
    snprintf(command, sizeof command, "ssh %s -p %s -O exit %s 2>/dev/null", common, b->port,
             b->host);
    peer(command);
}

static void sftp_command(const struct bench *b, bool get, const char *common, char *out,
                         size_t size)
{
    char batch[200];
    if (get)
        snprintf(batch, sizeof batch, "get /tmp/vmtest-bench.bin %s/got2", b->dir);
    else
        snprintf(batch, sizeof batch, "put %s/source /tmp/vmtest-bench.bin", b->dir);
    snprintf(out, size, "echo '%s' | sftp -c aes128-ctr %s -P %s -b - %s >/dev/null", batch, common,
             b->port, b->host);
}

static void scp_command(const struct bench *b, bool get, const char *common, char *out, size_t size)
{
    if (get)
        snprintf(out, size, "exec scp %s -P %s %s:/tmp/vmtest-bench.bin %s/got2", common, b->port,
                 b->host, b->dir);
    else
        snprintf(out, size, "exec scp %s -P %s %s/source %s:/tmp/vmtest-bench.bin", common, b->port,
                 b->dir, b->host);
}

static void bench_files(struct bench *b, int runs)
{
    static struct series ours, theirs;
    char common[400], command[900];
    options(b, common, sizeof common);
    static const char *const names[2][2] = {{"put 64 MiB", "get 64 MiB"},
                                            {"agent_put_64MiB", "agent_get_64MiB"}};
    for (int get = 0; get < 2; get++) {
        if (b->socket)
            scp_command(b, get, common, command, sizeof command);
        else
            sftp_command(b, get, common, command, sizeof command);
        for (int i = 0; i < runs; i++) {
            ours.ms[ours.n++] = our_transfer(b, get ? VT_GET : VT_PUT);
            theirs.ms[theirs.n++] = peer(command);
        }
        report(names[b->socket != NULL][get], &ours, &theirs,
               b->socket ? "scp" : "sftp -c aes128-ctr");
    }
}

static void make_source(const struct bench *b)
{
    char path[128];
    snprintf(path, sizeof path, "%s/source", b->dir);
    FILE *f = fopen(path, "wb");
    char *block = vt_malloc(1 << 20);
    vt_random_hex(block, (1 << 20) - 1);
    for (int i = 0; f && i < file_size >> 20; i++)
        fwrite(block, 1, 1 << 20, f);
    vt_free(block);
    if (!f || fclose(f)) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: %s HOST PORT USER KEY [RUNS]\n", argv[0]);
        return 2;
    }
    struct bench b = {.host = argv[1],
                      .port = argv[2],
                      .user = argv[3],
                      .key = argv[4],
                      .dir = "/tmp/vmtest-bench-XXXXXX"};
    int runs = argc > 5 ? (int)strtol(argv[5], NULL, 10) : 10;
    if (runs < 1 || runs * 10 > most || !mkdtemp(b.dir))
        return 2;
    make_source(&b);
    b.loop = vt_loop_new(NULL);
    struct vt_error err = VT_ERROR_INIT;
    b.socket = argc > 6 ? argv[6] : NULL;
    const struct vt_ssh_config ssh = {
        .host = b.host, .port = (int)strtol(b.port, NULL, 10), .user = b.user, .key_file = b.key};
    const struct vt_agent_config agent = {.socket_path = b.socket};
    b.ch = b.socket ? vt_agent_new(b.loop, &agent, &err) : vt_ssh_new(b.loop, &ssh, &err);
    if (!b.ch) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    double before = vt_monotonic();
    finish(&b, b.ch->cls->connect(b.ch, 60, on_done, &b, &err), before, &err);
    bench_exec(&b, runs * 10);
    bench_files(&b, runs);
    const struct vt_exec_opts clean = {.command = "rm -f /tmp/vmtest-bench.bin", .timeout = 60};
    finish(&b, b.ch->cls->exec(b.ch, &clean, on_done, &b, &err), vt_monotonic(), &err);
    b.ch->cls->free(b.ch);
    vt_loop_free(b.loop);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", b.dir);
    return system(command) != 0;
}
