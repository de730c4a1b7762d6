/* A version of an image in the making. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/making.h"
#include "core/buf.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define OP "image.build"
#define COPY_CHUNK ((size_t)1 << 20)

/* What the recipe told in contents.json, which goes into version.json. */
static enum vt_code take_contents(struct vt_making *m, json_t **contents, struct vt_error *err)
{
    const char *const dirs[] = {m->build.dir, m->build.work};
    enum vt_code code = VT_OK;
    for (size_t i = 0; i < 2 && !code && !*contents; i++) {
        char *path = vt_path_join(dirs[i], "contents.json");
        if (vt_is_file(path))
            code = vt_json_load(path, contents, err);
        if (!code && *contents)
            code = vt_remove_tree(path, err);
        vt_free(path);
    }
    return code;
}

static enum vt_code fill_and_commit(struct vt_making *m, struct vt_image_stage *stage,
                                    char **version, struct vt_error *err)
{
    json_t *contents = NULL;
    char *work = vt_path_join(vt_image_stage_dir(stage), ".work");
    m->build.dir = vt_image_stage_dir(stage);
    m->build.work = work;
    enum vt_code code = vt_mkdirs(work, err);
    if (!code)
        code = m->fill(m, err);
    if (!code)
        code = take_contents(m, &contents, err);
    if (!code)
        code = vt_remove_tree(work, err);
    if (!code && vt_signals_pending()) {
        m->signal = vt_signals_pending();
        code = vt_fail(err, VT_ECANCELED, OP, "interrupted: no image was made");
    }
    m->made.contents = contents;
    if (code)
        vt_image_stage_abandon(stage);
    else
        code = vt_image_stage_commit(stage, &m->made, version, err);
    m->made.contents = NULL;
    json_decref(contents);
    vt_free(work);
    return code;
}

static int exit_code(const struct vt_making *m, enum vt_code code)
{
    if (m->signal)
        return m->signal == SIGINT ? VT_EXIT_SIGINT : VT_EXIT_SIGTERM;
    return code == VT_EINVAL || code == VT_ENOTFOUND ? VT_EXIT_USAGE : VT_EXIT_INFRASTRUCTURE;
}

/* The signals stay held back to the end of the process: the image is made, or gone. */
int vt_making_run(struct vt_making *m)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_image_stage *stage;
    char *version = NULL, time[32];
    double began = vt_monotonic();
    vt_signals_hold();
    enum vt_code code = vt_image_stage_begin(m->build.name, &stage, &err);
    if (!code)
        code = fill_and_commit(m, stage, &version, &err);
    if (code) {
        vt_cli_error(m->self, &err);
    } else {
        fprintf(stderr, "image %s@%s: made in %s\n", m->build.name, version,
                vt_format_duration(time, sizeof time, vt_monotonic() - began));
        printf("%s@%s\n", m->build.name, version);
    }
    vt_free(version);
    vt_free(m->parent);
    return code ? exit_code(m, code) : VT_EXIT_OK;
}

static enum vt_code copy_bytes(int from, int to, const char *name, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    char *chunk = vt_malloc(COPY_CHUNK);
    for (;;) {
        ssize_t n = read(from, chunk, COPY_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = vt_fail_sys(err, errno, OP, "cannot read %s", name);
        if (n <= 0 || (code = vt_write_all(to, chunk, (size_t)n, name, err)))
            break;
    }
    vt_free(chunk);
    return code;
}

enum vt_code vt_making_copy(const char *from, const char *dir, const char *name,
                            struct vt_error *err)
{
    char *path = vt_path_join(dir, name);
    enum vt_code code = VT_OK;
    if (link(from, path)) {
        struct stat st = {0};
        int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
        if (in >= 0 && !fstat(in, &st))
            out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0777);
        code = out < 0 ? vt_fail_sys(err, errno, OP, "cannot copy %s to %s", from, dir)
                       : copy_bytes(in, out, name, err);
        if (in >= 0)
            close(in);
        if (out >= 0)
            close(out);
    }
    vt_free(path);
    return code;
}

enum vt_code vt_making_qemu_img(struct vt_making *m, const char *const *argv, const char *out,
                                struct vt_error *err)
{
    struct vt_buf what = VT_BUF_INIT;
    vt_buf_printf(&what, "qemu-img %s", argv[1]);
    char *log = vt_path_join(m->build.work, "qemu-img.log");
    const struct vt_program program = {.op = OP,
                                       .what = what.data,
                                       .argv = argv,
                                       .log = log,
                                       .out = out,
                                       .timeout = m->build.timeout};
    enum vt_code code = vt_program_run(&program, &m->signal, err);
    if (code == VT_ENOTFOUND)
        vt_hint(err, "qemu-img is in Debian's package qemu-utils");
    vt_free(log);
    vt_buf_free(&what);
    return code;
}
