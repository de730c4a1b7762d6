#ifndef VT_NOSDK_SIGNAL_H
#define VT_NOSDK_SIGNAL_H

#include <sys/types.h>

enum {
    SIGHUP = 1,
    SIGINT = 2,
    SIGQUIT = 3,
    SIGILL = 4,
    SIGTRAP = 5,
    SIGABRT = 6,
    SIGFPE = 8,
    SIGKILL = 9,
    SIGBUS = 10,
    SIGSEGV = 11,
    SIGSYS = 12,
    SIGPIPE = 13,
    SIGALRM = 14,
    SIGTERM = 15,
    SIGCONT = 19,
    SIGCHLD = 20,
    SIGIO = 23,
    SIGXCPU = 24,
    SIGXFSZ = 25,
    SIGVTALRM = 26,
    SIGUSR1 = 30,
    SIGUSR2 = 31
};
typedef uint32_t sigset_t;
struct sigaction {
    union vt_sigaction { /* as on macOS, where the name is a macro */
        void (*plain)(int);
    } vt_action;
    sigset_t sa_mask;
    int sa_flags;
};
#define sa_handler vt_action.plain
#define SIG_IGN ((void (*)(int))1)
#define SA_NOCLDSTOP 0x0008
#define SIG_BLOCK 1
#define SIG_UNBLOCK 2
int sigemptyset(sigset_t *set);
int sigaddset(sigset_t *set, int sig);
int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old);
int sigaction(int sig, const struct sigaction *restrict act, struct sigaction *restrict old);
void (*signal(int sig, void (*act)(int)))(int);
int kill(pid_t pid, int sig);

#endif
