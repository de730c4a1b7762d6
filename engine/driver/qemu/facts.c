#include "driver/qemu/facts.h"

#include <string.h>
#include <sys/stat.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "core/text.h"
#include "driver/qemu/save.h"

#define OP "vm.restore"

json_t *vt_qemu_migration_capabilities(bool ignore_shared)
{
    return json_pack("{s:[{s:s, s:b}, {s:s, s:b}]}", "capabilities", "capability",
                     "x-ignore-shared", "state", (int)ignore_shared, "capability", "events",
                     "state", 1);
}

/* The processor's name where guests run on it; "" where it is emulated or not known. */
static char *processor(const char *accel)
{
    struct vt_buf text = VT_BUF_INIT;
    char *name = NULL;
    if (accel && strcmp(accel, "tcg") != 0 &&
        vt_read_file("/proc/cpuinfo", (size_t)1 << 24, &text, NULL) == VT_OK) {
        const char *at = strstr(vt_buf_str(&text), "model name");
        at = at ? strchr(at, ':') : NULL;
        if (at)
            name = vt_strndup(at + 2, strcspn(at + 2, "\n"));
    }
    vt_buf_free(&text);
    return name ? name : vt_strdup("");
}

/* Which QEMU: a package's file has the same size and time on every host. */
static json_t *program_stamp(const struct vt_qemu *q)
{
    struct vt_buf name = VT_BUF_INIT;
    struct stat st;
    vt_buf_printf(&name, "qemu-system-%s", q->config->image->arch);
    char *path = q->program ? vt_strdup(q->program) : vt_find_program(name.data);
    json_t *stamp = path && stat(path, &st) == 0
                        ? json_pack("{s:I, s:I}", "size", (json_int_t)st.st_size, "mtime",
                                    (json_int_t)st.st_mtime)
                        : json_null();
    vt_free(path);
    vt_buf_free(&name);
    return stamp;
}

void vt_qemu_facts_add(const struct vt_qemu *q, json_t *facts)
{
    json_t *disks = json_object();
    for (size_t i = 0; i < q->disk_count; i++) {
        json_t *names = json_array();
        for (size_t k = 0; k + 1 < q->disks[i].count; k++)
            json_array_append_new(names, json_string(vt_path_base(q->disks[i].layers[k])));
        json_object_set_new(disks, q->disks[i].id, names);
    }
    json_t *own = json_pack("{s:o, s:o}", "disks", disks, "program", program_stamp(q));
    if (q->process) {
        char *cpu = processor(q->accel);
        struct vt_buf hypervisor = VT_BUF_INIT;
        vt_buf_printf(&hypervisor, "QEMU %s", q->version);
        json_object_set_new(facts, "hypervisor", json_string(hypervisor.data));
        json_object_set_new(own, "accel", json_string(q->accel));
        json_object_set_new(own, "cpu", json_string(cpu));
        json_object_set_new(own, "memory", json_integer((json_int_t)vt_qemu_memory_size(q)));
        vt_buf_free(&hypervisor);
        vt_free(cpu);
    }
    json_object_set_new(facts, "qemu", own);
}

const json_t *vt_qemu_facts_layers(const json_t *facts, const char *disk)
{
    return json_object_get(json_object_get(json_object_get(facts, "qemu"), "disks"), disk);
}

static enum vt_code check_disks(const struct vt_qemu *q, const char *dir, const json_t *facts,
                                struct vt_error *err)
{
    enum vt_code code = VT_OK;
    for (size_t i = 0; !code && i < q->disk_count; i++) {
        const json_t *names = vt_qemu_facts_layers(facts, q->disks[i].id);
        if (!json_is_array(names))
            code = vt_fail(err, VT_ESTATE, OP, "the snapshot %s knows no disk \"%s\"", dir,
                           q->disks[i].id);
        for (size_t k = 0; !code && k < json_array_size(names); k++) {
            const char *name = json_string_value(json_array_get(names, k));
            code = name && vt_is_plain_name(name)
                       ? vt_snapshot_check_file(dir, name, -1, err)
                       : vt_fail(err, VT_EPROTO, OP, "the snapshot %s names a layer that cannot be",
                                 dir);
        }
    }
    return code;
}

static enum vt_code check_program(const struct vt_qemu *q, const char *dir, const json_t *facts,
                                  struct vt_error *err)
{
    const json_t *own = json_object_get(facts, "qemu");
    const char *accel = vt_json_str(own, "accel", "");
    json_t *program = program_stamp(q);
    char *cpu = processor(accel);
    enum vt_code code = VT_OK;
    if (!json_equal(program, json_object_get(own, "program"))) {
        code =
            vt_fail(err, VT_ESTATE, OP,
                    "the snapshot %s holds the memory of a VM of %s; this host's QEMU is another",
                    dir, vt_json_str(facts, "hypervisor", "another QEMU"));
        vt_hint(err, "take the snapshot anew with this QEMU");
    } else if (q->accel && strcmp(accel, q->accel) != 0) {
        code =
            vt_fail(err, VT_ESTATE, OP, "the snapshot %s was taken under %s; VM %s runs under %s",
                    dir, accel, q->config->name, q->accel);
    } else if (strcmp(vt_json_str(own, "cpu", ""), cpu) != 0) {
        code = vt_fail(err, VT_ESTATE, OP,
                       "the snapshot %s was taken on another processor (%s) than this host's (%s)",
                       dir, vt_json_str(own, "cpu", "?"), cpu);
    }
    vt_free(cpu);
    json_decref(program);
    return code;
}

enum vt_code vt_qemu_facts_check(const struct vt_qemu *q, const char *dir, const json_t *facts,
                                 struct vt_error *err)
{
    const json_t *own = json_object_get(facts, "qemu");
    enum vt_code code = check_disks(q, dir, facts, err);
    if (code || !vt_json_bool(facts, "memory", false))
        return code;
    uint64_t memory = vt_qemu_memory_size(q), mib = (uint64_t)1 << 20;
    if (vt_json_int(own, "memory", 0) != (int64_t)memory)
        return vt_fail(err, VT_ESTATE, OP, "the snapshot %s is of a VM with another memory", dir);
    code = vt_snapshot_check_file(dir, VT_QEMU_MEMORY_FILE,
                                  (int64_t)((memory + mib - 1) / mib * mib), err);
    if (!code)
        code = vt_snapshot_check_file(dir, VT_QEMU_STATE_FILE, -1, err);
    return code ? code : check_program(q, dir, facts, err);
}
