#include "vmtest/report.h"

#include "core/fs.h"
#include "core/mem.h"
#include "report/model.h"

struct vt_report {
    struct vt__model model;
};

static const struct {
    const char *file;
    void (*write)(const struct vt__model *model, struct vt_buf *out);
} reports[] = {
    {"junit.xml", vt__report_junit},
    {"results.tap", vt__report_tap},
    {"ctrf.json", vt__report_ctrf},
};

struct vt_report *vt_report_new(void)
{
    return vt_calloc(1, sizeof(struct vt_report));
}

void vt_report_event(struct vt_report *r, const struct vt_event *event)
{
    vt__model_event(&r->model, event);
}

enum vt_code vt_report_write(struct vt_report *r, const char *dir, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    struct vt_buf text = VT_BUF_INIT;
    vt__model_finish(&r->model);
    for (size_t i = 0; !code && i < sizeof reports / sizeof *reports; i++) {
        vt_buf_clear(&text);
        char *path = vt_path_join(dir, reports[i].file);
        reports[i].write(&r->model, &text);
        code = vt_write_file_unflushed(path, text.data, text.len, 0644, err);
        vt_free(path);
    }
    vt_buf_free(&text);
    return code;
}

void vt_report_free(struct vt_report *r)
{
    if (!r)
        return;
    vt__model_clear(&r->model);
    vt_free(r);
}

static void on_event(const struct vt_event *event, void *user)
{
    vt_report_event(user, event);
}

enum vt_code vt_report_write_all(const char *dir, struct vt_error *err)
{
    struct vt_report *r = vt_report_new();
    char *path = vt_path_join(dir, "events.jsonl");
    enum vt_code code = vt_event_read_file(path, on_event, r, err);
    if (!code)
        code = vt_report_write(r, dir, err);
    vt_free(path);
    vt_report_free(r);
    return code;
}
