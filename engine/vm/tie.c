#include "vm/tie.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#else
#include <sys/event.h>
#include <sys/wait.h>
#endif

#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vmtest/store.h"

static void add_option(struct vt_args *args, const char *name, const char *value)
{
    if (!value)
        return;
    vt_args_add(args, name);
    vt_args_add(args, value);
}

enum vt_code vt_tie_begin(struct vt_args *args, const struct vt_tie *tie, struct vt_error *err)
{
    char *self = vt_own_program();
    if (!self)
        return vt_fail(err, VT_EIO, "vm.start", "cannot tell the path of this program");
    vt_args_add(args, self);
    vt_free(self);
    vt_args_add(args, "__tie");
    add_option(args, "--lock", tie->lock);
    add_option(args, "--use", tie->use);
    if (tie->tied) {
        vt_args_add(args, "--tied");
        vt_args_printf(args, "%ld", (long)getpid());
    }
    vt_args_add(args, "--");
    return VT_OK;
}

static void reset_signals(void)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    sigemptyset(&plain.sa_mask);
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &plain, NULL); /* fails for KILL, STOP and unused numbers */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int become(char **argv)
{
    reset_signals();
    execvp(argv[0], argv);
    fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
    return VT_TIE_NOT_RUN;
}

#ifdef __linux__
static int run_tied(long parent, char **argv)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        fprintf(stderr, "cannot tie to the parent: %s\n", strerror(errno));
    /* a parent that ended before the line above sends no signal any more */
    if (getppid() != (pid_t)parent)
        return VT_TIE_ORPHAN;
    return become(argv);
}
#else
static int run_tied(long parent, char **argv)
{
    int queue = kqueue();
    struct kevent watch[2], event;
    EV_SET(&watch[0], (uintptr_t)parent, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
    if (queue < 0 || kevent(queue, watch, 1, NULL, 0, NULL) || getppid() != (pid_t)parent)
        return VT_TIE_ORPHAN;
    pid_t child = fork();
    if (child == 0)
        return become(argv);
    /* those that a program may be asked by, through its group */
    signal(SIGINT, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    EV_SET(&watch[1], (uintptr_t)child, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
    if (child < 0 || kevent(queue, watch + 1, 1, NULL, 0, NULL))
        return VT_TIE_NOT_RUN;
    while (kevent(queue, NULL, 0, &event, 1, NULL) < 0 && errno == EINTR)
        ;
    if (event.ident == (uintptr_t)parent)
        kill(child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        raise(WTERMSIG(status));
    return WEXITSTATUS(status);
}
#endif

static int take_lock(const char *path)
{
    struct vt_error err = VT_ERROR_INIT;
    int fd;
    if (vt_lock_file(path, &fd, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return err.code == VT_EBUSY ? VT_TIE_LOCKED : VT_TIE_NOT_RUN;
    }
    fcntl(fd, F_SETFD, 0); /* the program shall hold it */
    return 0;
}

static int use_image(const char *dir)
{
    struct vt_error err = VT_ERROR_INIT;
    int fd;
    if (vt_image_use(dir, &fd, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return VT_TIE_NOT_RUN;
    }
    fcntl(fd, F_SETFD, 0); /* the program shall hold it */
    return 0;
}

int vt_tie_main(int argc, char **argv)
{
    const char *lock = NULL, *use = NULL;
    long parent = 0;
    int at = 2;
    for (; at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2) {
        if (!strcmp(argv[at], "--lock"))
            lock = argv[at + 1];
        else if (!strcmp(argv[at], "--use"))
            use = argv[at + 1];
        else if (!strcmp(argv[at], "--tied"))
            parent = strtol(argv[at + 1], NULL, 10);
        else
            break;
    }
    if (parent < 0 || at + 1 >= argc || strcmp(argv[at], "--") != 0) {
        fputs("usage: vmtest __tie [--lock FILE] [--use DIR] [--tied PID] -- PROGRAM [ARGUMENT…]\n",
              stderr);
        return VT_TIE_USAGE;
    }
    int code = lock ? take_lock(lock) : 0;
    if (!code && use)
        code = use_image(use);
    if (code)
        return code;
    return parent ? run_tied(parent, argv + at + 1) : become(argv + at + 1);
}
