/* vmtest mdm devices */
#include <stdio.h>
#include <string.h>

#include "cli/image_common.h"
#include "cli/mdm_session.h"
#include "core/sys.h"
#include "loop/op.h"
#include "mdm/server.h"
#include "vmtest/run.h"

enum { STATE, JSON };

static const struct vt_option options[] = {
    [STATE] = {0, "state", "DIR", "the server's state folder (default: the user's own)"},
    [JSON] = {0, "json", NULL, "a JSON array of objects instead of a table"},
    {0},
};

static void print_table(const struct vt_mdm_devices *devices)
{
    int width = 4;
    for (size_t i = 0; i < devices->n; i++)
        if ((int)strlen(devices->v[i].udid) > width)
            width = (int)strlen(devices->v[i].udid);
    printf("%-*s  %-12s  %-6s  %-24s  %-14s  NOTE\n", width, "UDID", "STATE", "QUEUED", "LAST SEEN",
           "SERIAL");
    for (size_t i = 0; i < devices->n; i++) {
        const struct vt_mdm_device *d = &devices->v[i];
        char seen[32] = "-";
        if (d->last_seen > 0)
            vt_format_time(seen, sizeof seen, d->last_seen);
        printf("%-*s  %-12s  %-6u  %-24s  ", width, d->udid, vt_mdm_state_name(d->state), d->queued,
               seen);
        vt_print_text(d->serial ? d->serial : "-", 14);
        printf("  ");
        vt_print_text(d->reason, 0);
        printf("\n");
    }
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_mdm_session s;
    void *devices;
    (void)args;
    if (!vt_mdm_session_open(&s, values[STATE], &err) &&
        !vt_mdm_session_wait(&s, vt_mdm_devices(s.mdm, 0, vt_mdm_session_done, &s, &err), &devices,
                             &err)) {
        const struct vt_mdm_request *request = (const struct vt_mdm_request *)s.kept;
        if (!values[JSON])
            print_table(devices);
        else
            json_dumpf(json_object_get(request->result, "devices"), stdout, JSON_INDENT(2));
        if (values[JSON])
            printf("\n");
    }
    vt_mdm_session_close(&s);
    return vt_mdm_session_exit(self, &err);
}

const struct vt_command vt_cmd_mdm_devices = {
    .name = "mdm devices",
    .args = "",
    .summary = "lists the devices that the running MDM lab server knows",
    .example = "vmtest mdm devices --json",
    .options = options,
    .max_args = 0,
    .run = run,
};
