/* Snapshots and restores of one image, timed: snapshot_bench IMAGE [ROUNDS [CHANNEL]] writes one
 * JSON line for each figure. With `-` for ROUNDS it is told what to do, so that a peer can have its
 * turn in between: for each line `take` or `restore` on standard input it writes the milliseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vm/tie.h"
#include "vmtest/vm.h"

#define PATIENCE_S 300.0
#define ROUNDS_MAX 200
#define CLONES 3 /* and the VM: with two processors each, what a host of two leases */

struct bench {
    struct vt_loop *loop;
    struct vt_image *image;
    const char *channel;
    char root[64];
    char folder[4096]; /* of the last snapshot */
    bool over;
    struct vt_error why;
};

static void on_done(struct vt_op *op, void *user)
{
    struct bench *b = user;
    const char *folder = vt_op_result(op);
    b->over = true;
    if (vt_op_error(op))
        b->why = *vt_op_error(op);
    else if (folder && !strcmp(vt_op_name(op), "vm.snapshot"))
        snprintf(b->folder, sizeof b->folder, "%s", folder);
}

/* Runs the loop to the end of an operation; a failure ends the program. */
static void await(struct bench *b, const struct vt_op *op)
{
    while (op && !b->over)
        vt_loop_run_once(b->loop, true);
    b->over = false;
    if (!b->why.code)
        return;
    fprintf(stderr, "snapshot_bench: %s\n", b->why.message);
    vt_remove_tree(b->root, NULL);
    exit(1);
}

static struct vt_vm *make_vm(struct bench *b, const char *name)
{
    struct vt_vm *vm = NULL;
    char *dir = vt_path_join(b->root, name), *scratch = vt_path_join(dir, "scratch");
    vt_mkdirs(scratch, &b->why);
    const struct vt_vm_config config = {.name = name,
                                        .image = b->image,
                                        .channel = b->channel,
                                        .state_dir = dir,
                                        .scratch_dir = scratch};
    if (!b->why.code)
        vt_vm_new(b->loop, &config, &vm, &b->why);
    vt_free(dir);
    vt_free(scratch);
    if (b->why.code)
        await(b, NULL);
    return vm;
}

static void answer(struct bench *b, struct vt_vm *vm)
{
    const struct vt_exec_opts opts = {.command = "true", .timeout = PATIENCE_S};
    await(b, vt_vm_exec(vm, &opts, on_done, b, &b->why));
}

static void take(struct bench *b, struct vt_vm *vm, const char *name)
{
    const struct vt_snapshot_opts opts = {.name = name, .timeout = PATIENCE_S};
    await(b, vt_vm_snapshot(vm, &opts, on_done, b, &b->why));
}

static void go_back(struct bench *b, struct vt_vm *vm, const char *path)
{
    await(b, vt_vm_restore(vm, path, PATIENCE_S, on_done, b, &b->why));
    answer(b, vm);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void say(const char *name, const char *unit, double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    double median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    printf(
        "{\"name\":\"%s\",\"unit\":\"%s\",\"median\":%.3f,\"min\":%.3f,\"max\":%.3f,\"n\":%zu}\n",
        name, unit, median, values[0], values[n - 1], n);
    fflush(stdout);
}

/* KiB of its own that a VM's process holds: what is not shared with another. */
static double private_memory(const struct vt_vm *vm)
{
    json_t *facts = vt_vm_info(vm);
    char path[64], line[256];
    double kib = 0;
    snprintf(path, sizeof path, "/proc/%lld/smaps_rollup", (long long)vt_json_int(facts, "pid", 0));
    json_decref(facts);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "Private_Dirty:", 14) || !strncmp(line, "Private_Clean:", 14))
            kib += strtod(line + 14, NULL);
    if (f)
        fclose(f);
    return kib;
}

static double now(void)
{
    return vt_monotonic() * 1000;
}

static void measure_clones(struct bench *b, const char *path)
{
    struct vt_vm *clones[CLONES];
    double kib[CLONES];
    for (int i = 0; i < CLONES; i++) {
        char name[16];
        snprintf(name, sizeof name, "clone-%d", i);
        clones[i] = make_vm(b, name);
        go_back(b, clones[i], path);
    }
    for (int i = 0; i < CLONES; i++)
        kib[i] = private_memory(clones[i]);
    say("snapshot_clone_private", "KiB", kib, CLONES);
    for (int i = 0; i < CLONES; i++)
        vt_vm_free(clones[i], false);
}

static void measure(struct bench *b, size_t rounds)
{
    double take_ms[ROUNDS_MAX], again_ms[3], back_ms[ROUNDS_MAX], bytes[ROUNDS_MAX];
    struct vt_vm *vm = make_vm(b, "vm");
    char name[32], path[sizeof b->folder];
    await(b, vt_vm_start(vm, true, PATIENCE_S, on_done, b, &b->why));
    for (size_t i = 0; i < rounds; i++) {
        answer(b, vm);
        snprintf(name, sizeof name, "s%zu", i);
        double start = now();
        take(b, vm, name);
        take_ms[i] = now() - start;
    }
    struct vt_snapshot *list = NULL;
    size_t count = 0;
    vt_vm_snapshots(vm, NULL, &list, &count, NULL);
    for (size_t i = 0; i < count && i < rounds; i++)
        bytes[i] = (double)list[i].bytes / 1024;
    vt_snapshots_free(list, count);
    memcpy(path, b->folder, sizeof path);
    for (size_t i = 0; i < rounds; i++) {
        double start = now();
        go_back(b, vm, path);
        back_ms[i] = now() - start;
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "again%zu", i);
        double start = now();
        take(b, vm, name);
        again_ms[i] = now() - start;
    }
    say("snapshot_take", "ms", take_ms, rounds);
    say("snapshot_take_of_restored", "ms", again_ms, 3);
    say("snapshot_restore_first_command", "ms", back_ms, rounds);
    say("snapshot_bytes", "KiB", bytes, rounds);
    measure_clones(b, path); /* while the VM is there: its snapshots go with it */
    vt_vm_free(vm, false);
}

static void obey(struct bench *b)
{
    struct vt_vm *vm = make_vm(b, "vm");
    char line[16], name[32];
    await(b, vt_vm_start(vm, true, PATIENCE_S, on_done, b, &b->why));
    for (unsigned i = 0; fgets(line, sizeof line, stdin); i++) {
        bool taking = !strcmp(line, "take\n");
        if (taking) {
            answer(b, vm);
            vt_snapshot_remove(b->folder, NULL); /* the one before: its bytes need not be written */
        }
        double start = now();
        snprintf(name, sizeof name, "s%u", i);
        if (taking)
            take(b, vm, name);
        else
            go_back(b, vm, b->folder);
        printf("%.3f\n", now() - start);
        fflush(stdout);
    }
    vt_vm_free(vm, false);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "__tie"))
        return vt_tie_main(argc, argv);
    bool told = argc > 2 && !strcmp(argv[2], "-");
    long rounds = argc > 2 && !told ? strtol(argv[2], NULL, 10) : 15;
    struct bench b = {.channel = argc > 3 ? argv[3] : NULL};
    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
        fputs("usage: snapshot_bench IMAGE [ROUNDS|- [CHANNEL]]\n", stderr);
        return 2;
    }
    vt_drivers_init();
    b.loop = vt_loop_new(&b.why);
    snprintf(b.root, sizeof b.root, "/tmp/vt-bench-XXXXXX");
    if (!b.loop || !mkdtemp(b.root) || vt_image_open(argv[1], &b.image, &b.why)) {
        fprintf(stderr, "snapshot_bench: %s\n", b.why.message);
        return 1;
    }
    if (told)
        obey(&b);
    else
        measure(&b, (size_t)rounds);
    vt_image_free(b.image);
    vt_loop_free(b.loop);
    vt_remove_tree(b.root, NULL);
    return 0;
}
