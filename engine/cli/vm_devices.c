/* vmtest vm screenshot, type, keys, share, unshare, resize-disk, attach-disk, detach-disk */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/spec.h"
#include "cli/vm_task.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

struct asked {
    const char *text;         /* a path, a text, a name */
    const char *const *words; /* chords */
    const struct vt_share *share;
    const struct vt_disk *disk;
    uint64_t size;
};

static int run_on(const struct vt_command *self, char *name, const struct asked *asked,
                  vt_vm_step begin)
{
    struct asked own = *asked;
    const struct vt_vm_task_opts opts = {.begin = begin, .user = &own};
    char *names[] = {name};
    return vt_vm_tasks(self, names, 1, &opts);
}

#define STEP(id, call)                                                                             \
    static void id(struct vt_vm_task *t)                                                           \
    {                                                                                              \
        const struct asked *a = t->user;                                                           \
        if (vt_vm_task_needs_running(t))                                                           \
            vt_vm_task_wait(t, call, NULL);                                                        \
    }

STEP(screenshot, vt_vm_screenshot(t->vm, a->text, vt_vm_task_op, t, &t->err))
STEP(type, vt_vm_type_text(t->vm, a->text, vt_vm_task_op, t, &t->err))
STEP(keys, vt_vm_send_keys(t->vm, a->words, vt_vm_task_op, t, &t->err))
STEP(share, vt_vm_share(t->vm, a->share, vt_vm_task_op, t, &t->err))
STEP(unshare, vt_vm_unshare(t->vm, a->text, vt_vm_task_op, t, &t->err))
STEP(attach_disk, vt_vm_attach_disk(t->vm, a->disk, vt_vm_task_op, t, &t->err))
STEP(detach_disk, vt_vm_detach_disk(t->vm, a->text, vt_vm_task_op, t, &t->err))
STEP(resize_disk, vt_vm_resize_disk(t->vm, a->text, a->size, vt_vm_task_op, t, &t->err))

static int run_screenshot(const struct vt_command *self, const char *const *values, char **args)
{
    (void)values;
    char *here = getcwd(NULL, 0), *path = vt_path_join(here ? here : "/", args[1]);
    const struct asked asked = {.text = path};
    int code = run_on(self, args[0], &asked, screenshot);
    vt_free(path);
    free(here);
    return code;
}

static int run_type(const struct vt_command *self, const char *const *values, char **args)
{
    (void)values;
    const struct asked asked = {.text = args[1]};
    return run_on(self, args[0], &asked, type);
}

static int run_keys(const struct vt_command *self, const char *const *values, char **args)
{
    (void)values;
    const struct asked asked = {.words = (const char *const *)args + 1};
    return run_on(self, args[0], &asked, keys);
}

/* Reads SPEC into a configuration that has nothing but this member of the list `what`. */
static enum vt_code read_spec(const char *text, const char *what, const char *const *flags,
                              struct vt_vm_config *out, struct vt_error *err)
{
    json_t *config = json_pack("{s:[]}", what), *spec = NULL;
    if (!vt_spec_parse(text, flags, &spec, err)) {
        char *full = realpath(vt_json_str(spec, "path", ""), NULL);
        if (full)
            json_object_set_new(spec, "path", json_string(full));
        free(full);
        json_array_append_new(json_object_get(config, what), spec);
        vt_vm_config_from_json(config, false, out, err);
    }
    json_decref(config);
    return err->code;
}

static int run_spec(const struct vt_command *self, char **args, const char *what,
                    const char *const *flags, vt_vm_step begin)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_vm_config read = {0};
    read_spec(args[1], what, flags, &read, &err);
    int code = vt_vm_exit_code(&err);
    if (err.code) {
        vt_cli_error(self, &err);
    } else {
        const struct asked asked = {.share = read.shares, .disk = read.disks};
        code = run_on(self, args[0], &asked, begin);
    }
    vt_vm_config_clear(&read);
    return code;
}

static int run_share(const struct vt_command *self, const char *const *values, char **args)
{
    static const char *const flags[] = {"read_only", NULL};
    (void)values;
    return run_spec(self, args, "shares", flags, share);
}

static int run_attach_disk(const struct vt_command *self, const char *const *values, char **args)
{
    static const char *const flags[] = {"read_only", "direct", NULL};
    (void)values;
    return run_spec(self, args, "disks", flags, attach_disk);
}

static int run_detach_disk(const struct vt_command *self, const char *const *values, char **args)
{
    (void)values;
    const struct asked asked = {.text = args[1]};
    return run_on(self, args[0], &asked, detach_disk);
}

static int run_unshare(const struct vt_command *self, const char *const *values, char **args)
{
    (void)values;
    const struct asked asked = {.text = args[1]};
    return run_on(self, args[0], &asked, unshare);
}

static int run_resize_disk(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct asked asked = {.text = args[1]};
    (void)values;
    if (vt_parse_size(args[2], &asked.size, &err))
        return vt_cli_usage(self, "%s; %s", err.message, err.hint);
    return run_on(self, args[0], &asked, resize_disk);
}

#define COMMAND(id, word, arguments, what, more, least, most, line)                                \
    const struct vt_command vt_cmd_vm_##id = {                                                     \
        .name = "vm " word,                                                                        \
        .args = (arguments),                                                                       \
        .summary = (what),                                                                         \
        .details = (more),                                                                         \
        .example = (line),                                                                         \
        .min_args = (least),                                                                       \
        .max_args = (most),                                                                        \
        .run = run_##id,                                                                           \
    }

COMMAND(screenshot, "screenshot", "NAME FILE", "saves what a VM's screen shows as PNG",
        "The VM is to be made with --screen.", 2, 2, "vmtest vm screenshot web screen.png");
COMMAND(type, "type", "NAME TEXT", "types text on a VM's keyboard (US layout)",
        "The VM is to be made with --screen.", 2, 2, "vmtest vm type web $'root\\n'");
COMMAND(keys, "keys", "NAME KEY...", "presses keys on a VM's keyboard, one after the other",
        "Keys that are held together are joined by '-'. The VM is to be made with --screen.", 2, -1,
        "vmtest vm keys web ctrl-alt-f2 ret");
COMMAND(share, "share", "NAME SPEC", "gives a running VM a folder of this host",
        "SPEC is name=TAG,path=DIR[,read-only]. It lasts till the VM stops; for good: vm create\n"
        "--share.",
        2, 2, "vmtest vm share web name=src,path=.,read-only");
COMMAND(unshare, "unshare", "NAME SHARE", "takes a shared folder away from a running VM", NULL, 2,
        2, "vmtest vm unshare web src");
COMMAND(resize_disk, "resize-disk", "NAME DISK SIZE", "makes a disk of a running VM larger",
        "DISK is its name, or disk0 for the image's own. The guest grows its file system itself.",
        3, 3, "vmtest vm resize-disk web disk0 20G");
COMMAND(
    attach_disk, "attach-disk", "NAME SPEC", "plugs a disk into a running VM",
    "SPEC is name=DISK,size=SIZE or name=DISK,path=FILE[,format=raw|qcow2][,read-only][,direct].\n"
    "It lasts till the VM stops; for good: vm create --disk.",
    2, 2, "vmtest vm attach-disk web name=stick,size=64M");
COMMAND(detach_disk, "detach-disk", "NAME DISK", "takes a plugged disk out of a running VM", NULL,
        2, 2, "vmtest vm detach-disk web stick");
