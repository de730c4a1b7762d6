/* vmtest doctor: its lines. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"
#include "core/json.h"

static const char *const level_names[] = {
    [VT_DOCTOR_OK] = "ok", [VT_DOCTOR_WARNING] = "warning", [VT_DOCTOR_ERROR] = "error"};

void vt_doctor_tell(struct vt_doctor *r, enum vt_doctor_level level, const char *topic,
                    const char *remedy, const char *fmt, ...)
{
    char text[1600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_t *line = json_pack("{s:s, s:s}", "level", level_names[level], "topic", topic);
    vt_json_set_text(line, "text", text, strlen(text));
    if (remedy && *remedy)
        vt_json_set_text(line, "remedy", remedy, strlen(remedy));
    json_array_append_new(r->lines, line);
    if (level > r->worst)
        r->worst = level;
}

void vt_doctor_tell_error(struct vt_doctor *r, enum vt_doctor_level level, const char *topic,
                          const struct vt_error *err)
{
    vt_doctor_tell(r, level, topic, err->hint, "%s", err->message);
}
