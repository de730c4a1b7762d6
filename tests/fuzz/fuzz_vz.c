/* Requests of the vz helper, with their configurations: whatever a client writes, line by line. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "vz/reply.h"
#include "vz/request.h"

static void check_config(const struct vtz_config *c)
{
    if (c->cpus < 1 || c->memory % (1 << 20) || c->disk_count > VTZ_DISKS_MAX ||
        c->console_out != -1)
        __builtin_trap();
    for (size_t i = 0; i < c->disk_count; i++)
        if (!c->disks[i].path == !c->disks[i].nbd || (c->disks[i].path && *c->disks[i].path != '/'))
            __builtin_trap();
    for (size_t i = 0; i < c->share_count; i++)
        for (size_t k = 0; k < c->shares[i].dir_count; k++)
            if (!c->shares[i].tag || *c->shares[i].dirs[k].path != '/' ||
                (c->shares[i].dirs[k].name && strchr(c->shares[i].dirs[k].name, '/')))
                __builtin_trap();
    for (size_t i = 0; i < c->nic_count; i++)
        if ((c->nics[i].mac && strlen(c->nics[i].mac) != 17) ||
            (c->nics[i].subnet & ~c->nics[i].mask))
            __builtin_trap();
    if (c->boot.kind == VTZ_BOOT_LINUX ? !c->boot.kernel
        : c->boot.kind == VTZ_BOOT_EFI ? !c->boot.variables
                                       : !c->boot.auxiliary || !c->boot.hardware_model)
        __builtin_trap();
}

static void one_line(const char *line, size_t n)
{
    struct vtz_failure failure = VTZ_FAILURE_INIT;
    struct vtz_request request;
    if (vt_utf8_prefix(line, n) != n)
        return;
    int code = vtz_request_read(&request, line, n, &failure);
    if ((code == 0) != !failure.message || (code == 0 && !request.has_id))
        __builtin_trap();
    if (code == 0 && request.config)
        check_config(request.config);
    if (code) { /* what is answered is JSON in one line, whatever was quoted from the request */
        json_t *reply = vtz_reply_failed(request.has_id ? &request.id : NULL, &failure, VTZ_NONE);
        char *text = json_dumps(reply, JSON_COMPACT);
        if (!text || strchr(text, '\n'))
            __builtin_trap();
        free(text);
        json_decref(reply);
    }
    vtz_request_clear(&request);
    vtz_failure_clear(&failure);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((line_end ? line_end : end) - at);
        one_line(at, n);
        at += n + 1;
    }
    return 0;
}
