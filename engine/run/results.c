#include "run/results.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"
#include "run/cleanup.h"

#define RESULTS "vmtest-results"

static char *new_run_id(void)
{
    char day[32], hex[7];
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(day, sizeof day, "%Y%m%d-%H%M%S", &tm);
    vt_random_hex(hex, 6);
    struct vt_buf id = VT_BUF_INIT;
    vt_buf_printf(&id, "%s-%s", day, hex);
    return vt_buf_steal(&id);
}

static char *absolute(const char *path)
{
    char cwd[PATH_MAX];
    return vt_path_join(getcwd(cwd, sizeof cwd) ? cwd : ".", path);
}

enum vt_code vt__folders_name(struct vt_folders *f, const char *results_dir, bool list_only,
                              struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    *f = (struct vt_folders){.lock = -1, .results_lock = -1, .events = -1};
    f->run_id = new_run_id();
    char *runtime = vt_runtime_dir(NULL, &own), *scratch = vt_home_dir("scratch", &own);
    if (runtime && scratch) {
        f->runtime = vt_path_join(runtime, f->run_id);
        f->scratch = vt_path_join(scratch, f->run_id);
        if (results_dir && !list_only) {
            f->results = absolute(results_dir);
        } else if (!list_only) {
            char *relative = vt_path_join(RESULTS, f->run_id);
            f->results = absolute(relative);
            vt_free(relative);
        }
    }
    vt_free(runtime);
    vt_free(scratch);
    return vt_error_copy(err, &own);
}

/* What a run writes into its results folder, besides a folder for each job (it begins with a
 * digit). */
static const char *const written[] = {
    "events.jsonl", "junit.xml", "results.tap", "ctrf.json", ".lock",
};

static bool is_ours(const char *name)
{
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        if (!strcmp(name, written[i]))
            return true;
    return isdigit((unsigned char)name[0]) && strchr(name, '-');
}

static enum vt_code empty_results(const char *dir, struct vt_error *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return vt_fail_sys(err, errno, "run", "cannot read the results folder %s", dir);
    char *events = vt_path_join(dir, "events.jsonl");
    bool earlier = vt_is_file(events);
    vt_free(events);
    enum vt_code code = VT_OK;
    for (struct dirent *e; !code && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, ".lock"))
            continue;
        if (!earlier || !is_ours(e->d_name)) {
            code = vt_fail(err, VT_EINVAL, "run", "the results folder %s holds other things (%s)",
                           dir, e->d_name);
            vt_hint(err, "name a new or empty folder, or one of an earlier run, with -o");
            break;
        }
        char *path = vt_path_join(dir, e->d_name);
        code = vt_remove_tree(path, err);
        vt_free(path);
    }
    closedir(d);
    return code;
}

/* vmtest-results/latest -> RUN, for people; its absence harms nobody. */
static void link_latest(const char *results)
{
    char *dir = vt_path_dir(results);
    if (!strcmp(vt_path_base(dir), RESULTS)) {
        char *link = vt_path_join(dir, "latest"), *temp = vt_path_join(dir, ".latest.new");
        unlink(temp);
        if (symlink(vt_path_base(results), temp) || rename(temp, link))
            unlink(temp);
        vt_free(link);
        vt_free(temp);
    }
    vt_free(dir);
}

static enum vt_code make_results(struct vt_folders *f, struct vt_error *err)
{
    enum vt_code code = vt_mkdirs(f->results, err);
    char *lock = vt_path_join(f->results, ".lock");
    if (!code) {
        code = vt_lock_file(lock, &f->results_lock, err);
        if (code == VT_EBUSY && err)
            vt_hint(err, "another run writes there: choose another folder with -o");
    }
    vt_free(lock);
    if (!code)
        code = empty_results(f->results, err);
    if (code)
        return code;
    char *events = vt_path_join(f->results, "events.jsonl");
    f->events = open(events, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (f->events < 0)
        code = vt_fail_sys(err, errno, "run", "cannot write %s", events);
    else
        link_latest(f->results);
    vt_free(events);
    return code;
}

enum vt_code vt__folders_make(struct vt_folders *f, struct vt_error *err)
{
    enum vt_code code = vt_mkdirs(f->runtime, err);
    if (!code)
        code = vt_mkdirs(f->scratch, err);
    if (!code) {
        char *lock = vt_path_join(f->runtime, "lock");
        code = vt_lock_file(lock, &f->lock, err);
        vt_free(lock);
    }
    if (!code && f->results)
        code = make_results(f, err);
    return code;
}

char *vt__folders_job(const struct vt_folders *f, int number, const char *suite_name,
                      struct vt_error *err)
{
    if (!f->results)
        return vt_strdup(f->runtime);
    const char *base = vt_path_base(suite_name);
    size_t n = strlen(base);
    if (n > 4 && !strcmp(base + n - 4, ".lua"))
        n -= 4;
    struct vt_buf name = VT_BUF_INIT;
    vt_buf_printf(&name, "%d-", number);
    for (size_t i = 0; i < n && i < 60; i++)
        vt_buf_putc(&name,
                    isalnum((unsigned char)base[i]) || strchr("._-", base[i]) ? base[i] : '_');
    char *dir = vt_path_join(f->results, name.data);
    vt_buf_free(&name);
    if (vt_mkdirs(dir, err)) {
        vt_free(dir);
        return NULL;
    }
    return dir;
}

void vt__folders_close(struct vt_folders *f)
{
    if (f->events >= 0)
        close(f->events);
    if (f->results_lock >= 0) {
        char *lock = vt_path_join(f->results, ".lock");
        unlink(lock);
        vt_free(lock);
        close(f->results_lock);
    }
    if (f->runtime && f->scratch)
        vt__cleanup_run(f->runtime, f->scratch);
    if (f->lock >= 0)
        close(f->lock);
    vt_free(f->run_id);
    vt_free(f->results);
    vt_free(f->runtime);
    vt_free(f->scratch);
    *f = (struct vt_folders){.lock = -1, .results_lock = -1, .events = -1};
}
