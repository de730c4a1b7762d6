/* vmtest doctor */
#include <jansson.h>
#include <libssh2.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <uv.h>

#include "cli/doctor.h"
#include "cli/options.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"
#include "vmtest/accel.h"
#include "vmtest/image.h"
#include "vmtest/registry.h"
#include "vmtest/run.h"
#include "vmtest/units.h"
#include "vmtest_lua.h"

#define MEMORY_LOW ((uint64_t)1 << 30)
#define DISK_LOW ((uint64_t)2 << 30)
#define FILES_LOW 1024u
#define SOCKET_TAIL "/20260131-120000-abcdef/99-a-rather-long-name-of-a-vm/console"

enum { JSON, PROBE };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of lines"},
    [PROBE] = {0, "probe", NULL, "try the acceleration anew, whatever is remembered"},
    {0},
};

static void check_host(struct vt_doctor *r)
{
    struct utsname u;
    char size[32];
    if (uname(&u))
        memset(&u, 0, sizeof u);
    vt_doctor_tell(r, VT_DOCTOR_OK, "host", NULL, "%s %s on %s, %d processors, %s of memory",
                   u.sysname, u.release, u.machine, vt_cpu_count(),
                   vt_format_size(size, sizeof size, vt_memory_total()));
}

static void check_apple(struct vt_doctor *r)
{
    struct vt_apple_place host;
    struct vt_error err = VT_ERROR_INIT;
    if (vt_apple_host(&host, &err) == VT_OK)
        vt_doctor_apple(r, &host);
    else if (err.code != VT_EUNSUPPORTED) /* that is: no Mac */
        vt_doctor_tell_error(r, VT_DOCTOR_WARNING, "macOS", &err);
}

struct probe {
    struct vt_doctor *report;
    bool done;
};

static void on_probe(struct vt_op *op, void *user)
{
    struct probe *p = user;
    p->done = true;
    const struct vt_accel *a = vt_op_result(op);
    if (vt_op_error(op)) {
        vt_doctor_tell_error(p->report, VT_DOCTOR_ERROR, "qemu", vt_op_error(op));
        return;
    }
    vt_doctor_tell(p->report, VT_DOCTOR_OK, "qemu", NULL, "QEMU %s (%s)", a->version, a->qemu);
    if (strcmp(a->accel, "tcg") != 0)
        vt_doctor_tell(p->report, VT_DOCTOR_OK, "acceleration", NULL, "%s: %s", a->accel,
                       a->reason);
    else
        vt_doctor_tell(
            p->report, VT_DOCTOR_WARNING, "acceleration",
            "guests run, but about ten times slower; default deadlines are longer by that. On "
            "bare metal, switch on virtualization in the firmware and let this user open /dev/kvm",
            "emulation (tcg): %s", a->reason);
}

static void check_qemu(struct vt_doctor *r, bool fresh)
{
    struct vt_error err = VT_ERROR_INIT;
    struct probe p = {.report = r};
    struct vt_loop *loop = vt_loop_new(&err);
    const struct vt_accel_opts opts = {.fresh = fresh};
    if (loop && vt_accel_probe(loop, &opts, on_probe, &p, &err))
        while (!p.done)
            vt_loop_run_once(loop, true);
    else
        vt_doctor_tell_error(r, VT_DOCTOR_ERROR, "qemu", &err);
    vt_loop_free(loop);
    char *img = vt_find_program("qemu-img");
    if (img)
        vt_doctor_tell(r, VT_DOCTOR_OK, "qemu-img", NULL, "%s", img);
    else
        vt_doctor_tell(r, VT_DOCTOR_WARNING, "qemu-img", "sudo apt-get install qemu-utils",
                       "not found: images with a disk cannot be started");
    vt_free(img);
}

static void check_libraries(struct vt_doctor *r)
{
    vt_doctor_tell(r, VT_DOCTOR_OK, "libraries", NULL, "libuv %s, libssh2 %s, jansson %s, %s",
                   uv_version_string(), libssh2_version(0), JANSSON_VERSION,
                   OpenSSL_version(OPENSSL_VERSION));
    char lua[64], unit[300];
    if (vtl_versions(lua, sizeof lua, unit, sizeof unit))
        vt_doctor_tell(r, VT_DOCTOR_OK, "lua", NULL, "%s, LuaUnit %s", lua, unit);
    else
        vt_doctor_tell(r, VT_DOCTOR_ERROR, "lua",
                       "sudo apt-get install lua-unit (or: luarocks install luaunit)",
                       "%s, but LuaUnit is not found: %s", lua, unit);
}

static void check_images(struct vt_doctor *r)
{
    struct vt_error err = VT_ERROR_INIT;
    char **names;
    size_t n;
    if (vt_image_names(&names, &n, &err)) {
        vt_doctor_tell_error(r, VT_DOCTOR_ERROR, "images", &err);
        return;
    }
    if (!n)
        vt_doctor_tell(r, VT_DOCTOR_WARNING, "images",
                       "`vmtest image build small` makes a small one in seconds",
                       "there is no image yet");
    for (size_t i = 0; i < n; i++) {
        struct vt_image *image;
        struct vt_error broken = VT_ERROR_INIT;
        if (vt_image_open(names[i], &image, &broken)) {
            vt_doctor_tell_error(r, VT_DOCTOR_ERROR, "image", &broken);
            continue;
        }
        vt_doctor_tell(r, VT_DOCTOR_OK, "image", NULL, "%s (%s, %s%s%s)", image->name, image->os,
                       image->arch, image->created ? ", made " : "",
                       image->created ? image->created : "");
        vt_image_free(image);
    }
    vt_image_names_free(names, n);
}

static void check_disk(struct vt_doctor *r, const char *topic, const char *path)
{
    uint64_t free_bytes;
    char size[32];
    if (!vt_disk_free(path, &free_bytes)) {
        vt_doctor_tell(r, VT_DOCTOR_WARNING, topic, NULL, "how much is free at %s cannot be told",
                       path);
        return;
    }
    vt_format_size(size, sizeof size, free_bytes);
    if (free_bytes < DISK_LOW)
        vt_doctor_tell(r, VT_DOCTOR_WARNING, topic,
                       "free some space, or set VMTEST_HOME to a larger disk",
                       "only %s are free at %s", size, path);
    else
        vt_doctor_tell(r, VT_DOCTOR_OK, topic, NULL, "%s free at %s", size, path);
}

static void check_room(struct vt_doctor *r)
{
    char size[32];
    uint64_t memory = vt_memory_available();
    vt_format_size(size, sizeof size, memory);
    if (memory < MEMORY_LOW)
        vt_doctor_tell(r, VT_DOCTOR_WARNING, "memory",
                       "end other programs, or give VMs less (vm = { memory = … })",
                       "only %s are available", size);
    else
        vt_doctor_tell(r, VT_DOCTOR_OK, "memory", NULL, "%s available", size);
    struct vt_error err = VT_ERROR_INIT;
    char *home = vt_home_dir(NULL, &err);
    if (home)
        check_disk(r, "disk of VMTEST_HOME", home);
    else
        vt_doctor_tell_error(r, VT_DOCTOR_ERROR, "home", &err);
    vt_free(home);
    check_disk(r, "disk of this folder", ".");
}

static void check_limits(struct vt_doctor *r)
{
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        if (files.rlim_cur < FILES_LOW)
            vt_doctor_tell(r, VT_DOCTOR_WARNING, "open files", "ulimit -n 4096",
                           "at most %llu at once", (unsigned long long)files.rlim_cur);
        else
            vt_doctor_tell(r, VT_DOCTOR_OK, "open files", NULL, "at most %llu at once",
                           (unsigned long long)files.rlim_cur);
    }
    struct vt_error err = VT_ERROR_INIT;
    char *runtime = vt_runtime_dir(NULL, &err);
    size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path;
    if (!runtime)
        vt_doctor_tell_error(r, VT_DOCTOR_ERROR, "runtime folder", &err);
    else if (strlen(runtime) + strlen(SOCKET_TAIL) >= room)
        vt_doctor_tell(r, VT_DOCTOR_WARNING, "runtime folder",
                       "set VMTEST_RUNTIME_DIR to a shorter path",
                       "%s is long: a socket's whole path may have %zu bytes", runtime, room - 1);
    else
        vt_doctor_tell(r, VT_DOCTOR_OK, "runtime folder", NULL, "%s", runtime);
    vt_free(runtime);
}

static void check_running(struct vt_doctor *r)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_registered *vms;
    size_t n, kept = 0;
    if (vt_registry_list(&vms, &n, &err)) {
        vt_doctor_tell_error(r, VT_DOCTOR_WARNING, "running VMs", &err);
        return;
    }
    for (size_t i = 0; i < n; i++)
        kept += !vms[i].run_alive;
    if (kept)
        vt_doctor_tell(r, VT_DOCTOR_WARNING, "running VMs", "vmtest vm rm --all ends the kept ones",
                       "%zu, of which %zu kept by runs that ended", n, kept);
    else
        vt_doctor_tell(r, VT_DOCTOR_OK, "running VMs", NULL, "%zu", n);
    vt_registered_free(vms, n);
}

static void print(const struct vt_doctor *r)
{
    size_t i;
    json_t *line;
    json_array_foreach(r->lines, i, line)
    {
        printf("%-8s %s: %s\n", vt_json_str(line, "level", ""), vt_json_str(line, "topic", ""),
               vt_json_str(line, "text", ""));
        if (json_object_get(line, "remedy"))
            printf("         -> %s\n", vt_json_str(line, "remedy", ""));
    }
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    (void)self;
    (void)args;
    struct vt_doctor r = {.lines = json_array()};
    vt_doctor_tell(&r, VT_DOCTOR_OK, "vmtest", NULL, "%s", VT_VERSION);
    check_host(&r);
    check_apple(&r);
    check_qemu(&r, values[PROBE] != NULL);
    check_libraries(&r);
    vt_doctor_tools(&r);
    vt_doctor_tart(&r);
    check_images(&r);
    check_room(&r);
    check_limits(&r);
    check_running(&r);
    vt_doctor_capacity(&r);
    if (values[JSON]) {
        json_dumpf(r.lines, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        print(&r);
    }
    json_decref(r.lines);
    return r.worst == VT_DOCTOR_ERROR ? VT_EXIT_INFRASTRUCTURE : VT_EXIT_OK;
}

const struct vt_command vt_cmd_doctor = {
    .name = "doctor",
    .args = "",
    .summary = "checks this host: what works, what is missing, what to do",
    .details = "Exit code: 0 with warnings at most, 3 with an error.",
    .example = "vmtest doctor\nvmtest doctor --json | jq '.[] | select(.level != \"ok\")'",
    .options = options,
    .max_args = 0,
    .run = run,
};
