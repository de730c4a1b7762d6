/* Networks of real guests: who reaches whom. */
#include "guest.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"

static char lab[] = "lab", other[] = "other";

static void expect(struct guest *g, const char *command, int status)
{
    int got = guest_exec(g, command);
    if (got != status)
        fail_msg("%s: %s: status %d; %s%s", g->config.name, command, got, g->out, g->error.message);
}

/* In the run of `first`. */
static void init_member(struct guest *g, struct guest *first, const char *name,
                        const struct vt_nic *nics, size_t count)
{
    guest_init(g, "small");
    vt_loop_free(g->loop); /* one process has one loop */
    g->loop = first->loop;
    g->config.name = name;
    g->config.nics = nics;
    g->config.nic_count = count;
    vt_free(g->state_dir);
    g->state_dir = vt_path_join(first->root, name);
    assert_int_equal(vt_mkdirs(g->state_dir, NULL), VT_OK);
    g->config.state_dir = g->state_dir;
}

static void free_member(struct guest *g)
{
    vt_vm_free(g->vm, false);
    g->vm = NULL;
    guest_run(g, 0.1);
    g->loop = NULL;
    guest_free(g);
}

static void boot(struct guest *g)
{
    guest_new(g);
    guest_start_ready(g);
}

static const char *fact(struct guest *g, size_t nic, const char *key, char out[64])
{
    json_t *facts = vt_vm_info(g->vm);
    const json_t *one = json_array_get(json_object_get(facts, "nics"), nic);
    snprintf(out, 64, "%s", vt_json_str(one, key, ""));
    json_decref(facts);
    return out;
}

static void await_no_switch(const char *root)
{
    char *path = vt_path_join(root, "net-lab.sock");
    struct stat st;
    for (double end = vt_monotonic() + 60; stat(path, &st) == 0; usleep(20000))
        if (vt_monotonic() > end)
            fail_msg("the switch stays");
    vt_free(path);
}

static void test_guests_reach_each_other_by_name(void **state)
{
    (void)state;
    struct guest web, db, far;
    const struct vt_nic two[] = {{.kind = VT_NIC_NAT}, {.kind = VT_NIC_ISOLATED, .network = lab}};
    const struct vt_nic elsewhere[] = {{.kind = VT_NIC_NAT},
                                       {.kind = VT_NIC_ISOLATED, .network = other}};
    char text[64], command[256];
    guest_init(&web, "small"); /* whose folder is the run's */
    web.config.name = "web";
    web.config.nics = two;
    web.config.nic_count = 2;
    init_member(&db, &web, "db", two, 2);
    init_member(&far, &web, "far", elsewhere, 2);
    boot(&web);
    assert_string_equal(fact(&web, 1, "address", text), "10.77.0.1");
    boot(&db);
    boot(&far);
    expect(&web, "ping -c 1 -W 20 db && ping -c 1 -W 20 web", 0); /* also the one that was first */
    expect(&db, "ping -c 1 -W 20 web", 0);
    expect(&web,
           "(echo hello from web | nc -l -p 7000 >/dev/null 2>&1) >/dev/null 2>&1 "
           "</dev/null & sleep 1",
           0);
    expect(&db, "nc -w 20 web 7000 </dev/null", 0);
    assert_string_equal(db.out, "hello from web\n");
    /* the network beside it is another one, whatever is tried */
    expect(&far, "ping -c 1 -W 2 web", 1);
    expect(&far, "ifconfig eth1 10.77.0.99 && ping -c 1 -W 2 10.77.0.1", 1);
    /* nor does the isolated one lead to the host or out of it */
    expect(&db, "route del default; ping -c 1 -W 2 -I eth1 10.0.2.2", 1);
    expect(&db, "udhcpc -i eth1 -n -q -t 2 -T 1 -s /bin/true", 1);
    /* its interface has the address it was given, in life */
    snprintf(command, sizeof command, "[ $(cat /sys/class/net/eth1/address) = %s ]",
             fact(&db, 1, "mac", text));
    expect(&db, command, 0);
    /* names come once, however often a guest starts */
    expect(&db, "(sleep 0.2; reboot) >/dev/null 2>&1 & exit 0", 0);
    guest_run(&db, 1);
    guest_await_console(&db, "vmtest: ready", 2);
    assert_int_equal(guest_call(&db, vt_vm_kill, NULL), VT_OK);
    guest_start_ready(&db);
    expect(&db, "grep -c ' web ' /etc/hosts", 0);
    assert_string_equal(db.out, "1\n");
    expect(&db, "ping -c 1 -W 20 web", 0);
    char *root = vt_strdup(web.root);
    vt_vm_free(web.vm, false);
    web.vm = NULL;
    free_member(&far);
    free_member(&db);
    await_no_switch(root);
    vt_free(root);
    guest_free(&web);
}

/* Without any interface to the host, a script of its own tells by the console. */
static void test_isolated_guest_sees_nothing(void **state)
{
    (void)state;
    struct guest g;
    const struct vt_nic nic = {.kind = VT_NIC_ISOLATED, .network = lab};
    guest_init_script(&g,
                      "mount -t proc p /proc; mount -t sysfs s /sys; cd /lib/modules; "
                      "while read -r m; do insmod $m; done < order; ifconfig eth0 10.0.2.15; "
                      "for a in 10.0.2.2 10.0.2.3 127.0.0.1; do "
                      "ping -c 1 -W 2 $a >/dev/null && echo reached $a || echo missed $a; done; "
                      "ifconfig lo 127.0.0.1 up; ping -c 1 127.0.0.1 >/dev/null && echo sane; "
                      "sleep 1000",
                      0);
    g.config.nics = &nic;
    g.config.nic_count = 1;
    guest_new(&g);
    assert_int_equal(guest_start(&g, NULL), VT_OK);
    guest_await_console(&g, "sane", 1);
    assert_int_equal(guest_console_count(&g, "missed 10.0.2.2"), 1);
    assert_int_equal(guest_console_count(&g, "missed 10.0.2.3"), 1);
    assert_int_equal(guest_console_count(&g, "reached"), 0);
    guest_free(&g);
}

static void test_no_interface(void **state)
{
    (void)state;
    struct guest g;
    const struct vt_nic none[1] = {{.kind = VT_NIC_NAT}};
    guest_init_script(&g,
                      "mount -t proc p /proc; mount -t sysfs s /sys; cd /lib/modules; "
                      "while read -r m; do insmod $m; done < order; "
                      "echo interfaces: $(ls /sys/class/net); sleep 1000",
                      0);
    g.config.nics = none;
    g.config.nic_count = 0;
    guest_new(&g);
    assert_int_equal(guest_start(&g, NULL), VT_OK);
    guest_await_console(&g, "interfaces: lo\r\n", 1);
    guest_free(&g);
}

static void test_several_with_nat_and_a_fixed_address(void **state)
{
    (void)state;
    struct guest g;
    char mac[] = "52:54:00:ab:cd:ef";
    const struct vt_nic nics[] = {{.kind = VT_NIC_NAT}, {.kind = VT_NIC_NAT, .mac = mac}};
    guest_init(&g, "small");
    g.config.nics = nics;
    g.config.nic_count = 2;
    boot(&g);
    expect(&g,
           "cat /sys/class/net/eth1/address; ifconfig eth1 10.0.2.16 && "
           "route del default && ping -c 1 -W 20 -I eth1 10.0.2.2 >/dev/null",
           0);
    assert_string_equal(g.out, "52:54:00:ab:cd:ef\n");
    guest_free(&g);
}

#ifdef __linux__
static int run(const char *command)
{
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* In a network namespace of this process's own. */
static void test_bridged(void **state)
{
    (void)state;
    struct guest a, b;
    char bridge[] = "vtbr0";
    if (geteuid() || unshare(CLONE_NEWNET))
        guest_skip("this user cannot have a network of its own");
    if (run("ip link set lo up && ip link add vtbr0 type bridge && "
            "ip addr add 10.88.0.1/24 dev vtbr0 && ip link set vtbr0 up"))
        guest_skip("no bridge can be made here");
    const struct vt_nic nics[] = {{.kind = VT_NIC_NAT},
                                  {.kind = VT_NIC_BRIDGED, .network = bridge}};
    guest_init(&a, "small");
    a.config.nics = nics;
    a.config.nic_count = 2;
    init_member(&b, &a, "second", nics, 2);
    boot(&a);
    boot(&b);
    expect(&a, "ifconfig eth1 10.88.0.2 netmask 255.255.255.0 up && ping -c 1 -W 20 10.88.0.1", 0);
    expect(&b, "ifconfig eth1 10.88.0.3 netmask 255.255.255.0 up && ping -c 1 -W 20 10.88.0.2", 0);
    assert_int_equal(run("ping -c 1 -W 20 10.88.0.2 >/dev/null 2>&1 || "
                         "ip neigh show 10.88.0.2 | grep -q lladdr"),
                     0); /* the host sees it, too */
    assert_int_equal(run("[ $(ls -d /sys/class/net/vtbr0/brif/* 2>/dev/null | wc -l) = 2 ] || "
                         "[ $(ip -o link show master vtbr0 | wc -l) = 2 ]"),
                     0);
    kill((pid_t)guest_pid(&b), SIGKILL); /* its tap goes with it */
    guest_await_state(&b, VT_VM_CRASHED);
    assert_int_equal(run("[ $(ip -o link show master vtbr0 | wc -l) = 1 ]"), 0);
    free_member(&b);
    guest_free(&a);
    assert_int_equal(run("[ $(ip -o link show master vtbr0 | wc -l) = 0 ]"), 0);
}

static void test_bridge_that_is_none(void **state)
{
    (void)state;
    struct guest g;
    char bridge[] = "nosuchbridge";
    const struct vt_nic nic = {.kind = VT_NIC_BRIDGED, .network = bridge};
    guest_init_script(&g, "sleep 1000", 0);
    g.config.nics = &nic;
    g.config.nic_count = 1;
    guest_new(&g);
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(guest_start(&g, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.message, "nosuchbridge"));
    assert_non_null(strstr(err.hint, "ip link add"));
    guest_free(&g);
}
#endif

int main(int argc, char **argv)
{
    static const struct guest_test tests[] = {
#define TEST(name) {#name, name}
        TEST(test_guests_reach_each_other_by_name),
        TEST(test_isolated_guest_sees_nothing),
        TEST(test_no_interface),
        TEST(test_several_with_nat_and_a_fixed_address),
#ifdef __linux__
        TEST(test_bridged),
        TEST(test_bridge_that_is_none),
#endif
    };
    return guest_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
