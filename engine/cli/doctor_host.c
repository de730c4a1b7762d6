/* vmtest doctor: what some VMs need of the host, and how much of it is taken. */
#include <string.h>

#include "cli/doctor.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vmtest/lease.h"
#include "vmtest/loop.h"
#include "vmtest/units.h"

#define PLACES_MAX 8

/* A program (looked for in PATH where it has no slash) or a file; one of the places is enough. */
struct tool {
    const char *topic;
    const char *places[PLACES_MAX];
    const char *without; /* what cannot be done */
    const char *remedy;
};

static const struct tool tools[] = {
    {"qemu-system-aarch64",
     {"qemu-system-aarch64"},
     "no arm64 guests",
     "sudo apt-get install qemu-system-arm (or: brew install qemu)"},
    {"firmware (x86-64)",
     {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd",
      "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/ovmf/OVMF_CODE.fd",
      "/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-x86_64-code.fd"},
     "no x86-64 images that boot by EFI",
     "sudo apt-get install ovmf"},
    {"firmware (arm64)",
     {"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
      "/usr/share/edk2/aarch64/QEMU_EFI.fd", "/opt/homebrew/share/qemu/edk2-aarch64-code.fd",
      "/usr/local/share/qemu/edk2-aarch64-code.fd"},
     "no arm64 images that boot by EFI",
     "sudo apt-get install qemu-efi-aarch64"},
    {"virtiofsd",
     {"virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd",
      "/usr/libexec/qemu/virtiofsd"},
     "no shares by virtiofs; 9p is in QEMU itself",
     "sudo apt-get install virtiofsd (Debian 12 and later; before, it is in qemu-system-common)"},
    {"bridge helper",
     {"/usr/lib/qemu/qemu-bridge-helper", "/usr/libexec/qemu-bridge-helper"},
     "no interfaces on a bridge of the host, but for root",
     "sudo apt-get install qemu-system-common; name the bridge in /etc/qemu/bridge.conf"},
    {"NBD server",
     {"qemu-nbd", "nbdkit"},
     "no disk images served over the network from here (disks of other servers work)",
     "sudo apt-get install qemu-utils (or nbdkit)"},
};

static char *find(const struct tool *tool)
{
    for (size_t i = 0; i < PLACES_MAX && tool->places[i]; i++) {
        const char *place = tool->places[i];
        if (strchr(place, '/') && vt_is_file(place))
            return vt_strdup(place);
        char *path = strchr(place, '/') ? NULL : vt_find_program(place);
        if (path)
            return path;
    }
    return NULL;
}

void vt_doctor_tools(struct vt_doctor *r)
{
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        const struct tool *tool = &tools[i];
        char *path = find(tool);
        if (path)
            vt_doctor_tell(r, VT_DOCTOR_OK, tool->topic, NULL, "%s", path);
        else
            vt_doctor_tell(r, VT_DOCTOR_WARNING, tool->topic, tool->remedy, "not found: %s",
                           tool->without);
        vt_free(path);
    }
}

#define TART_S 10.0

struct version {
    struct vt_doctor *report;
    const char *program;
    bool done;
};

static void on_tart_version(struct vt_op *op, void *user)
{
    struct version *v = user;
    const struct vt_process_result *result = vt_op_result(op);
    v->done = true;
    if (vt_op_error(op))
        vt_doctor_tell_error(v->report, VT_DOCTOR_WARNING, "tart", vt_op_error(op));
    else if (result->status)
        vt_doctor_tell(v->report, VT_DOCTOR_WARNING, "tart", "`tart --version` is to work",
                       "%s does not tell its version: %.300s", v->program,
                       result->err_size ? result->err : result->out);
    else
        vt_doctor_tell(v->report, VT_DOCTOR_OK, "tart", NULL, "tart %.*s (%s)",
                       (int)strcspn(result->out, "\r\n"), result->out, v->program);
}

void vt_doctor_tart(struct vt_doctor *r)
{
    struct vt_error err = VT_ERROR_INIT;
    char *program = vt_find_program("tart");
    if (!program)
        return;
    struct version v = {.report = r, .program = program};
    struct vt_loop *loop = vt_loop_new(&err);
    const char *const argv[] = {program, "--version", NULL};
    const struct vt_process_opts opts = {.argv = argv, .timeout = TART_S, .output_limit = 400};
    if (loop && vt_process_run(loop, &opts, on_tart_version, &v, &err))
        while (!v.done)
            vt_loop_run_once(loop, true);
    else
        vt_doctor_tell_error(r, VT_DOCTOR_WARNING, "tart", &err);
    vt_loop_free(loop);
    vt_free(program);
}

static void tell_one(struct vt_doctor *r, const struct vt_leased *l)
{
    char size[32];
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "%s%s%sVM %s of %s %s ", *l->run ? "run " : "", l->run,
                  *l->run ? ", " : "", l->vm, l->user, l->waiting ? "waits for" : "holds");
    if (l->slot)
        vt_buf_printf(&text, "%s", l->slot);
    else if (l->macos_guest && !l->memory)
        vt_buf_printf(&text, "a macOS guest's slot");
    else
        vt_buf_printf(&text, "%s of memory and %d processor%s",
                      vt_format_size(size, sizeof size, l->memory), l->cpus,
                      l->cpus == 1 ? "" : "s");
    vt_buf_printf(&text, " since %s", l->since);
    vt_doctor_tell(r, VT_DOCTOR_OK, "lease", NULL, "%s", vt_buf_str(&text));
    vt_buf_free(&text);
}

void vt_doctor_capacity(struct vt_doctor *r)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_lease_limits limits;
    struct vt_leased *leased;
    size_t n;
    if (vt_lease_limits(&limits, &err) || vt_lease_list(&leased, &n, &err)) {
        vt_doctor_tell_error(r, VT_DOCTOR_ERROR, "capacity", &err);
        return;
    }
    uint64_t memory = 0;
    long cpus = 0;
    int macos = 0;
    for (size_t i = 0; i < n; i++) {
        memory += leased[i].waiting ? 0 : leased[i].memory;
        cpus += leased[i].waiting ? 0 : leased[i].cpus;
        macos += !leased[i].waiting && leased[i].macos_guest;
    }
    char used[32], all[32];
    vt_doctor_tell(r, VT_DOCTOR_OK, "capacity", NULL,
                   "VMs hold %s of %s of memory and %ld of %d virtual processors (%s)",
                   vt_format_size(used, sizeof used, memory),
                   vt_format_size(all, sizeof all, limits.memory), cpus, limits.cpus,
                   vt_lease_dir());
    if (macos || vt_apple_host(&(struct vt_apple_place){0}, NULL) == VT_OK)
        vt_doctor_tell(r, VT_DOCTOR_OK, "macOS guests", NULL,
                       "%d of %d slots are taken by VMs of vmtest; what other programs run is not "
                       "seen here",
                       macos, limits.macos_guests);
    for (size_t i = 0; i < n; i++)
        tell_one(r, &leased[i]);
    vt_leased_free(leased, n);
}
