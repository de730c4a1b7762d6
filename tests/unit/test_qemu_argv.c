/* QEMU's command line and its table of forwards. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"
#include "driver/qemu/instance.h"
#include "driver/qemu/net.h"

static char hostile_path[] = "/tmp/a,readonly=off,b";
static char hostile_layer[] = "/tmp/d\",\"x/disk0-1.qcow2", disk0[] = "disk0";
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
                             .disk = hostile_path,
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
                                        .state_dir = hostile_path,
                                        .console_log = hostile_path};
    char raw[] = "raw", *layers[] = {hostile_layer};
    const struct vt_qemu_disk disk = {
        .id = disk0, .base_path = hostile_path, .base_format = raw, .layers = layers, .count = 1};
    const struct vt_qemu_memory memory = {
        .path = hostile_path, .shared = true, .fd = -1, .size = (uint64_t)65 << 20};
    const struct vt_qemu_machine m = {.program = "/usr/bin/qemu",
                                      .accel = accel,
                                      .config = &config,
                                      .disks = &disk,
                                      .disk_count = 1,
                                      .memory = &memory};
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
    assert_non_null(strstr(value(&args, "-object", 0), "mem-path=/tmp/a,,readonly=off,,b,size="));
    json_t *base = json_loads(value(&args, "-blockdev", 0), 0, NULL),
           *layer = json_loads(value(&args, "-blockdev", 1), 0, NULL);
    assert_string_equal(vt_json_str(json_object_get(base, "file"), "filename", ""), hostile_path);
    assert_true(vt_json_bool(base, "read-only", false));
    assert_string_equal(vt_json_str(json_object_get(layer, "file"), "filename", ""), hostile_layer);
    assert_string_equal(vt_json_str(layer, "backing", ""), "disk0-base");
    assert_false(vt_json_bool(layer, "read-only", true));
    assert_null(value(&args, "-blockdev", 2));
    json_decref(base);
    json_decref(layer);
    assert_non_null(strstr(value(&args, "-chardev", 1), "logfile=/tmp/a,,readonly=off,,b"));
    assert_false(has_value(&args, "-device", "evil,x=1"));
    assert_string_equal(value(&args, "-fsdev", 1),
                        "local,id=slot0-ro,path=/tmp/a,,readonly=off,,b/slot0-ro,"
                        "security_model=none,multidevs=remap,readonly=on");
    assert_string_equal(value(&args, "-fsdev", 6),
                        "local,id=slot3-rw,path=/tmp/a,,readonly=off,,b/slot3-rw,"
                        "security_model=mapped-xattr,multidevs=remap");
    assert_true(has_value(&args, "-device", "pcie-root-port,id=slot3-port,chassis=4,slot=4"));
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
    assert_string_equal(value(&args, "-m", 0), "65");
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
    assert_true(has_value(&args, "-device", "virtio-blk-pci,drive=disk0-1,id=disk0"));
    vt_args_free(&args);
    image.kernel = image.initrd = image.append = NULL;
    args = build(&image, "kvm");
    assert_null(value(&args, "-kernel", 0));
    assert_null(value(&args, "-append", 0));
    assert_true(has_value(&args, "-device", "virtio-blk-pci,drive=disk0-1,id=disk0,bootindex=0"));
    vt_args_free(&args);
}

/* The place of a word in argv. */
static size_t place(const struct vt_args *args, const char *word)
{
    for (size_t i = 0; i < args->n; i++)
        if (args->v[i] && strstr(args->v[i], word))
            return i;
    fail_msg("no %s", word);
    return 0;
}

static void test_cds_seeds_and_firmware(void **state)
{
    (void)state;
    static char code[] = "/code,x", vars[] = "/vars,x";
    struct vt_image image = image_of(x86);
    image.kernel = image.initrd = image.append = NULL;
    image.disk = image.iso = image.seed = hostile_path;
    const struct vt_qemu_firmware flash = {.code = code, .vars = vars}, bios = {.code = code};
    const struct vt_vm_config config = {
        .name = "vm", .image = &image, .cpus = 1, .state_dir = hostile_path};
    char raw[] = "raw", *layers[] = {hostile_layer};
    const struct vt_qemu_disk disk = {
        .id = disk0, .base_path = hostile_path, .base_format = raw, .layers = layers, .count = 1};
    const struct vt_qemu_memory memory = {
        .path = hostile_path, .shared = true, .fd = -1, .size = (uint64_t)65 << 20};
    struct vt_qemu_machine m = {.program = "qemu",
                                .accel = "tcg",
                                .config = &config,
                                .disks = &disk,
                                .disk_count = 1,
                                .memory = &memory,
                                .firmware = &flash,
                                .vars = "/own,vars"};
    struct vt_args args = VT_ARGS_INIT;
    vt_qemu_argv(&args, &m);
    assert_true(
        has_value(&args, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/code,,x"));
    assert_true(
        has_value(&args, "-drive", "if=pflash,unit=1,format=raw,cache=unsafe,file=/own,,vars"));
    assert_true(has_value(&args, "-drive",
                          "if=none,id=seed,format=raw,readonly=on,"
                          "file=/tmp/a,,readonly=off,,b"));
    assert_true(place(&args, "id=disk0") < place(&args, "drive=seed")); /* it stays vda */
    assert_true(has_value(&args, "-device", "ide-cd,drive=cd0"));
    vt_args_free(&args);
    image.disk = NULL;
    image.arch = arm;
    m.disk_count = 0;
    m.vars = NULL;
    m.firmware = &bios;
    vt_qemu_argv(&args, &m);
    assert_string_equal(value(&args, "-bios", 0), code);
    assert_true(has_value(&args, "-device", "scsi-cd,drive=cd0,bootindex=0"));
    vt_args_free(&args);
}

static void test_firmware_is_for_those_that_boot_by_it(void **state)
{
    (void)state;
    static char efi[] = "efi";
    struct vt_image image = image_of(x86);
    struct vt_qemu_firmware found;
    struct vt_error err = VT_ERROR_INIT;
    image.firmware = efi;
    assert_int_equal(vt_qemu_firmware_find(&image, &found, &err), VT_OK); /* it has a kernel */
    assert_null(found.code);
    image.kernel = NULL;
    image.firmware = NULL;
    assert_int_equal(vt_qemu_firmware_find(&image, &found, &err), VT_OK); /* BIOS, QEMU's own */
    assert_null(found.code);
    image.arch = arm;
    assert_int_equal(vt_qemu_firmware_find(&image, &found, &err), VT_OK);
    assert_non_null(found.code);
    assert_null(found.vars);
    vt_qemu_firmware_clear(&found);
    image.arch = x86;
    image.firmware = efi;
    if (vt_qemu_firmware_find(&image, &found, &err)) {
        assert_int_equal(err.code, VT_ENOTFOUND);
        assert_non_null(strstr(err.hint, "ovmf"));
    } else {
        assert_non_null(found.vars);
        char own[] = "/tmp/vmtest-vars-XXXXXX";
        close(mkstemp(own));
        unlink(own);
        assert_int_equal(vt_qemu_firmware_copy_vars(&found, own, &err), VT_OK);
        struct vt_buf a = VT_BUF_INIT, b = VT_BUF_INIT;
        assert_int_equal(vt_read_file(own, 64 << 20, &a, NULL), VT_OK);
        assert_int_equal(vt_read_file(found.vars, 64 << 20, &b, NULL), VT_OK);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        assert_int_equal(vt_write_file_unflushed(own, "mine", 4, 0600, NULL), VT_OK);
        assert_int_equal(vt_qemu_firmware_copy_vars(&found, own, &err), VT_OK); /* kept */
        vt_buf_clear(&a);
        assert_int_equal(vt_read_file(own, 64 << 20, &a, NULL), VT_OK);
        assert_int_equal(a.len, 4);
        unlink(own);
        vt_buf_free(&a);
        vt_buf_free(&b);
    }
    vt_qemu_firmware_clear(&found);
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
    const struct vt_vm_config config = {
        .forwards = wanted, .forward_count = 2, .scratch_dir = "/x"};
    struct vt_qemu q = {.config = &config};
    vt_qemu_net_init(&q);
    vt_qemu_forwards_init(&q);
    assert_int_equal(q.forward_count, 2);
    assert_int_equal(q.forwards[0].host_port, 2222);
    assert_int_equal(q.forwards[1].host_port, 8080);
    const struct vt_vm_config plain = {.forwards = wanted, .forward_count = 1, .scratch_dir = "/x"};
    q.config = &plain;
    vt_qemu_forwards_init(&q);
    assert_int_equal(q.forward_count, 2);
    assert_int_equal(q.forwards[0].host_port, 0);
    assert_int_equal(q.forwards[0].guest_port, 22);
    vt_free(q.nics);
    vt_free(q.forwards);
}

static void test_addresses_of_interfaces(void **state)
{
    (void)state;
    char a[18], b[18], c[18];
    vt_qemu_mac("/run/one/web", 0, a);
    vt_qemu_mac("/run/one/web", 0, b);
    assert_string_equal(a, b);
    assert_memory_equal(a, "52:54:00:", 9);
    assert_int_equal(strlen(a), 17);
    vt_qemu_mac("/run/one/web", 1, b);
    vt_qemu_mac("/run/one/wec", 0, c);
    assert_string_not_equal(a, b);
    assert_string_not_equal(a, c);
    assert_string_not_equal(b, c);
    /* a thousand VMs: some ten thousand pairs share one of 2^24 by chance once in 30 such runs */
    static char all[1000][18];
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        char folder[64];
        snprintf(folder, sizeof folder, "/run/20261122-120000-abcd/vm-%d", i);
        vt_qemu_mac(folder, 0, all[i]);
        for (int k = 0; k < i; k++)
            same += !strcmp(all[i], all[k]);
    }
    assert_true(same < 3);
}

static void test_forwards_lead_into_the_first_nat(void **state)
{
    (void)state;
    char lab[] = "lab";
    const struct vt_nic nics[] = {{.kind = VT_NIC_ISOLATED, .network = lab}, {.kind = VT_NIC_NAT}};
    struct vt_vm_config config = {.nics = nics, .nic_count = 2, .scratch_dir = "/x"};
    struct vt_qemu q = {.config = &config};
    vt_qemu_net_init(&q);
    assert_int_equal(vt_qemu_first_nat(&q), 1);
    vt_free(q.nics);
    config.nic_count = 1;
    vt_qemu_net_init(&q);
    assert_int_equal(vt_qemu_first_nat(&q), -1);
    vt_qemu_forwards_init(&q);
    assert_int_equal(q.forward_count, 0);
    vt_free(q.forwards);
    vt_free(q.nics);
    config.nic_count = 0; /* none at all, not the default one */
    vt_qemu_net_init(&q);
    assert_int_equal(q.nic_count, 0);
    vt_free(q.nics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_can_be_injected),
        cmocka_unit_test(test_machines),
        cmocka_unit_test(test_disk_boot_has_no_kernel),
        cmocka_unit_test(test_cds_seeds_and_firmware),
        cmocka_unit_test(test_firmware_is_for_those_that_boot_by_it),
        cmocka_unit_test(test_forwards_from_the_table),
        cmocka_unit_test(test_ssh_forward_comes_first),
        cmocka_unit_test(test_addresses_of_interfaces),
        cmocka_unit_test(test_forwards_lead_into_the_first_nat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
