/* The ways into a guest of the vz driver, as its image names them: the same for macOS and Linux. */
#include "unit.h"

#include <string.h>

#include "driver/vz/machine.h"
#include "guest/channel.h"
#include "vmtest/loop.h"

struct rig {
    struct vt_image image;
    struct vt_vm_config config;
    struct vt_vz vz;
};

static char agent[] = "agent", ssh[] = "ssh", macos[] = "macos", linux_[] = "linux";
static char *both[] = {agent, ssh, NULL}, *one[] = {ssh, NULL};

static void begin(struct rig *r, char *os, char **channels)
{
    static char name[] = "base", dir[] = "/images/base",
                model[] = "bW9kZWw=", socket[] = "/run/agent", kernel[] = "/images/base/vmlinuz",
                user[] = "admin", password[] = "secret";
    bool mac = os == macos;
    *r = (struct rig){.image = {.name = name,
                                .dir = dir,
                                .os = os,
                                .kernel = mac ? NULL : kernel,
                                .hardware_model = mac ? model : NULL,
                                .memory = 1 << 30,
                                .cpus = 2,
                                .channels = channels,
                                .ssh_user = user,
                                .ssh_password = password},
                      .config = {.name = name, .scratch_dir = dir, .image = &r->image},
                      .vz = {.config = &r->config,
                             .loop = vt_loop_new(NULL),
                             .console = socket,
                             .agent = socket,
                             .identity = json_object()}};
}

static void end(struct rig *r)
{
    json_decref(r->vz.identity);
    vt_loop_free(r->vz.loop);
}

static void test_an_agent_by_vsock(void **state)
{
    char *const systems[] = {macos, linux_};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        begin(&r, systems[i], both);
        assert_string_equal(vt_vm_channel_kind(&r.config), "agent");
        assert_true(vt_vz_has_way_in(&r.vz, NULL));
        json_t *machine = vt_vz_machine(&r.vz),
               *port = json_array_get(json_object_get(machine, "vsock"), 0);
        assert_int_equal(json_integer_value(json_object_get(port, "port")), 30285);
        assert_string_equal(json_string_value(json_object_get(port, "socket")), "/run/agent");
        struct vt_channel *ch = vt_vz_channel(&r.vz, "agent", NULL);
        assert_non_null(ch);
        assert_non_null(ch->cls->refresh); /* a restored guest's clock and random pool go by it */
        ch->cls->free(ch);
        json_decref(machine);
        end(&r);
    }
}

static void test_an_image_without_one(void **state)
{
    struct vt_error why = VT_ERROR_INIT;
    struct rig r;
    (void)state;
    begin(&r, macos, one);
    assert_string_equal(vt_vm_channel_kind(&r.config), "ssh");
    json_t *machine = vt_vz_machine(&r.vz);
    assert_null(json_object_get(machine, "vsock"));
    assert_null(vt_vz_channel(&r.vz, "agent", &why));
    assert_int_equal(why.code, VT_EUNSUPPORTED);
    assert_non_null(strstr(why.hint, "\"channels\""));
    struct vt_channel *ch = vt_vz_channel(&r.vz, "ssh", NULL);
    assert_non_null(ch);
    assert_null(ch->cls->refresh); /* by commands, then */
    ch->cls->free(ch);
    json_decref(machine);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_agent_by_vsock),
        cmocka_unit_test(test_an_image_without_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
