/* A profile with any content: every command on it ends, what it says of it can be written, and it
 * does not differ from itself. */
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "vmtest/profile.h"

static struct vt_facts *facts;

static void check_findings(struct vt_findings *found)
{
    static const char *const files[] = {"x", NULL};
    for (size_t i = 0; i < found->n; i++)
        if (!found->v[i].rule || !found->v[i].message[0])
            __builtin_trap();
    json_t *list = vt_findings_json(found);
    if (json_array_size(list) != found->n)
        __builtin_trap();
    json_decref(list);
    char *sarif = vt_findings_sarif(found), *junit = vt_findings_junit(found, files);
    json_t *read = json_loads(sarif, 0, NULL);
    if (!read || !junit[0])
        __builtin_trap();
    json_decref(read);
    vt_free(sarif);
    vt_free(junit);
    vt_findings_free(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vt_findings found = VT_FINDINGS_INIT;
    struct vt_profile *p, *twice[2];
    if (!facts && vt_facts_open(NULL, &facts, NULL))
        __builtin_trap();
    if (vt_profile_parse(data, size, "x", &p, NULL))
        return 0;
    if (vt_profile_lint(p, facts, "10.12,15.1", &found, NULL))
        __builtin_trap();
    twice[0] = twice[1] = p;
    vt_profile_conflicts(twice, 2, facts, &found);
    vt_profile_forecast(p, facts, facts, &found);
    check_findings(&found);
    json_t *changes = vt_profile_diff(p, p);
    if (json_array_size(changes))
        __builtin_trap();
    json_decref(changes);
    json_decref(vt_profile_show(p));
    json_decref(vt_profile_content(p));
    vt_profile_free(p);
    return 0;
}
