/* vmtest __worker: one job, read as a JSON line from standard input; events on standard output. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "core/buf.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "vmtest/job.h"
#include "vmtest/run.h"
#include "vmtest/vm.h"
#include "vmtest_lua.h"

#define JOB_LINE_MAX ((size_t)1 << 20)

/* Byte by byte: what follows the line belongs to whoever reads next. */
static enum vt_code read_line(struct vt_buf *line, struct vt_error *err)
{
    for (;;) {
        char c;
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vt_fail_sys(err, errno, "worker", "cannot read the job");
        if (n == 0)
            return vt_fail(err, VT_EPROTO, "worker", "the parent is gone");
        if (c == '\n')
            return VT_OK;
        if (line->len >= JOB_LINE_MAX)
            return vt_fail(err, VT_ELIMIT, "worker", "the job's line is too long");
        vt_buf_putc(line, c);
    }
}

/* Held for the worker's life: tells the janitor and the next start whom to end. */
static enum vt_code take_lock(const struct vt_job *job, struct vt_error *err)
{
    struct vt_buf name = VT_BUF_INIT;
    vt_buf_printf(&name, "worker-%d", job->number);
    char *path = vt_path_join(job->runtime_dir, name.data);
    int fd;
    enum vt_code code = vt_lock_file(path, &fd, err);
    vt_free(path);
    vt_buf_free(&name);
    return code;
}

int vt_worker_main(void)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_buf line = VT_BUF_INIT;
    struct vt_job job = {0};
    json_t *object = NULL;
    if (read_line(&line, &err) || vt_json_parse(line.data, line.len, "job", &object, &err) ||
        vt_job_from_json(object, &job, &err) || take_lock(&job, &err)) {
        fprintf(stderr, "vmtest __worker: %s\n", err.message);
        json_decref(object);
        vt_buf_free(&line);
        vt_job_clear(&job);
        return VT_EXIT_BUG;
    }
    json_decref(object);
    vt_buf_free(&line);
    signal(SIGPIPE, SIG_IGN);
    vt_drivers_init();
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    if (fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return VT_EXIT_BUG; /* what the suite starts must not write into the events */
    struct vt_event_writer *events = vt_event_writer_new(fd);
    int code = vtl_run_job(&job, events);
    vt_event_writer_free(events);
    vt_job_clear(&job);
    return code;
}
