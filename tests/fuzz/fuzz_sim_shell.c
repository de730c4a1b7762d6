/* Any bytes as a line of the simulated guest's shell, run to its end or for ten virtual minutes. */
#include <stdint.h>
#include <stdlib.h>

#include "core/mem.h"
#include "driver/sim/shell.h"

struct run {
    bool ended;
};

static void on_power(struct vt__sim_guest *guest, enum vt__sim_power what)
{
    (void)guest;
    (void)what;
}

static void on_proc(struct vt__sim_proc *proc, void *user)
{
    struct run *run = user;
    struct vt__sim_exit result;
    struct vt__sim_output output = vt__sim_proc_take(proc, &result);
    size_t sum = 0;
    for (size_t i = 0; i < output.count; i++)
        sum += output.chunks[i].size;
    if (sum != output.bytes.len)
        abort();
    vt__sim_output_clear(&output);
    run->ended = result.ended;
    if (result.ended)
        vt__sim_proc_detach(proc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size || size > 2000)
        return 0;
    struct vt_loop *loop = vt_loop_new(NULL);
    vt_loop_set_virtual(loop, NULL);
    struct vt__sim_guest guest = {.clock.loop = loop,
                                  .fs = vt__sim_fs_new("fuzz"),
                                  .hostname = "fuzz",
                                  .sysname = "Linux",
                                  .machine = "x86_64",
                                  .dry_run = data[0] & 1,
                                  .power = on_power};
    char *line = vt_strndup((const char *)data + 1, size - 1);
    const struct vt_exec_opts opts = {
        .command = line, .input = data, .input_size = size, .pty = data[0] & 2, .timeout = 1};
    struct run run = {0};
    vt__sim_proc_start(&guest, &opts, 0, on_proc, &run);
    double until = vt_loop_now(loop) + 600;
    for (int i = 0; i < 200 && !run.ended && guest.clock.timers && vt_loop_now(loop) < until; i++)
        vt_loop_run_once(loop, false);
    while (guest.procs)
        vt__sim_proc_kill(guest.procs);
    vt__sim_fs_free(guest.fs);
    vt_loop_free(loop);
    vt_free(line);
    return 0;
}
