#include "loop/work.h"

#include <uv.h>

#include "core/mem.h"

struct work_op;

/* Outlives the operation until its thread is done. */
struct job {
    uv_work_t request;
    struct vt_loop *loop;
    struct work_op *op; /* NULL once the operation has let go */
    vt_work_fn work;
    void *args;
    void (*free_args)(void *args);
    atomic_bool cancelled;
    struct vt_error err;
};

struct work_op {
    struct vt_op op;
    struct job *job;
};

static void free_job(struct job *job)
{
    if (job->free_args)
        job->free_args(job->args);
    vt_free(job);
}

static void work_abort(struct vt_op *op, struct vt_error *why)
{
    (void)why;
    struct work_op *self = (struct work_op *)(void *)op;
    self->job->cancelled = true;
    self->job->op = NULL;
    self->job = NULL;
}

static void work_free(struct vt_op *op)
{
    struct work_op *self = (struct work_op *)(void *)op;
    if (self->job)
        free_job(self->job);
}

static const struct vt_op_class work_class = {
    .name = "work", .abort = work_abort, .free = work_free};

static void on_thread(uv_work_t *request)
{
    struct job *job = request->data;
    job->work(job->args, &job->cancelled, &job->err);
}

static void on_returned(uv_work_t *request, int status)
{
    (void)status; /* never cancelled by libuv: only we know of it */
    struct job *job = request->data;
    vt_loop_release(job->loop);
    if (!job->op)
        free_job(job);
    else if (job->err.code)
        vt_op_fail(&job->op->op, &job->err);
    else
        vt_op_succeed(&job->op->op, job->args);
}

struct vt_op *vt_work_run(struct vt_loop *loop, vt_work_fn work, void *args,
                          void (*free_args)(void *args), double timeout, vt_op_fn done, void *user)
{
    struct job *job = vt_calloc(1, sizeof *job);
    struct work_op *self = vt_op_new(sizeof *self, &work_class, loop, timeout, done, user);
    job->loop = loop;
    job->op = self;
    job->work = work;
    job->args = args;
    job->free_args = free_args;
    job->request.data = job;
    self->job = job;
    vt_loop_hold(loop);
    uv_queue_work(vt_loop_uv(loop), &job->request, on_thread, on_returned);
    return &self->op;
}
