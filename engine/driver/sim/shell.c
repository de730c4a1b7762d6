#include "driver/sim/shell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "driver/sim/words.h"

#define TICK 0.01           /* seconds between two portions of endless output */
#define PORTION (16u << 10) /* bytes of one */

struct vt__sim_task {
    struct vt__sim_proc *proc;
    struct vt__sim_task *next;
    size_t pc, end; /* commands of the line it runs */
    bool forked;    /* a background command: its last `&` is done with */
    bool holds;     /* keeps the process's output open */
    bool ended;
    int status;
    const char *signal;
    char *cwd;
    struct vt__sim_vars vars;
    struct vt__sim_timer wake;
    bool waits;                    /* in a command that takes time */
    const char *repeat;            /* what that command writes meanwhile */
    struct vt__sim_route route[3]; /* where to */
};

struct vt__sim_proc {
    struct vt__sim_guest *guest;
    struct vt__sim_proc *next, *prev;
    struct vt__sim_line line;
    char **argv; /* in place of the line; NULL-terminated */
    char *early; /* message of a line that could not be understood */
    int early_status;
    char *input;
    size_t input_size, input_read;
    bool pty;
    int pid;
    struct vt__sim_task *tasks; /* the first is the command itself */
    struct vt__sim_output output;
    vt__sim_notify_fn notify; /* NULL: detached */
    void *user;
};

static void on_wake(struct vt__sim_timer *timer);

/* ---- output ---- */

static bool put(struct vt__sim_proc *proc, enum vt_stream stream, const char *data, size_t n)
{
    struct vt__sim_output *out = &proc->output;
    if (!proc->notify || !n)
        return true;
    if (n > VT__SIM_PENDING_MAX - out->bytes.len)
        return false;
    if (proc->pty)
        stream = VT_STDOUT;
    size_t before = out->bytes.len;
    for (size_t i = 0; proc->pty && i < n; i++) {
        if (data[i] == '\n')
            vt_buf_putc(&out->bytes, '\r');
        vt_buf_putc(&out->bytes, data[i]);
    }
    if (!proc->pty)
        vt_buf_add(&out->bytes, data, n);
    size_t added = out->bytes.len - before;
    if (out->count && out->chunks[out->count - 1].stream == stream) {
        out->chunks[out->count - 1].size += added;
        return true;
    }
    if (!(out->count & (out->count + 1)))
        out->chunks = vt_realloc(out->chunks, (out->count * 2 + 1) * sizeof *out->chunks);
    out->chunks[out->count++] = (struct vt__sim_chunk){stream, added};
    return true;
}

static int send_to(struct vt__sim_proc *proc, const struct vt__sim_route *route, const char *data,
                   size_t n)
{
    if (route->to_file)
        return vt__sim_fs_write(proc->guest->fs, route->path, data, n, true, 0);
    return put(proc, route->stream, data, n) ? 0 : EFBIG;
}

bool vt__sim_write(struct vt__sim_call *call, int fd, const void *data, size_t n)
{
    struct vt__sim_proc *proc = call->task->proc;
    int failed = send_to(proc, &call->route[fd], data, n);
    if (failed && fd == 1)
        vt__sim_print(call, 2, "%s: write error: %s\n", call->argv[0], strerror(failed));
    return !failed;
}

bool vt__sim_print(struct vt__sim_call *call, int fd, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return false;
    text = vt_malloc((size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    bool good = vt__sim_write(call, fd, text, (size_t)n);
    vt_free(text);
    return good;
}

struct vt__sim_output vt__sim_proc_take(struct vt__sim_proc *proc, struct vt__sim_exit *result)
{
    struct vt__sim_output output = proc->output;
    proc->output = (struct vt__sim_output){0};
    *result = (struct vt__sim_exit){
        .ended = true, .status = proc->tasks->status, .signal = proc->tasks->signal};
    for (const struct vt__sim_task *task = proc->tasks; task; task = task->next)
        if (!task->ended && task->holds)
            result->ended = false;
    return output;
}

void vt__sim_output_clear(struct vt__sim_output *output)
{
    vt_buf_free(&output->bytes);
    vt_free(output->chunks);
    *output = (struct vt__sim_output){0};
}

/* ---- tasks ---- */

static void routes_clear(struct vt__sim_route *route)
{
    for (int fd = 0; fd < 3; fd++) {
        vt_free(route[fd].path);
        route[fd] = (struct vt__sim_route){.stream = fd == 2 ? VT_STDERR : VT_STDOUT};
    }
}

static struct vt__sim_task *add_task(struct vt__sim_proc *proc, size_t pc, size_t end)
{
    struct vt__sim_task *task = vt_calloc(1, sizeof *task);
    task->proc = proc;
    task->pc = pc;
    task->end = end;
    task->holds = true;
    routes_clear(task->route);
    struct vt__sim_task **at = &proc->tasks;
    while (*at)
        at = &(*at)->next;
    *at = task;
    return task;
}

static void end_task(struct vt__sim_task *task)
{
    vt__sim_timer_clear(&task->wake);
    vt__sim_vars_clear(&task->vars);
    vt_free(task->cwd);
    task->cwd = NULL;
    routes_clear(task->route);
    task->ended = true;
}

static struct vt__sim_values values_of(const struct vt__sim_task *task)
{
    return (struct vt__sim_values){
        .vars = &task->vars, .status = task->status, .pid = task->proc->pid};
}

/* Opens the command's redirections, from left to right. 0 or a status, with a message written. */
static int open_redirects(struct vt__sim_call *call, const struct vt__sim_command *command)
{
    struct vt__sim_task *task = call->task;
    struct vt__sim_values values = values_of(task);
    for (size_t i = 0; i < command->redirect_count; i++) {
        const struct vt__sim_redirect *r = &command->redirects[i];
        if (r->kind == VT__SIM_COPY) {
            struct vt__sim_route copy = call->route[r->from];
            copy.path = vt_strdup(copy.path);
            vt_free(call->route[r->fd].path);
            call->route[r->fd] = copy;
            continue;
        }
        char *name = vt__sim_expand_one(&r->file, &values);
        char *path = name ? vt__sim_path(task->cwd, name) : NULL;
        const struct vt__sim_node *node = path ? vt__sim_fs_find(call->guest->fs, path) : NULL;
        int failed = path ? 0 : name && !*name ? ENOENT : ENAMETOOLONG;
        if (!failed && r->kind == VT__SIM_READ) {
            failed = !node ? ENOENT : node->is_dir ? EISDIR : 0;
            call->input = node ? vt_buf_str(&node->data) : NULL;
            call->input_size = node ? node->data.len : 0;
        } else if (!failed) {
            failed = vt__sim_fs_write(call->guest->fs, path, "", 0, r->kind == VT__SIM_APPEND, 0);
            vt_free(call->route[r->fd].path);
            call->route[r->fd] = (struct vt__sim_route){.to_file = true, .path = vt_strdup(path)};
        }
        if (failed) {
            const char *verb = r->kind == VT__SIM_READ ? "open" : "create";
            struct vt__sim_route shell[3] = {{0}, {0}, {.stream = VT_STDERR}};
            struct vt__sim_call plain = {.guest = call->guest, .task = task};
            memcpy(plain.route, shell, sizeof shell);
            vt__sim_print(&plain, 2, "sh: cannot %s %s: %s\n", verb, name ? name : "the file",
                          strerror(failed));
        }
        vt_free(name);
        vt_free(path);
        if (failed)
            return 2;
    }
    return 0;
}

/* NAME=value words before a command: for it alone, or for the shell where there is none. */
static bool assign(struct vt__sim_task *task, const struct vt__sim_command *command)
{
    bool alone = command->count == command->assignments;
    struct vt__sim_values values = values_of(task);
    for (size_t i = 0; i < command->assignments; i++) {
        char *text = vt__sim_expand_one(&command->words[i], &values);
        if (!text)
            return false;
        char *eq = strchr(text, '=');
        *eq = '\0';
        vt__sim_vars_set(&task->vars, text, eq + 1, !alone);
        vt_free(text);
    }
    return true;
}

static void wait_in(struct vt__sim_task *task, struct vt__sim_call *call)
{
    task->waits = true;
    task->repeat = call->repeat;
    routes_clear(task->route);
    memcpy(task->route, call->route, sizeof task->route);
    for (int fd = 0; fd < 3; fd++)
        call->route[fd].path = NULL; /* the task's now */
    if (!call->forever)
        vt__sim_timer_set(&task->wake, &task->proc->guest->clock, call->repeat ? TICK : call->wait,
                          on_wake, task);
}

/* Runs argv with what surrounds it set in `call`. */
static void run_words(struct vt__sim_task *task, struct vt__sim_call *call, bool shell)
{
    struct vt__sim_proc *proc = task->proc;
    bool own_input = !call->input;
    if (own_input) {
        call->input = proc->input ? proc->input + proc->input_read : "";
        call->input_size = task->forked ? 0 : proc->input_size - proc->input_read;
    }
    task->status = vt__sim_command_run(call, shell) & 0xff;
    if (own_input && call->input_taken && !task->forked)
        proc->input_read = proc->input_size;
    if (call->leave || call->signal) {
        task->signal = call->signal;
        task->pc = task->end;
    }
    if (call->wait > 0 || call->repeat || call->forever)
        wait_in(task, call);
}

static void run_command(struct vt__sim_task *task, const struct vt__sim_command *command)
{
    struct vt__sim_guest *guest = task->proc->guest;
    struct vt__sim_call call = {.guest = guest,
                                .task = task,
                                .cwd = &task->cwd,
                                .vars = &task->vars,
                                .pid = task->proc->pid};
    routes_clear(call.route);
    struct vt__sim_values values = values_of(task);
    struct vt__sim_words w = {0};
    bool fits = true;
    for (size_t i = command->assignments; fits && i < command->count; i++)
        fits = vt__sim_expand(&command->words[i], &values, true, &w);
    int redirects = fits ? open_redirects(&call, command) : 126;
    char *sh[] = {(char[]){"sh"}, NULL};
    struct vt__sim_vars kept = {0};
    bool restore = w.count && command->assignments;
    if (restore)
        kept = vt__sim_vars_copy(&task->vars);
    if (fits && !redirects)
        fits = assign(task, command);
    call.argv = sh;
    if (!fits)
        vt__sim_print(&call, 2, "sh: %s\n", strerror(E2BIG));
    task->status = fits ? redirects : 126;
    if (!task->status && w.count) {
        w.list = vt_realloc(w.list, (w.count + 1) * sizeof *w.list);
        w.list[w.count] = NULL;
        call.argv = w.list;
        call.argc = w.count;
        run_words(task, &call, true);
    }
    if (restore) {
        vt__sim_vars_clear(&task->vars);
        task->vars = kept;
    }
    vt__sim_words_clear(&w);
    routes_clear(call.route);
}

/* Starts the commands [from, to) as a background command. */
static void fork_task(struct vt__sim_task *parent, size_t from, size_t to)
{
    struct vt__sim_task *task = add_task(parent->proc, from, to);
    task->forked = true;
    task->cwd = vt_strdup(parent->cwd);
    task->vars = vt__sim_vars_copy(&parent->vars);
    const struct vt__sim_command *only = &parent->proc->line.commands[from];
    bool away[3] = {false};
    for (size_t i = 0; i < only->redirect_count; i++) {
        const struct vt__sim_redirect *r = &only->redirects[i];
        away[r->fd] = r->kind == VT__SIM_COPY ? away[r->from] : true;
    }
    /* a chain is run by a subshell, which keeps both open */
    task->holds = to - from > 1 || !away[1] || !away[2];
    vt__sim_timer_set(&task->wake, &parent->proc->guest->clock, 0, on_wake, task);
    parent->status = 0;
}

/* The end of the and-or list that begins at `from`: behind its last command. */
static size_t chain_end(const struct vt__sim_line *line, size_t from)
{
    while (line->commands[from].then == VT__SIM_AND || line->commands[from].then == VT__SIM_OR)
        from++;
    return from + 1;
}

/* Runs commands until one takes time or the task is at its end. */
static void run_task(struct vt__sim_task *task)
{
    const struct vt__sim_line *line = &task->proc->line;
    while (task->pc < task->end && !task->waits) {
        size_t i = task->pc;
        enum vt__sim_then before = i ? line->commands[i - 1].then : VT__SIM_SEQUENCE;
        bool linked = before == VT__SIM_AND || before == VT__SIM_OR;
        if (!linked && !task->forked) {
            size_t to = chain_end(line, i);
            if (line->commands[to - 1].then == VT__SIM_BACKGROUND) {
                fork_task(task, i, to);
                task->pc = to;
                continue;
            }
        }
        task->pc++;
        if ((before == VT__SIM_AND && task->status != 0) ||
            (before == VT__SIM_OR && task->status == 0))
            continue;
        run_command(task, &line->commands[i]);
    }
}

/* The first step of a process whose command is an argv list or was not understood. */
static void run_first(struct vt__sim_task *task)
{
    struct vt__sim_proc *proc = task->proc;
    if (proc->early) {
        put(proc, VT_STDERR, proc->early, strlen(proc->early));
        task->status = proc->early_status;
        return;
    }
    size_t argc = 0;
    while (proc->argv[argc])
        argc++;
    struct vt__sim_call call = {.guest = proc->guest,
                                .task = task,
                                .argv = proc->argv,
                                .argc = argc,
                                .cwd = &task->cwd,
                                .vars = &task->vars,
                                .pid = proc->pid};
    routes_clear(call.route);
    run_words(task, &call, false);
}

static void step(struct vt__sim_task *task)
{
    struct vt__sim_proc *proc = task->proc;
    if (task->waits && task->repeat) {
        struct vt_buf portion = VT_BUF_INIT;
        while (portion.len < PORTION)
            vt_buf_puts(&portion, task->repeat);
        int failed = send_to(proc, &task->route[1], portion.data, portion.len);
        vt_buf_free(&portion);
        if (!failed) {
            vt__sim_timer_set(&task->wake, &proc->guest->clock, TICK, on_wake, task);
            return;
        }
        task->status = 1;
    }
    bool first = !task->waits && !task->forked && (proc->argv || proc->early);
    task->waits = false;
    if (first)
        run_first(task);
    else
        run_task(task);
    if (!task->waits)
        end_task(task);
}

static void on_wake(struct vt__sim_timer *timer)
{
    struct vt__sim_task *task = timer->user;
    struct vt__sim_proc *proc = task->proc;
    step(task);
    if (proc->notify)
        proc->notify(proc, proc->user);
    else
        vt__sim_proc_detach(proc);
}

/* ---- processes ---- */

static void copy_options(struct vt__sim_proc *proc, const struct vt_exec_opts *opts)
{
    size_t argc = 0;
    while (opts->argv && opts->argv[argc])
        argc++;
    if (argc) {
        proc->argv = vt_calloc(argc + 1, sizeof *proc->argv);
        for (size_t i = 0; i < argc; i++)
            proc->argv[i] = vt_strdup(opts->argv[i]);
    }
    if (opts->input_size) {
        proc->input = vt_malloc(opts->input_size);
        memcpy(proc->input, opts->input, opts->input_size);
        proc->input_size = opts->input_size;
    }
}

static void refuse(struct vt__sim_proc *proc, int status, const char *fmt, const char *what)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_puts(&text, "sh: ");
    vt_buf_puts(&text, fmt);
    vt_buf_puts(&text, what);
    vt_buf_putc(&text, '\n');
    vt_free(proc->early);
    proc->early = vt_buf_steal(&text);
    proc->early_status = status;
}

static void set_up_shell(struct vt__sim_task *task, const struct vt_exec_opts *opts)
{
    struct vt__sim_proc *proc = task->proc;
    static const char *const defaults[][2] = {{"HOME", "/root"},
                                              {"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"},
                                              {"SHELL", "/bin/sh"},
                                              {"USER", "root"}};
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        vt__sim_vars_set(&task->vars, defaults[i][0], defaults[i][1], true);
    for (const char *const *env = opts->env; env && *env; env++) {
        const char *eq = strchr(*env, '=');
        char *name = vt_strndup(*env, (size_t)(eq - *env));
        vt__sim_vars_set(&task->vars, name, eq + 1, true);
        vt_free(name);
    }
    task->cwd = vt_strdup("/root");
    if (!opts->cwd)
        return;
    char *path = vt__sim_path("/root", opts->cwd);
    const struct vt__sim_node *node = path ? vt__sim_fs_find(proc->guest->fs, path) : NULL;
    if (!node || !node->is_dir) {
        refuse(proc, 2, "cd: can't cd to ", opts->cwd);
        vt_free(path);
        return;
    }
    vt_free(task->cwd);
    task->cwd = path;
}

struct vt__sim_proc *vt__sim_proc_start(struct vt__sim_guest *guest,
                                        const struct vt_exec_opts *opts, double delay,
                                        vt__sim_notify_fn notify, void *user)
{
    struct vt__sim_proc *proc = vt_calloc(1, sizeof *proc);
    *proc = (struct vt__sim_proc){.guest = guest,
                                  .next = guest->procs,
                                  .pty = opts->pty,
                                  .pid = 100 + guest->next_pid++ % 30000,
                                  .notify = notify,
                                  .user = user};
    if (guest->procs)
        guest->procs->prev = proc;
    guest->procs = proc;
    copy_options(proc, opts);
    if (!proc->argv) {
        struct vt_error err = VT_ERROR_INIT;
        vt__sim_line_parse(opts->command, strlen(opts->command), &proc->line, &err);
        if (err.code && guest->dry_run && err.code == VT_EUNSUPPORTED)
            vt__sim_line_clear(&proc->line);
        else if (err.code)
            refuse(proc, 2, "", err.message);
    }
    struct vt__sim_task *task = add_task(proc, 0, proc->line.count);
    set_up_shell(task, opts);
    vt__sim_timer_set(&task->wake, &guest->clock, delay, on_wake, task);
    return proc;
}

void vt__sim_proc_kill(struct vt__sim_proc *proc)
{
    if (proc->prev)
        proc->prev->next = proc->next;
    else
        proc->guest->procs = proc->next;
    if (proc->next)
        proc->next->prev = proc->prev;
    for (struct vt__sim_task *task = proc->tasks, *next; task; task = next) {
        next = task->next;
        end_task(task);
        vt_free(task);
    }
    for (size_t i = 0; proc->argv && proc->argv[i]; i++)
        vt_free(proc->argv[i]);
    vt_free(proc->argv);
    vt__sim_line_clear(&proc->line);
    vt__sim_output_clear(&proc->output);
    vt_free(proc->early);
    vt_free(proc->input);
    vt_free(proc);
}

void vt__sim_proc_detach(struct vt__sim_proc *proc)
{
    proc->notify = NULL;
    vt__sim_output_clear(&proc->output);
    for (const struct vt__sim_task *task = proc->tasks; task; task = task->next)
        if (!task->ended && task->forked)
            return;
    vt__sim_proc_kill(proc);
}
