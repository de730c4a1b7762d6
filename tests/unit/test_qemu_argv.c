/* QEMU's command line and its table of forwards. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/instance.h"

static char hostile_path[] = "/tmp/a,readonly=off,b";
static char hostile_append[] = "quiet -device evil,x=1";
static char x86[] = "x86_64", arm[] = "aarch64", none[] = "";

static struct vt_image image_of(char *arch)
{
    return (struct vt_image){.name = none,
                             .dir = none,
                             .os = none,
                             .arch = arch,
                             .kernel = hostile_path,
                             .initrd = hostile_path,
                             .append = hostile_append,
                             .memory = (uint64_t)100 << 20,
                             .cpus = 1};
}

/* The word after the nth `option`, or NULL. */
static const char *value(const struct vt_args *args, const char *option, int nth)
{
    for (size_t i = 0; i + 1 < args->n; i++)
        if (args->v[i] && !strcmp(args->v[i], option) && nth-- == 0)
            return args->v[i + 1];
    return NULL;
}

static bool has_value(const struct vt_args *args, const char *option, const char *wanted)
{
    const char *v;
    for (int i = 0; (v = value(args, option, i)); i++)
        if (!strcmp(v, wanted))
            return true;
    return false;
}

static struct vt_args build(const struct vt_image *image, const char *accel)
{
    struct vt_args args = VT_ARGS_INIT;
    const struct vt_vm_config config = {.name = "vm,process=evil",
                                        .image = image,
                                        .cpus = 2,
                                        .memory = ((uint64_t)64 << 20) + 1,
                                        .console_log = hostile_path};
    const struct vt_qemu_machine m = {
        .program = "/usr/bin/qemu", .accel = accel, .config = &config, .overlay = hostile_path};
    vt_qemu_argv(&args, &m);
    return args;
}

static void test_nothing_can_be_injected(void **state)
{
    (void)state;
    const struct vt_image image = image_of(x86);
    struct vt_args args = build(&image, "tcg");
    assert_string_equal(value(&args, "-name", 0), "guest=vm,,process=evil");
    assert_string_equal(value(&args, "-kernel", 0), hostile_path); /* whole words are not split */
    assert_string_equal(value(&args, "-initrd", 0), hostile_path);
    assert_string_equal(value(&args, "-append", 0), hostile_append);
    const char *drive = value(&args, "-drive", 0);
    assert_non_null(strstr(drive, "file=/tmp/a,,readonly=off,,b"));
    assert_non_null(strstr(value(&args, "-chardev", 1), "logfile=/tmp/a,,readonly=off,,b"));
    assert_false(has_value(&args, "-device", "evil,x=1"));
    vt_args_free(&args);
}

static void test_machines(void **state)
{
    (void)state;
    const struct vt_image pc = image_of(x86), virt = image_of(arm);
    struct vt_args args = build(&pc, "tcg");
    assert_string_equal(value(&args, "-machine", 0), "q35");
    assert_string_equal(value(&args, "-cpu", 0), "max");
    assert_string_equal(value(&args, "-accel", 0), "tcg,tb-size=128");
    assert_string_equal(value(&args, "-m", 0), "65"); /* rounded up */
    assert_string_equal(value(&args, "-smp", 0), "2");
    assert_true(has_value(&args, "-device", "pvpanic"));
    vt_args_free(&args);
    args = build(&virt, "hvf");
    assert_string_equal(value(&args, "-machine", 0), "virt");
    assert_string_equal(value(&args, "-cpu", 0), "host");
    assert_string_equal(value(&args, "-accel", 0), "hvf");
    assert_true(has_value(&args, "-device", "pvpanic-pci"));
    vt_args_free(&args);
}

static void test_disk_boot_has_no_kernel(void **state)
{
    (void)state;
    struct vt_image image = image_of(x86);
    struct vt_args args = build(&image, "kvm");
    assert_true(has_value(&args, "-device", "virtio-blk-pci,drive=disk0"));
    vt_args_free(&args);
    image.kernel = image.initrd = image.append = NULL;
    args = build(&image, "kvm");
    assert_null(value(&args, "-kernel", 0));
    assert_null(value(&args, "-append", 0));
    assert_true(has_value(&args, "-device", "virtio-blk-pci,drive=disk0,bootindex=0"));
    vt_args_free(&args);
}

static void test_forwards_from_the_table(void **state)
{
    (void)state;
    const char *table =
        "Hub -1 (net0):\r\n"
        "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
        "  TCP[HOST_FORWARD]  13       127.0.0.1 45553       10.0.2.15    22     0     0\r\n"
        "  TCP[HOST_FORWARD]  14       127.0.0.1  8080       10.0.2.15    80     0     0\r\n"
        "  TCP[ESTABLISHED]   16       127.0.0.1 12345       10.0.2.15    80     0     0\r\n"
        "  TCP[HOST_FORWARD]  15       127.0.0.1 40001       10.0.2.15    80     0     0\r\n";
    struct vt_forward f[] = {{0, 22}, {8080, 80}, {0, 80}};
    assert_true(vt_qemu_forwards_parse(table, f, 3));
    assert_int_equal(f[0].host_port, 45553);
    assert_int_equal(f[1].host_port, 8080);
    assert_int_equal(f[2].host_port, 40001);
    struct vt_forward missing[] = {{0, 22}, {0, 443}};
    assert_false(vt_qemu_forwards_parse(table, missing, 2));
    struct vt_forward one[] = {{0, 22}};
    assert_false(vt_qemu_forwards_parse("", one, 1));
    assert_false(
        vt_qemu_forwards_parse("TCP[HOST_FORWARD] 1 x 99999 y 22\nTCP[HOST_FORWARD]", one, 1));
}

static void test_ssh_forward_comes_first(void **state)
{
    (void)state;
    const struct vt_forward wanted[] = {{8080, 80}, {2222, 22}};
    const struct vt_vm_config config = {.forwards = wanted, .forward_count = 2};
    struct vt_qemu q = {.config = &config};
    vt_qemu_forwards_init(&q);
    assert_int_equal(q.forward_count, 2);
    assert_int_equal(q.forwards[0].host_port, 2222);
    assert_int_equal(q.forwards[1].host_port, 8080);
    const struct vt_vm_config plain = {.forwards = wanted, .forward_count = 1};
    q.config = &plain;
    vt_qemu_forwards_init(&q);
    assert_int_equal(q.forward_count, 2);
    assert_int_equal(q.forwards[0].host_port, 0);
    assert_int_equal(q.forwards[0].guest_port, 22);
    vt_free(q.forwards);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_can_be_injected),
        cmocka_unit_test(test_machines),
        cmocka_unit_test(test_disk_boot_has_no_kernel),
        cmocka_unit_test(test_forwards_from_the_table),
        cmocka_unit_test(test_ssh_forward_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
