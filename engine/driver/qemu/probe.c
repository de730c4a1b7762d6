#include "driver/qemu/probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/paths.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/probe_code.h"
#include "loop/op.h"
#include "vm/tie.h"

#define OP "accel.probe"
#define OUTPUT_LIMIT 4096
#define FIRMWARE_SIZE 0x10000

struct guest {
    const char *arch;
    const unsigned char *code;
    const size_t *size;
    size_t image_size; /* 0: just the code */
    int status;        /* QEMU's exit status when the guest ended it */
    const char *memory;
    const char *device; /* or NULL */
};

static const struct guest guests[] = {
    /* the debug-exit device makes of the guest's byte 0x31 the status 0x31 << 1 | 1 */
    {.arch = "x86_64",
     .code = vt_probe_x86_64,
     .size = &vt_probe_x86_64_size,
     .image_size = FIRMWARE_SIZE,
     .status = 99,
     .memory = "16",
     .device = "isa-debug-exit,iobase=0x501,iosize=4"},
    {.arch = "aarch64",
     .code = vt_probe_aarch64,
     .size = &vt_probe_aarch64_size,
     .status = 0,
     .memory = "64"},
};

struct probe_op {
    struct vt_op op;
    struct vt_op *run;
    const struct guest *guest;
    double seconds;
    struct vt_probe_result result;
};

static void probe_abort(struct vt_op *op, struct vt_error *why)
{
    struct probe_op *self = (struct probe_op *)(void *)op;
    (void)why;
    if (self->run)
        vt_op_forget(self->run);
    self->run = NULL;
}

static const struct vt_op_class probe_class = {.name = OP, .abort = probe_abort};

static void judge(struct probe_op *self, const struct vt_process_result *r)
{
    struct vt_probe_result *out = &self->result;
    bool answered = r->out_size && r->out[r->out_size - 1] == 'K';
    out->works = answered && r->status == self->guest->status;
    if (out->works)
        return;
    const char *line = r->err + strspn(r->err, " \n");
    size_t n = strcspn(line, "\n");
    if (r->signal)
        snprintf(out->why, sizeof out->why, "QEMU was ended by signal %d%s%.*s", r->signal,
                 n ? ": " : "", n > 200 ? 200 : (int)n, line);
    else
        snprintf(out->why, sizeof out->why, "QEMU ended with status %d%s%.*s", r->status,
                 n ? ": " : "", n > 200 ? 200 : (int)n, line);
}

static void on_run(struct vt_op *run, void *user)
{
    struct probe_op *self = user;
    const struct vt_error *why = vt_op_error(run);
    self->run = NULL;
    if (!why)
        judge(self, vt_op_result(run));
    else if (why->code == VT_ETIMEDOUT)
        snprintf(self->result.why, sizeof self->result.why,
                 "a probe guest did not answer within %g s", self->seconds);
    if (why && why->code != VT_ETIMEDOUT)
        vt_op_fail(&self->op, why);
    else
        vt_op_succeed(&self->op, &self->result);
}

static const struct guest *find_guest(const char *arch)
{
    for (size_t i = 0; i < sizeof guests / sizeof *guests; i++)
        if (!strcmp(guests[i].arch, arch))
            return &guests[i];
    return NULL;
}

/* The firmware file, the same for everybody: written each time, by rename. NULL on failure. */
static char *write_firmware(const struct guest *guest, struct vt_error *err)
{
    char *dir = vt_home_dir("cache", err);
    if (!dir)
        return NULL;
    struct vt_buf name = VT_BUF_INIT;
    vt_buf_printf(&name, "probe-%s.bin", guest->arch);
    char *path = vt_path_join(dir, name.data);
    size_t size = guest->image_size ? guest->image_size : *guest->size;
    unsigned char *image = vt_calloc(1, size);
    memcpy(image, guest->code, *guest->size);
    /* an x86 processor starts 16 bytes below the top: jump to f000:0000 */
    static const unsigned char jump[] = {0xea, 0x00, 0x00, 0x00, 0xf0};
    if (guest->image_size)
        memcpy(image + size - 16, jump, sizeof jump);
    if (vt_write_file(path, image, size, 0600, err)) {
        vt_free(path);
        path = NULL;
    }
    vt_free(image);
    vt_buf_free(&name);
    vt_free(dir);
    return path;
}

static void add_options(struct vt_args *args, const struct guest *guest, const char *accel,
                        const char *firmware)
{
    const char *const options[] = {
        "-nodefaults", "-no-user-config", "-display", "none",     "-m",
        guest->memory, "-bios",           firmware,   "-chardev", "stdio,id=console,signal=off",
        "-serial",     "chardev:console"};
    vt_qemu_argv_machine(args, guest->arch, accel);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        vt_args_add(args, options[i]);
    if (guest->device) {
        vt_args_add(args, "-device");
        vt_args_add(args, guest->device);
    }
}

struct vt_op *vt_probe_run(struct vt_loop *loop, const char *qemu, const char *arch,
                           const char *accel, double seconds, vt_op_fn done, void *user,
                           struct vt_error *err)
{
    const struct guest *guest = find_guest(arch);
    if (!guest) {
        vt_fail(err, VT_EUNSUPPORTED, OP, "there is no probe guest for %s", arch);
        return NULL;
    }
    const struct vt_tie tie = {.tied = true};
    struct vt_args args = VT_ARGS_INIT;
    char *firmware = write_firmware(guest, err);
    struct vt_op *run = NULL, *result = NULL;
    if (firmware && !vt_tie_begin(&args, &tie, err)) {
        vt_args_add(&args, qemu);
        add_options(&args, guest, accel, firmware);
        struct probe_op *self = vt_op_new(sizeof *self, &probe_class, loop, INFINITY, done, user);
        const struct vt_process_opts opts = {
            .argv = vt_args_argv(&args), .timeout = seconds, .output_limit = OUTPUT_LIMIT};
        struct vt_error why = VT_ERROR_INIT;
        self->guest = guest;
        self->seconds = seconds;
        self->run = run = vt_process_run(loop, &opts, on_run, self, &why);
        if (!run)
            vt_op_fail(&self->op, &why);
        result = &self->op;
    }
    vt_args_free(&args);
    vt_free(firmware);
    return result;
}
