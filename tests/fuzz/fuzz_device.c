/* What a server sends to the stand-in device: a command (first byte even) or a profile that is to
 * be installed, with any content. A report with a status, or an error with a reason. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "device/commands.h"
#include "device/install.h"
#include "plist/tree.h"

static char root[] = "/tmp/vmtest-fuzz-device-XXXXXX";

static void clean_up(void)
{
    vt_remove_tree(root, NULL);
}

static void answer(struct vtd *d, const uint8_t *data, size_t size)
{
    enum vtd_after after;
    struct vt_error err = VT_ERROR_INIT;
    struct vtd_mdm mdm = {.records = plist_new_array(), .state = plist_new_dict()};
    plist_t report = vtd_command_answer(d, &mdm, data, size, &after, &err);
    if (!report && (!err.code || !err.message[0]))
        __builtin_trap();
    if (report && !vt_plist_str(report, "Status", NULL))
        __builtin_trap();
    plist_free(report);
    plist_free(mdm.records);
    plist_free(mdm.state);
}

static void install(struct vtd *d, const uint8_t *data, size_t size)
{
    struct vtd_chain chain = {.n = 0};
    bool good = vtd_install(d, data, size, &(struct vtd_install_opts){.by_mdm = true}, &chain);
    if (good != (chain.n == 0))
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vtd d = {.lock = -1};
    if (!d.state) {
        if (!mkdtemp(root) || vtd_open(&d, root, true, 1, NULL))
            abort();
        atexit(clean_up);
    }
    if (size < 1)
        return 0;
    if (data[0] % 2 == 0)
        answer(&d, data + 1, size - 1);
    else
        install(&d, data + 1, size - 1);
    vtd_state_drop(&d, "profiles");
    return 0;
}
