/* Chooses the acceleration: asks the cache, else boots the probe guest. */
#include "vmtest/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sys.h"
#include "core/text.h"
#include "driver/qemu/accel_cache.h"
#include "driver/qemu/probe.h"
#include "loop/op.h"

#define OP "accel.probe"
#define PROBE_S 3.0    /* real hardware answers within 0.1 s */
#define CONTROL_S 30.0 /* the same guest, emulated, perhaps on a busy host */
#define VERSION_S 30.0

#ifdef __APPLE__
#define NATIVE "hvf"
#define INSTALL "brew install qemu"
#else
#define NATIVE "kvm"
#define INSTALL "sudo apt-get install "
#endif

struct accel_op {
    struct vt_op op;
    struct vt_op *inner;
    char *qemu, *arch, *wanted;
    const char *source; /* who wanted it: for messages */
    bool explicit_;     /* anything but auto */
    bool fresh;
    struct vt_accel_known known;
    char failure[400]; /* of the candidate, while the control guest runs */
    char reason[800];
    struct vt_accel result;
};

const char *vt_host_arch(void)
{
    static struct utsname name;
    if (uname(&name))
        return "unknown";
    return strcmp(name.machine, "arm64") ? name.machine : "aarch64";
}

static void accel_abort(struct vt_op *op, struct vt_error *why)
{
    struct accel_op *self = (struct accel_op *)(void *)op;
    (void)why;
    if (self->inner)
        vt_op_forget(self->inner);
    self->inner = NULL;
}

static void accel_free(struct vt_op *op)
{
    struct accel_op *self = (struct accel_op *)(void *)op;
    vt_accel_known_clear(&self->known);
    vt_free(self->qemu);
    vt_free(self->arch);
    vt_free(self->wanted);
}

static const struct vt_op_class accel_class = {
    .name = OP, .abort = accel_abort, .free = accel_free};

static void finish(struct accel_op *self, const char *accel, bool cached)
{
    self->result = (struct vt_accel){.accel = accel,
                                     .reason = self->reason,
                                     .cached = cached,
                                     .qemu = self->qemu,
                                     .version = self->known.version};
    vt_op_succeed(&self->op, &self->result);
}

/* It does not work, for self->reason: emulation, or an error where it was asked for by name. */
static void refuse(struct accel_op *self, bool cached)
{
    if (!self->explicit_) {
        finish(self, "tcg", cached);
        return;
    }
    struct vt_error err = VT_ERROR_INIT;
    vt_fail(&err, VT_EUNSUPPORTED, OP, "%s (%s) does not work here: %s", self->wanted, self->source,
            self->reason);
    vt_hint(&err, "\"auto\" takes what works, \"tcg\" always does");
    vt_op_fail(&self->op, &err);
}

static void remember(struct accel_op *self, bool works, const char *reason)
{
    self->known.probed = true;
    self->known.works = works;
    vt_free(self->known.reason);
    self->known.reason = vt_strdup(reason);
    vt_accel_cache_put(self->qemu, NATIVE, &self->known);
}

/* Returns the result of a probe, or NULL where it could not be run: then the op has failed. */
static const struct vt_probe_result *probed(struct accel_op *self, struct vt_op *inner)
{
    self->inner = NULL;
    if (vt_op_error(inner))
        vt_op_fail(&self->op, vt_op_error(inner));
    return vt_op_error(inner) ? NULL : vt_op_result(inner);
}

/* Did the probe guest fail, or the acceleration? Emulated, the guest must answer. */
static void on_control(struct vt_op *inner, void *user)
{
    struct accel_op *self = user;
    const struct vt_probe_result *r = probed(self, inner);
    if (!r)
        return;
    snprintf(self->reason, sizeof self->reason, "%s%s%s", self->failure,
             r->works ? "" : "; nor does the probe guest run emulated: ", r->why);
    if (r->works)
        remember(self, false, self->reason);
    refuse(self, false);
}

static void on_probe(struct vt_op *inner, void *user)
{
    struct accel_op *self = user;
    const struct vt_probe_result *r = probed(self, inner);
    if (!r)
        return;
    if (r->works) {
        snprintf(self->reason, sizeof self->reason, "a probe guest ran by " NATIVE);
        remember(self, true, self->reason);
        finish(self, NATIVE, false);
        return;
    }
    snprintf(self->failure, sizeof self->failure, NATIVE " is there, but %s", r->why);
    struct vt_error why = VT_ERROR_INIT;
    self->inner = vt_probe_run(self->op.loop, self->qemu, self->arch, "tcg", CONTROL_S, on_control,
                               self, &why);
    if (!self->inner)
        vt_op_fail(&self->op, &why);
}

/* False with the reason where trying is of no use. */
static bool available(struct accel_op *self)
{
    char *why = self->reason;
    size_t size = sizeof self->reason;
    if (strcmp(self->wanted, "auto") != 0 && strcmp(self->wanted, NATIVE) != 0) {
        snprintf(why, size, "this host has " NATIVE);
        return false;
    }
    if (strcmp(self->arch, vt_host_arch()) != 0) {
        snprintf(why, size, "a guest for %s is emulated on a host of %s", self->arch,
                 vt_host_arch());
        return false;
    }
#ifdef __linux__
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        snprintf(why, size, errno == ENOENT ? "there is no /dev/kvm" : "cannot open /dev/kvm: %s%s",
                 strerror(errno), errno == EACCES ? " (members of the group kvm may)" : "");
        return false;
    }
    close(fd);
#endif
    return true;
}

static void choose(struct accel_op *self)
{
    struct vt_error err = VT_ERROR_INIT;
    if (!strcmp(self->wanted, "tcg")) {
        snprintf(self->reason, sizeof self->reason, "emulated, as %s says", self->source);
        finish(self, "tcg", true);
    } else if (!available(self)) {
        refuse(self, true);
    } else if (self->known.probed && !self->fresh) {
        snprintf(self->reason, sizeof self->reason, "%s", self->known.reason);
        if (self->known.works)
            finish(self, NATIVE, true);
        else
            refuse(self, true);
    } else {
        self->inner = vt_probe_run(self->op.loop, self->qemu, self->arch, NATIVE, PROBE_S, on_probe,
                                   self, &err);
        if (!self->inner)
            vt_op_fail(&self->op, &err);
    }
}

static void on_version(struct vt_op *inner, void *user)
{
    struct accel_op *self = user;
    self->inner = NULL;
    const struct vt_process_result *r = vt_op_result(inner);
    const char *at = r ? strstr(r->out, "version ") : NULL;
    if (!at || r->status) {
        struct vt_error why = VT_ERROR_INIT;
        vt_fail(&why, VT_EHYPERVISOR, OP, "%s --version gives no version: %s", self->qemu,
                r ? r->err : vt_op_error(inner)->message);
        vt_op_fail(&self->op, &why);
        return;
    }
    at += strlen("version ");
    self->known.version = vt_strndup(at, strspn(at, "0123456789."));
    vt_accel_cache_put(self->qemu, NATIVE, &self->known);
    choose(self);
}

static void ask_version(struct accel_op *self)
{
    const char *argv[] = {self->qemu, "--version", NULL};
    const struct vt_process_opts opts = {.argv = argv, .timeout = VERSION_S, .output_limit = 4096};
    struct vt_error why = VT_ERROR_INIT;
    self->inner = vt_process_run(self->op.loop, &opts, on_version, self, &why);
    if (!self->inner)
        vt_op_fail(&self->op, &why);
}

static char *find_qemu(const char *arch, struct vt_error *err)
{
    struct vt_buf name = VT_BUF_INIT;
    vt_buf_printf(&name, "qemu-system-%s", arch);
    char *path = vt_find_program(name.data);
    if (!path) {
        vt_fail(err, VT_ENOTFOUND, OP, "there is no %s in PATH", name.data);
#ifdef __APPLE__
        vt_hint(err, INSTALL);
#else
        vt_hint(err, INSTALL "%s", strcmp(arch, "x86_64") ? "qemu-system-arm" : "qemu-system-x86");
#endif
    }
    vt_buf_free(&name);
    return path;
}

static enum vt_code check_wanted(const char *wanted, const char *source, struct vt_error *err)
{
    static const char *const known[] = {"auto", "kvm", "hvf", "tcg"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(wanted, known[i]))
            return VT_OK;
    return vt_fail(err, VT_EINVAL, OP, "%s: \"%s\" is no acceleration (auto, kvm, hvf, tcg)",
                   source, wanted);
}

struct vt_op *vt_accel_probe(struct vt_loop *loop, const struct vt_accel_opts *opts, vt_op_fn done,
                             void *user, struct vt_error *err)
{
    const char *arch = opts->arch ? opts->arch : vt_host_arch();
    const char *wanted = opts->wanted ? opts->wanted : "auto", *source = "the configuration";
    const char *env = getenv("VMTEST_ACCEL");
    if (!strcmp(wanted, "auto") && env && *env) {
        wanted = env;
        source = "VMTEST_ACCEL";
    }
    if (check_wanted(wanted, source, err))
        return NULL;
    char *qemu = find_qemu(arch, err);
    if (!qemu)
        return NULL;
    struct accel_op *self = vt_op_new(sizeof *self, &accel_class, loop, INFINITY, done, user);
    self->qemu = qemu;
    self->arch = vt_strdup(arch);
    self->wanted = vt_strdup(wanted);
    self->source = source;
    self->explicit_ = strcmp(wanted, "auto") != 0;
    self->fresh = opts->fresh;
    vt_accel_cache_get(qemu, NATIVE, &self->known);
    if (self->known.version)
        choose(self);
    else
        ask_version(self);
    return &self->op;
}
