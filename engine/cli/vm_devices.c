/* vmtest vm screenshot, type, keys, share, unshare, resize-disk */
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

static int run_share(const struct vt_command *self, const char *const *values, char **args)
{
    static const char *const flags[] = {"read_only", NULL};
    struct vt_error err = VT_ERROR_INIT;
    json_t *config = json_pack("{s:[]}", "shares"), *spec = NULL;
    struct vt_vm_config read = {0};
    (void)values;
    if (!vt_spec_parse(args[1], flags, &spec, &err)) {
        char *full = realpath(vt_json_str(spec, "path", ""), NULL);
        if (full)
            json_object_set_new(spec, "path", json_string(full));
        free(full);
        json_array_append_new(json_object_get(config, "shares"), spec);
        vt_vm_config_from_json(config, false, &read, &err);
    }
    int code = vt_vm_exit_code(&err);
    if (err.code) {
        vt_cli_error(self, &err);
    } else {
        const struct asked asked = {.share = read.shares};
        code = run_on(self, args[0], &asked, share);
    }
    vt_vm_config_clear(&read);
    json_decref(config);
    return code;
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
