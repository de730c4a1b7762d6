/* vmtest vm clone SOURCE NAME... */
#include <stdio.h>
#include <string.h>

#include "cli/vm_task.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "core/text.h"
#include "vmtest/run.h"

enum { START, WAIT };

static const struct vt_option options[] = {
    [START] = {0, "start", NULL, "and start them"},
    [WAIT] = VT_OPTION_WAIT,
    {0},
};

/* What clones are made of. */
struct source {
    const char *name; /* as typed */
    json_t *config;
    char *base; /* the folder of a snapshot, or NULL */
};

/* --- a VM: what it is now becomes a snapshot, which the clones share --- */

static void taken(struct vt_vm_task *t)
{
    struct source *source = t->user;
    source->base = vt_strdup(vt_op_result(t->op));
    vt_vm_task_end(t);
}

static void take(struct vt_vm_task *t)
{
    char name[32] = "clones-";
    const struct vt_snapshot_opts opts = {.name = name, .dir = t->named->snapshots_dir};
    vt_random_hex(name + strlen(name), 8);
    if (vt_mkdirs(t->named->snapshots_dir, &t->err))
        vt_vm_task_end(t);
    else
        vt_vm_task_wait(t, vt_vm_snapshot(t->vm, &opts, vt_vm_task_op, t, &t->err), taken);
}

static int read_vm(const struct vt_command *self, struct source *source, struct vt_named *named)
{
    source->config = json_incref(named->config_json);
    if (!vt_named_pid(named) && vt_named_is_fresh(named)) { /* it begins where they shall */
        source->base = vt_strdup(named->base);
        return VT_EXIT_OK;
    }
    char *names[] = {named->name};
    const struct vt_vm_task_opts opts = {.begin = take, .user = source};
    return vt_vm_tasks(self, names, 1, &opts);
}

/* --- a snapshot: VM@SNAPSHOT --- */

static enum vt_code read_snapshot(struct source *source, const struct vt_named *named,
                                  const char *snapshot, struct vt_error *err)
{
    struct vt_vm_config config;
    char *path = vt_path_join(named->snapshots_dir, snapshot);
    enum vt_code code = VT_OK;
    if (!vt_is_plain_name(snapshot) || !vt_is_dir(path)) {
        code = vt_fail(err, VT_ENOTFOUND, "vm.clone", "VM %s has no snapshot \"%s\"", named->name,
                       snapshot);
        vt_hint(err, "`vmtest vm snapshots %s` lists them", named->name);
    } else {
        code = vt_snapshot_config(path, &config, err);
    }
    if (!code) {
        source->config = vt_vm_config_to_json(&config);
        vt_vm_config_clear(&config);
        source->base = vt_strdup(path);
    }
    vt_free(path);
    return code;
}

/* A VM, a snapshot of one, or an image, in this order: all of them may be called "x@y". */
static int read_source(const struct vt_command *self, struct source *source)
{
    struct vt_error err = VT_ERROR_INIT, no_image = VT_ERROR_INIT;
    struct vt_named *named = NULL;
    struct vt_image *image = NULL;
    const char *at = strchr(source->name, '@');
    char *vm = at ? vt_strndup(source->name, (size_t)(at - source->name)) : vt_strdup(source->name);
    int code = VT_EXIT_OK;
    if (!vt_named_find(vm, &named, &err) && named->dir) {
        if (!at)
            code = read_vm(self, source, named);
        else if (read_snapshot(source, named, at + 1, &err))
            code = vt_vm_exit_code(&err);
    } else if (!vt_image_open(source->name, &image, &no_image)) {
        source->config = json_pack("{s:s}", "image", source->name);
        err = (struct vt_error)VT_ERROR_INIT;
    } else {
        code = VT_EXIT_USAGE;
        err = (struct vt_error)VT_ERROR_INIT;
        vt_fail(&err, VT_ENOTFOUND, "vm.clone",
                "\"%s\" is no named VM, no snapshot (VM@SNAPSHOT), and no image: %s", source->name,
                no_image.message);
        vt_hint(&err, "%s", no_image.hint[0] ? no_image.hint : "`vmtest vm ls` shows the VMs");
    }
    if (err.code)
        vt_cli_error(self, &err);
    vt_image_free(image);
    vt_named_free(named);
    vt_free(vm);
    return code;
}

/* --- the clones --- */

static void print_names(const char *what, char *const *names, size_t from, size_t to)
{
    if (from == to)
        return;
    fprintf(stderr, "  %s:", what);
    for (size_t i = from; i < to; i++)
        fprintf(stderr, " %s", names[i]);
    fputc('\n', stderr);
}

static int make_all(const struct vt_command *self, const struct source *source, char *const *names,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct vt_error err = VT_ERROR_INIT;
        const struct vt_named_opts opts = {.name = names[i],
                                           .config = source->config,
                                           .source = source->name,
                                           .base = source->base};
        if (vt_named_create(&opts, &err)) {
            vt_cli_error(self, &err);
            print_names("made", names, 0, i);
            print_names("not made", names, i, count);
            return err.code == VT_EBUSY ? VT_EXIT_USAGE : vt_vm_exit_code(&err);
        }
        printf("%s\n", names[i]);
        fflush(stdout);
    }
    return VT_EXIT_OK;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct source source = {.name = args[0]};
    char **names;
    size_t count;
    double wait;
    vt_drivers_init();
    if (!vt_cli_wait(self, values[WAIT], &wait) || !vt_vm_names(self, args + 1, &names, &count))
        return VT_EXIT_USAGE;
    int code = read_source(self, &source);
    if (!code)
        code = make_all(self, &source, names, count);
    if (!code && values[START])
        code = vt_vm_start_all(self, names, count, wait);
    json_decref(source.config);
    vt_free(source.base);
    vt_names_free(names, count);
    return code;
}

const struct vt_command vt_cmd_vm_clone = {
    .name = "vm clone",
    .args = "SOURCE NAME...",
    .summary = "makes VMs like another one, from a snapshot, or from an image",
    .details = "SOURCE is a named VM, VM@SNAPSHOT, or an image. Clones share what they begin\n"
               "with and take up space only for what they write; of a VM that runs they begin\n"
               "with its memory, too. 'student-{1..20}' makes twenty. Their names are printed on\n"
               "stdout; `vm reset` puts them back to their beginning.",
    .example = "vmtest vm clone small 'student-{1..20}'\nvmtest vm clone web@clean test --start",
    .options = options,
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
