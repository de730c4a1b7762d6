/* The probe guest on the real QEMU: emulated it must answer, whatever this host is. */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sys.h"
#include "driver/qemu/probe.h"
#include "vmtest/accel.h"

struct answer {
    bool done;
    struct vt_error error;
    struct vt_probe_result result;
    char accel[16], reason[800];
};

static void on_probe(struct vt_op *op, void *user)
{
    struct answer *a = user;
    a->done = true;
    if (vt_op_error(op))
        a->error = *vt_op_error(op);
    else
        a->result = *(struct vt_probe_result *)vt_op_result(op);
}

static void on_accel(struct vt_op *op, void *user)
{
    struct answer *a = user;
    a->done = true;
    if (vt_op_error(op)) {
        a->error = *vt_op_error(op);
        return;
    }
    const struct vt_accel *found = vt_op_result(op);
    snprintf(a->accel, sizeof a->accel, "%s", found->accel);
    snprintf(a->reason, sizeof a->reason, "%s", found->reason);
}

static void run(struct vt_loop *loop, const struct answer *a)
{
    while (!a->done)
        vt_loop_run_once(loop, true);
}

static char *find_qemu(const char *arch)
{
    char name[64];
    snprintf(name, sizeof name, "qemu-system-%s", arch);
    return vt_find_program(name);
}

static void probe_emulated(const char *arch)
{
    char *qemu = find_qemu(arch);
    if (!qemu)
        guest_skip("there is no QEMU for this architecture");
    char home[] = "/tmp/vt-probe-XXXXXX";
    assert_non_null(mkdtemp(home));
    guest_remove_later(home);
    setenv("VMTEST_HOME", home, 1);
    struct vt_loop *loop = vt_loop_new(NULL);
    struct answer a = {.done = false};
    assert_non_null(vt_probe_run(loop, qemu, arch, "tcg", 120, on_probe, &a, NULL));
    run(loop, &a);
    if (a.error.code || !a.result.works)
        fail_msg("%s %s", a.error.message, a.result.why);
    vt_loop_free(loop);
    vt_free(qemu);
}

static void test_emulated_x86_64(void **state)
{
    (void)state;
    probe_emulated("x86_64");
}

static void test_emulated_aarch64(void **state)
{
    (void)state;
    probe_emulated("aarch64");
}

/* What the probe says of this host must hold for a guest of its own architecture. */
static void test_what_is_chosen_boots(void **state)
{
    (void)state;
    struct guest g;
    guest_init(&g, "small");
    struct answer a = {.done = false};
    const struct vt_accel_opts opts = {.arch = g.image->arch, .fresh = true};
    assert_non_null(vt_accel_probe(g.loop, &opts, on_accel, &a, NULL));
    run(g.loop, &a);
    assert_int_equal(a.error.code, VT_OK);
    fprintf(stderr, "%s: %s\n", a.accel, a.reason);
    guest_new(&g);
    guest_start_ready(&g);
    json_t *facts = vt_vm_info(g.vm);
    assert_string_equal(json_string_value(json_object_get(facts, "accel")), a.accel);
    json_decref(facts);
    guest_free(&g);
}

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
#define TEST(name) {#name, name}
        TEST(test_emulated_x86_64),
        TEST(test_emulated_aarch64),
        TEST(test_what_is_chosen_boots),
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
