/* vmtest drivers: what each driver can do, as the drivers themselves say. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "core/buf.h"
#include "core/mem.h"
#include "vm/driver.h"
#include "vmtest/run.h"

enum { JSON, MARKDOWN };

static const struct vt_option options[] = {
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of a table"},
    [MARKDOWN] = {0, "markdown", NULL, "the tables of docs/drivers.md"},
    {0},
};

static const char *const meanings[VT_CAP_COUNT_] = {
    [VT_CAP_START] = "start, wait until it answers",
    [VT_CAP_STOP] = "ask the guest to power off",
    [VT_CAP_KILL] = "power off hard",
    [VT_CAP_PAUSE] = "pause and resume",
    [VT_CAP_RESET] = "restart hard",
    [VT_CAP_CONSOLE] = "read the serial console",
    [VT_CAP_CONSOLE_WRITE] = "write to it",
    [VT_CAP_EXEC] = "run commands in the guest",
    [VT_CAP_FILES] = "copy files in and out",
    [VT_CAP_SNAPSHOT] = "snapshots, and going back to them",
    [VT_CAP_COPY] = "another VM from a snapshot, beside the first",
    [VT_CAP_SCREENSHOT] = "the screen as a picture",
    [VT_CAP_KEYS] = "press keys, type text",
    [VT_CAP_VNC] = "the screen by VNC",
    [VT_CAP_DISKS] = "disks beside the image's own",
    [VT_CAP_NBD] = "disks of an NBD server",
    [VT_CAP_RESIZE] = "make a disk larger while the VM runs",
    [VT_CAP_HOT_DISK] = "plug in disks while the VM runs",
    [VT_CAP_SHARES] = "folders of the host in the guest",
    [VT_CAP_HOT_SHARE] = "and while it runs",
    [VT_CAP_NAT] = "a network that reaches what the host reaches",
    [VT_CAP_FORWARD] = "ports of the host that lead into the guest",
    [VT_CAP_ISOLATED] = "a network of guests alone",
    [VT_CAP_BRIDGED] = "a network on the host's bridge",
    [VT_CAP_NO_NETWORK] = "no network at all",
};

static const char *const answers[] = {
    [VT_NO] = "no", [VT_SOMETIMES] = "sometimes", [VT_YES] = "yes"};

static json_t *to_json(const struct vt_driver *const *drivers)
{
    json_t *all = json_array();
    for (; *drivers; drivers++) {
        json_t *capabilities = json_object();
        for (enum vt_capability cap = VT_CAP_START; cap < VT_CAP_COUNT_; cap++) {
            const struct vt_support *s = &(*drivers)->support[cap];
            json_object_set_new(capabilities, vt_capability_name(cap),
                                json_pack("{s:s, s:s*}", "can", answers[s->can], "why", s->why));
        }
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:b, s:o}", "name", (*drivers)->name, "summary",
                                        (*drivers)->summary, "needs_image", (*drivers)->needs_image,
                                        "capabilities", capabilities));
    }
    return all;
}

/* One table: a row for each capability. Then, for each driver, what stands behind "sometimes" and
 * "no". */
static void print_markdown(const struct vt_driver *const *drivers)
{
    printf("| | what it is |");
    for (const struct vt_driver *const *d = drivers; *d; d++)
        printf(" `%s` |", (*d)->name);
    printf("\n|---|---|");
    for (const struct vt_driver *const *d = drivers; *d; d++)
        printf("---|");
    printf("\n");
    for (enum vt_capability cap = VT_CAP_START; cap < VT_CAP_COUNT_; cap++) {
        printf("| `%s` | %s |", vt_capability_name(cap), meanings[cap]);
        for (const struct vt_driver *const *d = drivers; *d; d++)
            printf(" %s |", answers[(*d)->support[cap].can]);
        printf("\n");
    }
    for (const struct vt_driver *const *d = drivers; *d; d++) {
        printf("\n**`%s`**: %s\n\n", (*d)->name, (*d)->summary);
        for (enum vt_capability cap = VT_CAP_START; cap < VT_CAP_COUNT_; cap++) {
            const struct vt_support *s = &(*d)->support[cap];
            if (s->can != VT_YES)
                printf("- `%s`: %s%s%s\n", vt_capability_name(cap), answers[s->can],
                       s->why ? ": " : "", s->why ? s->why : "");
        }
    }
}

static void print_text(const struct vt_driver *const *drivers)
{
    printf("%-14s", "");
    for (const struct vt_driver *const *d = drivers; *d; d++)
        printf("%-11s", (*d)->name);
    printf("\n");
    for (enum vt_capability cap = VT_CAP_START; cap < VT_CAP_COUNT_; cap++) {
        printf("%-14s", vt_capability_name(cap));
        for (const struct vt_driver *const *d = drivers; *d; d++)
            printf("%-11s", answers[(*d)->support[cap].can]);
        printf("%s\n", meanings[cap]);
    }
    for (const struct vt_driver *const *d = drivers; *d; d++) {
        printf("\n%s: %s\n", (*d)->name, (*d)->summary);
        for (enum vt_capability cap = VT_CAP_START; cap < VT_CAP_COUNT_; cap++) {
            const struct vt_support *s = &(*d)->support[cap];
            if (s->can != VT_YES && s->why)
                printf("  %-13s %s: %s\n", vt_capability_name(cap), answers[s->can], s->why);
        }
    }
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    (void)args;
    if (values[JSON] && values[MARKDOWN])
        return vt_cli_usage(self, "--json and --markdown exclude each other");
    const struct vt_driver *const *drivers = vt_drivers();
    if (values[JSON]) {
        json_t *all = to_json(drivers);
        json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(all);
    } else if (values[MARKDOWN]) {
        print_markdown(drivers);
    } else {
        print_text(drivers);
    }
    return VT_EXIT_OK;
}

const struct vt_command vt_cmd_drivers = {
    .name = "drivers",
    .args = "",
    .summary = "shows what each driver can do",
    .details = "Of \"sometimes\" the condition is told, of \"no\" the reason.",
    .example = "vmtest drivers\nvmtest drivers --json | jq '.[] | .name'",
    .options = options,
    .max_args = 0,
    .run = run,
};
