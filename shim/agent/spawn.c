#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "system.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static struct {
    char *shell, *home;
    char *env[8];
} user;

static char *joined(const char *a, const char *b)
{
    size_t n = strlen(a) + strlen(b) + 1;
    char *out = need(malloc(n));
    snprintf(out, n, "%s%s", a, b);
    return out;
}

void spawn_init(void)
{
    const char *name = "root", *home = "/", *shell = "/bin/sh";
    const struct passwd *p = system_user();
    if (p) {
        name = p->pw_name;
        home = p->pw_dir;
        if (p->pw_shell[0] && access(p->pw_shell, X_OK) == 0)
            shell = p->pw_shell;
    }
    const char *path = getenv("PATH");
    user.shell = joined(shell, "");
    user.home = joined(home, "");
    char *const env[] = {joined("HOME=", home), joined("USER=", name), joined("LOGNAME=", name),
                         joined("SHELL=", shell),
                         joined("PATH=", path && path[0] ? path : default_path)};
    memcpy(user.env, env, sizeof env);
    if (chdir(user.home) && chdir("/"))
        perror("vmtest-agent: /");
}

/* The user's environment with what is added; of a name that comes twice the last counts. */
static char **make_env(char *const *more, bool terminal)
{
    static char term[] = "TERM=xterm";
    size_t n = sizeof user.env / sizeof user.env[0] + 1, k = 0;
    for (size_t i = 0; more && more[i]; i++)
        n++;
    char **env = need(calloc(n + 1, sizeof *env));
    for (size_t i = 0; user.env[i]; i++)
        env[k++] = user.env[i];
    if (terminal)
        env[k++] = term;
    for (; more && *more; more++) {
        size_t length = strcspn(*more, "=") + 1, at = 0;
        while (at < k && strncmp(env[at], *more, length) != 0)
            at++;
        env[at] = *more;
        k += at == k;
    }
    return env;
}

static const char *path_of(char *const *env)
{
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return "";
}

/* Where the program `name` is, as a shell looks for it. 0, or the errno why there is none. */
static int find_program(const char *name, const char *path, char *out, size_t size)
{
    int why = ENOENT;
    if (strchr(name, '/'))
        return snprintf(out, size, "%s", name) < (int)size ? 0 : ENAMETOOLONG;
    while (path && name[0]) {
        size_t n = strcspn(path, ":");
        int length = snprintf(out, size, "%.*s%s%s", (int)n, path, n ? "/" : "./", name);
        if (length > 0 && length < (int)size && access(out, X_OK) == 0)
            return 0;
        if (errno == EACCES)
            why = EACCES;
        path = path[n] ? path + n + 1 : NULL;
    }
    return why;
}

static int refused(int sys, const char *name, char *text, size_t size)
{
    snprintf(text, size, "sh: %s: %s\n", name, sys == ENOENT ? "not found" : strerror(sys));
    return sys == ENOENT ? 127 : 126;
}

static void set_up(const struct spawn *s, int folder, posix_spawn_file_actions_t *actions,
                   posix_spawnattr_t *attr)
{
    sigset_t none, ignored;
    sigemptyset(&none);
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    posix_spawnattr_init(attr);
    posix_spawnattr_setsigmask(attr, &none);
    posix_spawnattr_setsigdefault(attr, &ignored);
    posix_spawnattr_setflags(attr,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(actions);
    if (s->terminal) { /* opened by the leader of a session: it becomes its terminal */
        posix_spawn_file_actions_addopen(actions, 0, s->terminal, O_RDWR, 0);
        posix_spawn_file_actions_adddup2(actions, 0, 1);
        posix_spawn_file_actions_adddup2(actions, 0, 2);
    }
    for (int i = 0; i < 3 && !s->terminal; i++)
        posix_spawn_file_actions_adddup2(actions, s->fds[i], i);
    if (folder >= 0)
        posix_spawn_file_actions_addfchdir_np(actions, folder);
}

/* A script without "#!" is the shell's. */
static int spawn_script(pid_t *pid, const char *program, char *const *argv,
                        const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                        char **env)
{
    static char sh[] = "/bin/sh";
    size_t n = 1;
    while (argv[n])
        n++;
    char **words = need(calloc(n + 2, sizeof *words)), *name = joined(program, "");
    words[0] = sh;
    words[1] = name;
    memcpy(words + 2, argv + 1, (n - 1) * sizeof *words);
    int rc = posix_spawn(pid, sh, actions, attr, words, env);
    free(name);
    free(words);
    return rc;
}

int spawn(const struct spawn *s, pid_t *pid, char *text, size_t size)
{
    char program[4096], c[] = "-c", *line = s->shell ? joined(s->shell, "") : NULL;
    char *by_shell[] = {user.shell, c, line, NULL};
    char **argv = s->shell ? by_shell : s->argv;
    int status = 0, folder = -1;
    if (s->cwd && (folder = system_folder_open(s->cwd)) < 0) {
        snprintf(text, size, "sh: cd: %s: %s\n", s->cwd, strerror(errno));
        free(line);
        return 1;
    }
    char **env = make_env(s->env, s->terminal != NULL);
    int why = find_program(argv[0], path_of(env), program, sizeof program);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    set_up(s, folder, &actions, &attr);
    if (!why)
        why = posix_spawn(pid, program, &actions, &attr, argv, env);
    if (why == ENOEXEC)
        why = spawn_script(pid, program, argv, &actions, &attr, env);
    if (why == EAGAIN || why == ENOMEM)
        status = -why;
    else if (why)
        status = refused(why, argv[0], text, size);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (folder >= 0)
        close(folder);
    free(env);
    free(line);
    return status;
}
