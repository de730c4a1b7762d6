#include "run/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"
#include "vm/driver.h"
#include "vmtest/named.h"
#include "vmtest/registry.h"
#include "vmtest/report.h"

#define WORKER_LOCK "worker-" /* RUNTIME/RUN/worker-N, held by the worker process */
#define ENDED_WAIT_MS 3000
#define NEW_S 2

#ifdef __APPLE__
extern char **environ; /* elsewhere unistd.h has it */
#endif

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Kills whoever holds the lock (or its process group), and waits for it to be gone. */
static void end_holder(const char *lock, bool group)
{
    long pid = 0;
    for (int ms = 0; ms < ENDED_WAIT_MS && vt_lock_held(lock, &pid); ms += 10) {
        if (pid > 1)
            kill((pid_t)(group ? -pid : pid), SIGKILL);
        pause_ms(10);
    }
}

static bool is_kept(const char *vm_dir)
{
    char *kept = vt_path_join(vm_dir, "kept"), *lock = vt_path_join(vm_dir, "lock");
    bool result = vt_is_file(kept) && vt_lock_held(lock, NULL);
    vt_free(kept);
    vt_free(lock);
    return result;
}

enum pass { END_WORKERS, END_VMS };

/* True where something of the run is kept. */
static bool clean_pass(const char *runtime, const char *scratch, enum pass pass)
{
    DIR *d = opendir(runtime);
    bool kept = false;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        char *path = vt_path_join(runtime, e->d_name);
        bool is_worker = !strncmp(e->d_name, WORKER_LOCK, strlen(WORKER_LOCK));
        if (pass == END_WORKERS && is_worker) {
            end_holder(path, true);
        } else if (pass == END_VMS && vt_is_dir(path)) {
            if (is_kept(path)) {
                kept = true;
            } else {
                char *lock = vt_path_join(path, "lock"), *disks = vt_path_join(scratch, e->d_name);
                end_holder(lock, false);
                vt_remove_tree(path, NULL);
                vt_remove_tree(disks, NULL);
                vt_free(lock);
                vt_free(disks);
            }
        }
        vt_free(path);
    }
    if (d)
        closedir(d);
    return kept;
}

void vt__cleanup_run(const char *runtime, const char *scratch)
{
    clean_pass(runtime, scratch, END_WORKERS);
    if (!clean_pass(runtime, scratch, END_VMS)) {
        vt_remove_tree(scratch, NULL);
        vt_remove_tree(runtime, NULL);
    }
    vt__drivers_sweep();
}

/* A folder whose lock is free may be of a run that begins this very moment. */
static bool is_new(const char *dir)
{
    struct stat st;
    return lstat(dir, &st) || time(NULL) - st.st_mtime < NEW_S;
}

void vt_sweep(void)
{
    char *root = vt_runtime_dir(NULL, NULL), *disks = vt_home_dir("scratch", NULL);
    DIR *d = root && disks ? opendir(root) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.' || !strcmp(e->d_name, VT_NAMED_RUN)) /* of nobody's run */
            continue;
        char *runtime = vt_path_join(root, e->d_name), *lock = vt_path_join(runtime, "lock");
        if (!vt_lock_held(lock, NULL) && !is_new(runtime)) {
            char *scratch = vt_path_join(disks, e->d_name);
            vt__cleanup_run(runtime, scratch);
            vt_free(scratch);
        }
        vt_free(lock);
        vt_free(runtime);
    }
    if (d)
        closedir(d);
    vt_free(root);
    vt_free(disks);
    vt__drivers_sweep();
}

enum vt_code vt__janitor_start(struct vt_janitor *janitor, const char *runtime, const char *scratch,
                               const char *results, struct vt_error *err)
{
    int ends[2];
    if (pipe(ends))
        return vt_fail_sys(err, errno, "run", "cannot make a pipe");
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    char *self = vt_own_program(), name[] = "vmtest", command[] = "__janitor";
    char *dirs[3] = {vt_strdup(runtime), vt_strdup(scratch), vt_strdup(results ? results : "")};
    char *argv[] = {name, command, dirs[0], dirs[1], dirs[2], NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attr);
#ifdef POSIX_SPAWN_SETSID
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
#endif
    int rc = posix_spawn(&janitor->pid, self ? self : name, &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    for (int i = 0; i < 3; i++)
        vt_free(dirs[i]);
    vt_free(self);
    close(ends[0]);
    if (rc) {
        close(ends[1]);
        return vt_fail_sys(err, rc, "run", "cannot start the janitor process");
    }
    janitor->fd = ends[1];
    return VT_OK;
}

void vt__janitor_end(struct vt_janitor *janitor)
{
    close(janitor->fd);
    while (waitpid(janitor->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* A worker that was just starting may make a folder anew: not done before all stays away. */
static void clean_until_gone(const char *runtime, const char *scratch)
{
    int gone = 0;
    for (int ms = 0; ms < ENDED_WAIT_MS && gone < 3; ms += 100) {
        vt__cleanup_run(runtime, scratch);
        gone = vt_is_dir(runtime) || vt_is_dir(scratch) ? 0 : gone + 1;
        pause_ms(100);
    }
}

int vt_janitor_main(int argc, char **argv)
{
    if (argc != 4)
        return VT_EXIT_USAGE;
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    char byte;
    for (ssize_t n = 1; n > 0 || (n < 0 && errno == EINTR);)
        n = read(STDIN_FILENO, &byte, 1);
    if (!vt_is_dir(argv[1]) && !vt_is_dir(argv[2]))
        return VT_EXIT_OK; /* the run ended well and cleaned up itself */
    clean_until_gone(argv[1], argv[2]);
    if (argv[3][0]) {
        char *lock = vt_path_join(argv[3], ".lock");
        unlink(lock);
        vt_free(lock);
        vt_report_write_all(argv[3], NULL);
    }
    return VT_EXIT_OK;
}
