/* vmtest vm snapshot, snapshots, restore, rmsnap */
#include <stdio.h>
#include <string.h>

#include "cli/vm_find.h"
#include "cli/vm_task.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/text.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

enum { TIMEOUT, WAIT };
enum { JSON }; /* of the list */

struct asked {
    const char *snapshot;
    double timeout;
};

static const struct vt_option options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "for the whole of it (default: 60s, or 10m emulated)"},
    {0},
};

static bool read_timeout(const struct vt_command *self, const char *text, double *timeout)
{
    struct vt_error err = VT_ERROR_INIT;
    if (!text || (!vt_parse_duration(text, timeout, &err) && *timeout > 0))
        return true;
    vt_cli_usage(self, "--timeout takes a time above 0, such as 90s or 5m, not \"%s\"", text);
    return false;
}

static int run_on(const struct vt_command *self, const char *const *values, char **args,
                  vt_vm_step begin)
{
    struct asked asked = {.snapshot = args[1]};
    if (!read_timeout(self, values[TIMEOUT], &asked.timeout))
        return VT_EXIT_USAGE;
    struct vt_vm_task_opts opts = {.begin = begin, .user = &asked};
    if (!vt_cli_wait(self, values[WAIT], &opts.wait))
        return VT_EXIT_USAGE;
    char *pattern[] = {args[0], NULL};
    return vt_vm_tasks_by_pattern(self, pattern, &opts);
}

/* --- snapshot --- */

static void taken(struct vt_vm_task *t)
{
    const struct asked *asked = t->user;
    vt_vm_task_say(t, "snapshot %s taken, %.1f s", asked->snapshot,
                   vt_loop_now(t->loop) - t->since);
    vt_vm_task_end(t);
}

static void take(struct vt_vm_task *t)
{
    const struct asked *asked = t->user;
    const struct vt_snapshot_opts opts = {
        .name = asked->snapshot, .dir = t->named->snapshots_dir, .timeout = asked->timeout};
    if (vt_mkdirs(t->named->snapshots_dir, &t->err))
        vt_vm_task_end(t);
    else
        vt_vm_task_wait(t, vt_vm_snapshot(t->vm, &opts, vt_vm_task_op, t, &t->err), taken);
}

static int run_snapshot(const struct vt_command *self, const char *const *values, char **args)
{
    return run_on(self, values, args, take);
}

/* The folder of a snapshot that is there, or NULL with the nearest name in *err. */
static char *snapshot_path(const struct vt_named *named, const char *name, struct vt_error *err)
{
    struct vt_snapshot *all = NULL;
    size_t n = 0;
    char *path = NULL;
    vt_vm_snapshots(NULL, named->snapshots_dir, &all, &n, err);
    const char **names = vt_calloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        names[i] = all[i].name;
        if (!strcmp(names[i], name))
            path = vt_strdup(all[i].dir);
    }
    if (!path) {
        const char *near = vt_nearest(name, names, n);
        vt_fail(err, VT_ENOTFOUND, "vm", "VM %s has no snapshot \"%s\"", named->name, name);
        if (near)
            vt_hint(err, "did you mean %s?", near);
        else
            vt_hint(err, "`vmtest vm snapshots %s` lists them", named->name);
    }
    vt_free(names);
    vt_snapshots_free(all, n);
    return path;
}

/* --- restore --- */

static void restored(struct vt_vm_task *t)
{
    const struct asked *asked = t->user;
    vt_vm_task_say(t, "restored to %s (%s), %.1f s", asked->snapshot,
                   vt_vm_state_name(vt_vm_state(t->vm)), vt_loop_now(t->loop) - t->since);
    vt_vm_task_end(t);
}

static void restore(struct vt_vm_task *t)
{
    const struct asked *asked = t->user;
    char *path = snapshot_path(t->named, asked->snapshot, &t->err);
    struct vt_op *op =
        path ? vt_vm_restore(t->vm, path, asked->timeout, vt_vm_task_op, t, &t->err) : NULL;
    vt_vm_task_wait(t, op, restored);
    vt_free(path);
}

static int run_restore(const struct vt_command *self, const char *const *values, char **args)
{
    return run_on(self, values, args, restore);
}

/* --- the list --- */

static void print_line(const struct vt_snapshot *s, int depth)
{
    char name[128], size[32];
    snprintf(name, sizeof name, "%*s%s", 2 * (depth < 20 ? depth : 20), "", s->name);
    snprintf(size, sizeof size, "%.1fM", (double)s->bytes / (1 << 20));
    printf("%-28s %-24s %-7s %s\n", name, s->created ? s->created : "-",
           s->memory ? "memory" : "disks", size);
}

/* Those whose parent is `parent`, each with its own below it. */
static void print_below(const struct vt_snapshot *all, size_t n, const char *parent, int depth,
                        bool *shown)
{
    for (size_t i = 0; i < n; i++) {
        bool below = parent ? all[i].parent && !strcmp(all[i].parent, parent) : !all[i].parent;
        if (!below || shown[i])
            continue;
        shown[i] = true;
        print_line(&all[i], depth);
        print_below(all, n, all[i].name, depth + 1, shown);
    }
}

static void print_tree(const struct vt_snapshot *all, size_t n)
{
    bool *shown = vt_calloc(n + 1, sizeof *shown);
    printf("%-28s %-24s %-7s %s\n", "SNAPSHOT", "CREATED", "OF", "SIZE");
    print_below(all, n, NULL, 0, shown);
    for (size_t i = 0; i < n; i++) { /* whose parent was removed */
        if (shown[i])
            continue;
        shown[i] = true;
        print_line(&all[i], 0);
        print_below(all, n, all[i].name, 1, shown);
    }
    vt_free(shown);
}

static void print_json(const struct vt_snapshot *all, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s*, s:s*, s:b, s:I}", "name", all[i].name, "dir",
                            all[i].dir, "parent", all[i].parent, "created", all[i].created,
                            "memory", (int)all[i].memory, "bytes", (json_int_t)all[i].bytes));
    json_dumpf(list, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(list);
}

static int run_snapshots(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_named *named;
    struct vt_snapshot *all;
    size_t n;
    if (vt_named_find(args[0], &named, &err)) {
        vt_cli_error(self, &err);
        return vt_vm_exit_code(&err);
    }
    if (vt_vm_snapshots(NULL, named->snapshots_dir, &all, &n, &err)) {
        vt_cli_error(self, &err);
    } else {
        if (values[JSON])
            print_json(all, n);
        else if (n)
            print_tree(all, n);
        else
            fprintf(stderr, "VM %s has no snapshot\n", args[0]);
        vt_snapshots_free(all, n);
    }
    vt_named_free(named);
    return vt_vm_exit_code(&err);
}

/* --- removal --- */

static int run_rmsnap(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_named *named;
    (void)values;
    if (vt_vm_take(args[0], &named, &err)) {
        vt_cli_error(self, &err);
        return vt_vm_exit_code(&err);
    }
    for (args++; *args && !err.code; args++) {
        char *path = snapshot_path(named, *args, &err);
        if (path && !vt_named_unused(path, &err) && !vt_snapshot_remove(path, &err))
            fprintf(stderr, "removed %s@%s\n", named->name, *args);
        vt_free(path);
    }
    if (err.code)
        vt_cli_error(self, &err);
    vt_named_free(named);
    return vt_vm_exit_code(&err);
}

const struct vt_command vt_cmd_vm_snapshot = {
    .name = "vm snapshot",
    .args = "NAME SNAPSHOT",
    .summary = "takes a snapshot of a VM: disks, and memory where it runs",
    .details = "The VM goes on as it was. 'student-{1..20}' takes one of each of twenty VMs.",
    .example = "vmtest vm snapshot web clean",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .run = run_snapshot,
};

static const struct vt_option restore_options[] = {
    [TIMEOUT] = {0, "timeout", "TIME", "for the whole of it (default: 60s, or 10m emulated)"},
    [WAIT] = VT_OPTION_WAIT,
    {0},
};

const struct vt_command vt_cmd_vm_restore = {
    .name = "vm restore",
    .args = "NAME SNAPSHOT",
    .summary = "puts a VM where a snapshot of it was taken",
    .details = "It runs afterwards where the snapshot was of a running VM; what it has written\n"
               "since is lost.",
    .example = "vmtest vm restore web clean",
    .options = restore_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_restore,
};

static const struct vt_option list_options[] = {
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of a tree"},
    {0},
};

const struct vt_command vt_cmd_vm_snapshots = {
    .name = "vm snapshots",
    .args = "NAME",
    .summary = "lists a VM's snapshots as a tree",
    .example = "vmtest vm snapshots web\nvmtest vm snapshots web --json",
    .options = list_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_snapshots,
};

const struct vt_command vt_cmd_vm_rmsnap = {
    .name = "vm rmsnap",
    .args = "NAME SNAPSHOT...",
    .summary = "removes snapshots of a VM",
    .example = "vmtest vm rmsnap web clean",
    .min_args = 2,
    .max_args = -1,
    .run = run_rmsnap,
};
