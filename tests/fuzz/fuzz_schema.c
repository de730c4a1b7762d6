/* A file of a schema (YAML) with any content: a table of facts that is read again and that a
 * profile can be checked against, or an error with a reason. The same for a table's text. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "profile/facts.h"
#include "profile/schema.h"

static const char profile[] =
    "<plist><dict><key>PayloadType</key><string>Configuration</string><key>PayloadContent</key>"
    "<array><dict><key>PayloadType</key><string>t</string><key>k</key><array><array><dict><key>k"
    "</key><array><dict><key>k</key><integer>1</integer></dict></array></dict></array></array>"
    "</dict></array></dict></plist>";

static void use(char *text)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_findings findings = VT_FINDINGS_INIT;
    struct vt_facts *facts;
    struct vt_profile *p;
    enum vt_code code = vt_facts_parse(text, "x", &facts, &err);
    if (code != err.code || (facts != NULL) != (code == VT_OK))
        __builtin_trap();
    if (code)
        return;
    if (vt_profile_parse(profile, sizeof profile - 1, "p", &p, NULL))
        __builtin_trap();
    vt_profile_lint(p, facts, "15.1", &findings, NULL);
    vt_profile_forecast(p, facts, facts, &findings);
    vt_findings_free(&findings);
    vt_profile_free(p);
    vt_facts_free(facts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf types = VT_BUF_INIT, lists = VT_BUF_INIT;
    int count = 0;
    enum vt_code code = vt_schema_compile(data, size, "x", &types, &lists, &count, &err);
    if (code != err.code || (code && !err.message[0]))
        __builtin_trap();
    if (!code) {
        vt_buf_add(&types, lists.data, lists.len);
        vt_buf_puts(&types, "name\tx\n");
        use(vt_buf_steal(&types));
    }
    vt_buf_free(&types);
    vt_buf_free(&lists);
    use(vt_strndup((const char *)data, size));
    return 0;
}
