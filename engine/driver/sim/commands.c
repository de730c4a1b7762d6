/* The commands of the simulated guest. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "driver/sim/shell.h"

#define SLEEP_MAX 1e9 /* seconds */

static int complain(struct vt__sim_call *call, const char *what, const char *why)
{
    vt__sim_print(call, 2, "%s: %s: %s\n", call->argv[0], what, why);
    return 1;
}

static int usage(struct vt__sim_call *call, const char *what)
{
    vt__sim_print(call, 2, "%s: not simulated: %s\n", call->argv[0], what);
    return 2;
}

/* The node at a path as the command sees it, or NULL. */
static const struct vt__sim_node *look(struct vt__sim_call *call, const char *name)
{
    char *path = vt__sim_path(*call->cwd, name);
    const struct vt__sim_node *node = path ? vt__sim_fs_find(call->guest->fs, path) : NULL;
    vt_free(path);
    return node;
}

static bool number(const char *text, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return *text && !*end && !errno;
}

static int do_true(struct vt__sim_call *call)
{
    (void)call;
    return 0;
}

static int do_false(struct vt__sim_call *call)
{
    (void)call;
    return 1;
}

static int do_echo(struct vt__sim_call *call)
{
    bool newline = !(call->argc > 1 && !strcmp(call->argv[1], "-n"));
    struct vt_buf line = VT_BUF_INIT;
    for (size_t i = newline ? 1 : 2; i < call->argc; i++)
        vt_buf_printf(&line, "%s%s", line.len ? " " : "", call->argv[i]);
    if (newline)
        vt_buf_putc(&line, '\n');
    bool good = vt__sim_write(call, 1, vt_buf_str(&line), line.len);
    vt_buf_free(&line);
    return !good;
}

/* Appends the format with its arguments from *arg on; false for a directive that is not known. */
static bool format(struct vt__sim_call *call, const char *f, size_t *arg, struct vt_buf *out)
{
    for (; *f; f++) {
        if (*f == '%' && f[1] == 's') {
            vt_buf_puts(out, *arg < call->argc ? call->argv[(*arg)++] : "");
            f++;
        } else if (*f == '%' && f[1] == '%') {
            vt_buf_putc(out, *f++);
        } else if (*f == '\\' && (f[1] == 'n' || f[1] == 't' || f[1] == '\\')) {
            vt_buf_putc(out, f[1] == 'n' ? '\n' : f[1] == 't' ? '\t' : '\\');
            f++;
        } else if (*f == '%' || *f == '\\') {
            return false;
        } else {
            vt_buf_putc(out, *f);
        }
    }
    return true;
}

static int do_printf(struct vt__sim_call *call)
{
    if (call->argc < 2)
        return usage(call, "no format");
    struct vt_buf out = VT_BUF_INIT;
    size_t arg = 2, before;
    bool good = true, fits = true;
    do { /* the format is used again while there are arguments for it */
        before = arg;
        good = format(call, call->argv[1], &arg, &out);
        fits = out.len <= VT__SIM_PENDING_MAX;
    } while (good && fits && arg > before && arg < call->argc);
    int status = !good ? usage(call, "only %s, %%, \\n, \\t and \\\\ in a format") : 0;
    if (good)
        status = !vt__sim_write(call, 1, vt_buf_str(&out), out.len);
    vt_buf_free(&out);
    return status;
}

static int do_cat(struct vt__sim_call *call)
{
    int status = 0;
    char *standard[] = {(char[]){"-"}, NULL};
    char **names = call->argc > 1 ? call->argv + 1 : standard;
    for (; *names; names++) {
        bool good = true;
        if (!strcmp(*names, "-")) {
            good = call->input_taken || vt__sim_write(call, 1, call->input, call->input_size);
            call->input_taken = true;
        } else {
            const struct vt__sim_node *node = look(call, *names);
            if (!node || node->is_dir) {
                status = complain(call, *names, strerror(node ? EISDIR : ENOENT));
                continue;
            }
            /* the file may be the one that is written to */
            struct vt_buf copy = VT_BUF_INIT;
            vt_buf_add(&copy, vt_buf_str(&node->data), node->data.len);
            good = vt__sim_write(call, 1, copy.data, copy.len);
            vt_buf_free(&copy);
        }
        if (!good)
            return 1;
    }
    return status;
}

static int do_sleep(struct vt__sim_call *call)
{
    char *end = NULL;
    double seconds = call->argc == 2 ? strtod(call->argv[1], &end) : NAN;
    if (!end || end == call->argv[1] || *end || !(seconds >= 0) || seconds > SLEEP_MAX)
        return complain(call, call->argc > 1 ? call->argv[1] : "", "invalid time");
    call->wait = seconds;
    return 0;
}

static int do_yes(struct vt__sim_call *call)
{
    call->repeat = "y\n";
    return 0;
}

static int do_pwd(struct vt__sim_call *call)
{
    return !vt__sim_print(call, 1, "%s\n", *call->cwd);
}

static int do_cd(struct vt__sim_call *call)
{
    const char *to = call->argc > 1 ? call->argv[1] : vt__sim_vars_get(call->vars, "HOME");
    if (call->argc > 2 && !strcmp(to, "--"))
        to = call->argv[2];
    const struct vt__sim_node *node = to ? look(call, to) : NULL;
    if (!node || !node->is_dir) {
        vt__sim_print(call, 2, "sh: cd: can't cd to %s\n", to ? to : "");
        return 2;
    }
    char *path = vt_strdup(node->path);
    vt_free(*call->cwd);
    *call->cwd = path;
    return 0;
}

static int do_env(struct vt__sim_call *call)
{
    if (call->argc > 1)
        return usage(call, "arguments");
    bool good = true;
    for (size_t i = 0; good && i < call->vars->count; i++) {
        const struct vt__sim_var *var = &call->vars->list[i];
        if (var->exported)
            good = vt__sim_print(call, 1, "%s=%s\n", var->name, var->value);
    }
    return !good;
}

static int do_export(struct vt__sim_call *call)
{
    for (size_t i = 1; i < call->argc; i++) {
        char *eq = strchr(call->argv[i], '=');
        char *name =
            vt_strndup(call->argv[i], eq ? (size_t)(eq - call->argv[i]) : strlen(call->argv[i]));
        bool good = vt_is_env_name(name);
        const char *value = eq ? eq + 1 : good ? vt__sim_vars_get(call->vars, name) : NULL;
        if (good)
            vt__sim_vars_set(call->vars, name, value ? value : "", true);
        vt_free(name);
        if (!good) {
            vt__sim_print(call, 2, "sh: export: %s: bad variable name\n", call->argv[i]);
            return 2;
        }
    }
    return 0;
}

static int do_test(struct vt__sim_call *call)
{
    if (call->argc != 3 || strlen(call->argv[1]) != 2 || call->argv[1][0] != '-')
        return usage(call, "other than -e, -f or -d and a path");
    const struct vt__sim_node *node = look(call, call->argv[2]);
    switch (call->argv[1][1]) {
    case 'e':
        return !node;
    case 'f':
        return !(node && !node->is_dir && !node->is_null);
    case 'd':
        return !(node && node->is_dir);
    default:
        return usage(call, "other than -e, -f or -d and a path");
    }
}

/* Takes leading options made of the letters `known`; false for any other. *first is the first
 * operand. Sets a bit for each letter that was given. */
static bool options(struct vt__sim_call *call, const char *known, unsigned *given, size_t *first)
{
    *given = 0;
    for (*first = 1; *first < call->argc; ++*first) {
        const char *word = call->argv[*first];
        if (word[0] != '-' || !word[1])
            return true;
        if (!strcmp(word, "--")) {
            ++*first;
            return true;
        }
        for (word++; *word; word++) {
            const char *at = strchr(known, *word);
            if (!at)
                return false;
            *given |= 1u << (at - known);
        }
    }
    return true;
}

static int do_mkdir(struct vt__sim_call *call)
{
    unsigned given;
    size_t i;
    if (!options(call, "p", &given, &i) || i == call->argc)
        return usage(call, "other than -p and folders");
    int status = 0;
    for (; i < call->argc; i++) {
        char *path = vt__sim_path(*call->cwd, call->argv[i]);
        int failed = path ? vt__sim_fs_mkdir(call->guest->fs, path, given) : ENOENT;
        vt_free(path);
        if (failed)
            status = complain(call, call->argv[i], strerror(failed));
    }
    return status;
}

static int do_rm(struct vt__sim_call *call)
{
    unsigned given;
    size_t i;
    if (!options(call, "rf", &given, &i))
        return usage(call, "other than -r, -f and paths");
    int status = 0;
    for (; i < call->argc; i++) {
        char *path = vt__sim_path(*call->cwd, call->argv[i]);
        int failed = path ? vt__sim_fs_remove(call->guest->fs, path, given & 1) : ENOENT;
        vt_free(path);
        if (failed && !(failed == ENOENT && given & 2))
            status = complain(call, call->argv[i], strerror(failed));
    }
    return status;
}

static bool list_folder(struct vt__sim_call *call, const struct vt__sim_node *dir, bool all)
{
    size_t first, n = vt__sim_fs_below(call->guest->fs, dir->path, &first);
    size_t prefix = strcmp(dir->path, "/") ? strlen(dir->path) + 1 : 1;
    struct vt_buf names = VT_BUF_INIT;
    for (size_t i = first; i < first + n; i++) {
        const char *name = vt__sim_fs_at(call->guest->fs, i)->path + prefix;
        if (!strchr(name, '/') && (all || *name != '.'))
            vt_buf_printf(&names, "%s\n", name);
    }
    bool good = vt__sim_write(call, 1, vt_buf_str(&names), names.len);
    vt_buf_free(&names);
    return good;
}

static int do_ls(struct vt__sim_call *call)
{
    unsigned given;
    size_t i;
    if (!options(call, "1a", &given, &i))
        return usage(call, "other than -1, -a and paths");
    int status = 0;
    bool all = given & 2, titles = call->argc - i > 1;
    if (i == call->argc)
        return !list_folder(call, look(call, "."), all);
    for (; i < call->argc; i++) {
        const struct vt__sim_node *node = look(call, call->argv[i]);
        if (!node) {
            status = complain(call, call->argv[i], strerror(ENOENT));
            continue;
        }
        if (node->is_dir && titles)
            vt__sim_print(call, 1, "%s:\n", call->argv[i]);
        bool good = node->is_dir ? list_folder(call, node, all)
                                 : vt__sim_print(call, 1, "%s\n", call->argv[i]);
        if (!good)
            return 1;
    }
    return status;
}

static int do_uname(struct vt__sim_call *call)
{
    unsigned given;
    size_t first;
    if (!options(call, "snrma", &given, &first) || first < call->argc)
        return usage(call, "other than -s, -n, -r, -m and -a");
    if (!given)
        given = 1;
    if (given & 16)
        given = 15;
    const char *const facts[] = {call->guest->sysname, call->guest->hostname, "0-simulated",
                                 call->guest->machine};
    struct vt_buf line = VT_BUF_INIT;
    for (unsigned i = 0; i < 4; i++)
        if (given & 1u << i)
            vt_buf_printf(&line, "%s%s", line.len ? " " : "", facts[i]);
    bool good = vt__sim_print(call, 1, "%s\n", vt_buf_str(&line));
    vt_buf_free(&line);
    return !good;
}

static int do_hostname(struct vt__sim_call *call)
{
    return call->argc > 1 ? usage(call, "arguments")
                          : !vt__sim_print(call, 1, "%s\n", call->guest->hostname);
}

static const struct {
    const char *name;
    int number;
} signals[] = {{"HUP", 1},   {"INT", 2},   {"QUIT", 3},  {"ABRT", 6},  {"KILL", 9}, {"USR1", 10},
               {"SEGV", 11}, {"USR2", 12}, {"PIPE", 13}, {"ALRM", 14}, {"TERM", 15}};

static int do_kill(struct vt__sim_call *call)
{
    const char *name = call->argc == 3 && call->argv[1][0] == '-' ? call->argv[1] + 1 : "TERM";
    long pid, n = -1;
    size_t at = call->argc == 3 ? 2 : 1, i = 0;
    if (call->argc < 2 || call->argc > 3 || (call->argc == 3 && call->argv[1][0] != '-'))
        return usage(call, "other than one signal and one process");
    if (!number(call->argv[at], &pid))
        return complain(call, call->argv[at], "invalid process id");
    if (pid != call->pid)
        return complain(call, call->argv[at], "No such process");
    if (!strncmp(name, "SIG", 3))
        name += 3;
    if (number(name, &n) && n == 0)
        return 0;
    while (i < sizeof signals / sizeof *signals && strcmp(signals[i].name, name) != 0 &&
           signals[i].number != n)
        i++;
    if (i == sizeof signals / sizeof *signals)
        return complain(call, name, "invalid signal");
    call->signal = signals[i].name;
    return 128 + signals[i].number;
}

static int do_exit(struct vt__sim_call *call)
{
    long status = 0;
    if (call->argc > 1 && !number(call->argv[1], &status)) {
        vt__sim_print(call, 2, "sh: exit: Illegal number: %s\n", call->argv[1]);
        status = 2;
    }
    call->leave = true;
    return (int)(status & 0xff);
}

static int do_poweroff(struct vt__sim_call *call)
{
    call->guest->power(call->guest, VT__SIM_POWEROFF);
    return 0;
}

static int do_reboot(struct vt__sim_call *call)
{
    call->guest->power(call->guest, VT__SIM_REBOOT);
    return 0;
}

static int do_panic(struct vt__sim_call *call)
{
    call->guest->power(call->guest, VT__SIM_PANIC);
    call->forever = true;
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct vt__sim_call *call);
    bool builtin; /* of the shell alone: no program of that name */
} commands[] = {
    {":", do_true, true},
    {"cat", do_cat, false},
    {"cd", do_cd, true},
    {"echo", do_echo, false},
    {"env", do_env, false},
    {"exit", do_exit, true},
    {"export", do_export, true},
    {"false", do_false, false},
    {"hostname", do_hostname, false},
    {"kill", do_kill, false},
    {"ls", do_ls, false},
    {"mkdir", do_mkdir, false},
    {"panic", do_panic, false},
    {"poweroff", do_poweroff, false},
    {"printf", do_printf, false},
    {"pwd", do_pwd, false},
    {"reboot", do_reboot, false},
    {"rm", do_rm, false},
    {"sleep", do_sleep, false},
    {"test", do_test, false},
    {"true", do_true, false},
    {"uname", do_uname, false},
    {"yes", do_yes, false},
};

/* The name behind /bin/ and its like, or the path itself. */
static const char *program_name(const char *path)
{
    static const char *const folders[] = {"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (!strncmp(path, folders[i], strlen(folders[i])))
            return path + strlen(folders[i]);
    return path;
}

int vt__sim_command_run(struct vt__sim_call *call, bool shell)
{
    const char *name = program_name(call->argv[0]);
    shell = shell && name == call->argv[0];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(name, commands[i].name) && (shell || !commands[i].builtin))
            return commands[i].run(call);
    const struct vt__sim_node *node = strchr(call->argv[0], '/') ? look(call, call->argv[0]) : NULL;
    if (call->guest->dry_run)
        return 0;
    if (!node) {
        vt__sim_print(call, 2, "sh: %s: not found\n", call->argv[0]);
        return 127;
    }
    bool runs = !node->is_dir && node->mode & 0111;
    vt__sim_print(call, 2, "sh: %s: %s\n", call->argv[0],
                  runs ? "the simulated guest runs no programs of its own" : strerror(EACCES));
    return 126;
}
