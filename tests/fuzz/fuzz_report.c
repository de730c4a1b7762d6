/* Any bytes as a run's events: every report is made of them, and the progress of a terminal. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "report/model.h"
#include "vmtest/report.h"

struct sinks {
    struct vt__model model;
    struct vt_progress *progress;
};

static void on_event(const struct vt_event *event, void *user)
{
    struct sinks *s = user;
    vt__model_event(&s->model, event);
    vt_progress_event(s->progress, event);
    vt_progress_tick(s->progress);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *null;
    if (!null)
        null = fopen("/dev/null", "w");
    if (!size || !null)
        return 0;
    const struct vt_progress_opts opts = {
        .out = null, .tty = data[0] & 1, .color = data[0] & 2, .verbose = data[0] & 4, .width = 20};
    struct sinks s = {.progress = vt_progress_new(&opts)};
    struct vt_event_reader *r = vt_event_reader_new(data[0] & 8 ? 1 : 0, on_event, NULL, &s);
    vt_event_reader_feed(r, (const char *)data + 1, size - 1);
    vt_event_reader_free(r);
    vt_progress_free(s.progress);
    vt__model_finish(&s.model);
    void (*const reports[])(const struct vt__model *,
                            struct vt_buf *) = {vt__report_junit, vt__report_tap, vt__report_ctrf};
    for (size_t i = 0; i < 3; i++) {
        struct vt_buf out = VT_BUF_INIT;
        reports[i](&s.model, &out);
        if (vt_utf8_prefix(out.data, out.len) != out.len || memchr(out.data, '\0', out.len))
            abort();
        vt_buf_free(&out);
    }
    vt__model_clear(&s.model);
    return 0;
}
