#include "cli/lua_build.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vmtest/image.h"
#include "vmtest/report.h"
#include "vmtest/run.h"

#define OP "image.build"
#define DISK "disk.qcow2"

/* As a Lua string: every byte that is not plain becomes \ddd. */
static void quote(struct vt_buf *out, const char *text)
{
    vt_buf_putc(out, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p >= ' ' && *p < 127 && *p != '"' && *p != '\\')
            vt_buf_putc(out, (char)*p);
        else
            vt_buf_printf(out, "\\%03u", *p);
    }
    vt_buf_putc(out, '"');
}

static void member(struct vt_buf *out, const char *key, const char *value)
{
    if (!value)
        return;
    vt_buf_printf(out, "  %s = ", key);
    quote(out, value);
    vt_buf_puts(out, ",\n");
}

/* The suite with one test that makes the image: lua-api/vmtest/build.lua has the rest. */
static enum vt_code write_suite(const struct vt_making *m, const struct vt_lua_build *what,
                                const char *path, struct vt_error *err)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_puts(&text, "local build = require \"vmtest.build\"\n"
                       "function test_build() build.make(build.plan {\n");
    member(&text, "name", m->build.name);
    member(&text, "work", m->build.work);
    member(&text, "recipe", what->recipe);
    member(&text, "refresh", what->refresh);
    member(&text, "update", what->update);
    vt_buf_puts(&text, "  set = {\n");
    for (size_t i = 0; i < m->build.setting_count; i++) {
        vt_buf_puts(&text, "  [");
        quote(&text, m->build.settings[i].key);
        vt_buf_puts(&text, "] = ");
        quote(&text, m->build.settings[i].value);
        vt_buf_puts(&text, ",\n");
    }
    vt_buf_puts(&text, "  },\n}) end\n");
    enum vt_code code = vt_write_file_unflushed(path, text.data, text.len, 0600, err);
    vt_buf_free(&text);
    return code;
}

struct watcher {
    struct vt_progress *progress; /* or NULL */
    struct vt_buf message;        /* of what failed first */
};

static void on_event(const struct vt_event *event, void *user)
{
    struct watcher *w = user;
    if (w->progress && event)
        vt_progress_event(w->progress, event);
    else if (w->progress)
        vt_progress_tick(w->progress);
    if (!event || w->message.len)
        return;
    bool failed =
        event->type == VT_EVENT_SUITE_ERROR ||
        (event->type == VT_EVENT_TEST_END && vt_outcome_is_failure(vt_event_outcome(event)));
    struct vt_text text = {0};
    if (failed)
        text = vt_event_text(event, "message");
    if (text.data)
        vt_buf_add(&w->message, text.data, text.size);
}

static enum vt_code run_suite(struct vt_making *m, const char *suite, struct vt_error *err)
{
    const char *const suites[] = {suite, NULL};
    char *results = vt_path_join(m->build.work, "results");
    const struct vt_progress_opts look = {.out = stderr, .verbose = true};
    struct watcher w = {.progress = m->build.verbose ? vt_progress_new(&look) : NULL};
    const struct vt_run_opts opts = {.suites = suites,
                                     .jobs = 1,
                                     .test_timeout = m->build.timeout,
                                     .results_dir = results,
                                     .on_event = on_event,
                                     .user = &w};
    int exit_code;
    vt_signals_release();
    enum vt_code code = vt_run(&opts, &exit_code, NULL, err);
    vt_signals_hold();
    vt_progress_free(w.progress);
    if (exit_code == VT_EXIT_SIGINT || exit_code == VT_EXIT_SIGTERM) {
        m->signal = exit_code == VT_EXIT_SIGINT ? SIGINT : SIGTERM;
        code = vt_fail(err, VT_ECANCELED, OP, "interrupted: no image was made");
    } else if (!code && exit_code != VT_EXIT_OK) {
        code = vt_fail(err, VT_EIO, OP, "%s",
                       w.message.len ? w.message.data : "the run that was to make it failed");
        if (!m->build.verbose)
            vt_hint(err, "-v shows every command in the guest");
    }
    vt_buf_free(&w.message);
    vt_free(results);
    return code;
}

static enum vt_code flatten(struct vt_making *m, struct vt_error *err)
{
    char *from = vt_path_join(m->build.work, "overlay.qcow2");
    char *to = vt_path_join(m->build.dir, DISK);
    const char *argv[] = {"qemu-img", "convert", "-q", "-f", "qcow2",
                          "-O",       "qcow2",   from, to,   NULL};
    enum vt_code code = vt_making_qemu_img(m, argv, NULL, err);
    vt_free(from);
    vt_free(to);
    return code;
}

static enum vt_code copy_files(const struct vt_making *m, const struct vt_image *image,
                               json_t *description, struct vt_error *err)
{
    const struct {
        const char *key, *path;
        json_t *in;
    } files[] = {
        {"kernel", image->kernel, description},
        {"initrd", image->initrd, description},
        {"iso", image->iso, description},
        {"seed", image->seed, description},
        {"key", image->ssh_key, json_object_get(description, "ssh")},
    };
    enum vt_code code = VT_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && !code; i++) {
        if (!files[i].path)
            continue;
        const char *name = vt_path_base(files[i].path);
        code = vt_making_copy(files[i].path, m->build.dir, name, err);
        json_object_set_new(files[i].in, files[i].key, json_string(name));
    }
    return code;
}

/* image.json of the new version: that of the image it was made of, with what is new in it. */
static enum vt_code describe(const struct vt_making *m, const struct vt_image *image,
                             const json_t *made, struct vt_error *err)
{
    json_t *description = NULL;
    char *path = vt_path_join(image->dir, "image.json"), now[40];
    enum vt_code code = vt_json_load(path, &description, err);
    vt_free(path);
    if (code)
        return code;
    json_object_update(description, json_object_get(made, "image"));
    json_object_set_new(description, "disk", json_string(DISK));
    json_object_set_new(description, "disk_format", json_string("qcow2"));
    json_object_set_new(description, "created",
                        json_string(vt_format_time(now, sizeof now, vt_wall())));
    code = copy_files(m, image, description, err);
    path = vt_path_join(m->build.dir, "image.json");
    if (!code)
        code = vt_json_save(path, description, 0600, err);
    vt_free(path);
    json_decref(description);
    return code;
}

static enum vt_code finish(struct vt_making *m, struct vt_error *err)
{
    char *path = vt_path_join(m->build.work, "made.json");
    json_t *made = NULL;
    struct vt_image *image = NULL;
    enum vt_code code = vt_json_load(path, &made, err);
    if (!code)
        code = vt_image_open(vt_json_str(made, "image_dir", "?/"), &image, err);
    if (!code)
        code = flatten(m, err);
    if (!code)
        code = describe(m, image, made, err);
    if (!code) {
        struct vt_buf parent = VT_BUF_INIT;
        vt_buf_printf(&parent, "%s%s%s", image->version ? image->name : image->dir,
                      image->version ? "@" : "", image->version ? image->version : "");
        m->parent = vt_buf_steal(&parent);
        m->made.parent = m->parent;
    }
    vt_image_free(image);
    json_decref(made);
    vt_free(path);
    return code;
}

enum vt_code vt_lua_build_run(struct vt_making *m, const struct vt_lua_build *what,
                              struct vt_error *err)
{
    char *suite = vt_path_join(m->build.work, "build.lua");
    enum vt_code code = write_suite(m, what, suite, err);
    if (!code)
        code = run_suite(m, suite, err);
    if (!code)
        code = finish(m, err);
    vt_free(suite);
    return code;
}
