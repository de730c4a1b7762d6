/* The program: finds the command and hands over. */
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "core/text.h"
#include "vm/tie.h"
#include "vmtest/run.h"

static const struct vt_command *const commands[] = {
    &vt_cmd_run,   &vt_cmd_list,   &vt_cmd_doctor,  &vt_cmd_report,
    &vt_cmd_vm_ls, &vt_cmd_vm_ssh, &vt_cmd_vm_exec, &vt_cmd_vm_rm,
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void print_usage(FILE *to)
{
    fprintf(to, "usage: vmtest COMMAND [OPTIONS] [ARGUMENTS]\n\n"
                "Runs Lua test suites against real virtual machines.\n\ncommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-10s  %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\n  vmtest COMMAND --help   shows a command's options and an example\n"
                "  vmtest --version        shows the version\n\n"
                "exit: 0 ok, 1 tests failed, 2 usage or suite load, 3 infrastructure,\n"
                "      4 nothing ran, 70 a bug in vmtest, 130 or 143 interrupted\n");
}

static int unknown(const char *group, const char *word)
{
    const char *names[COMMANDS];
    size_t n = 0, skip = group ? strlen(group) + 1 : 0;
    for (size_t i = 0; i < COMMANDS; i++)
        if (!group || !strncmp(commands[i]->name, group, skip - 1))
            names[n++] = commands[i]->name + skip;
    fprintf(stderr, "vmtest%s%s: there is no command \"%s\"\n", group ? " " : "",
            group ? group : "", word);
    const char *near = vt_nearest(word, names, n);
    if (near)
        fprintf(stderr, "  did you mean: vmtest %s%s%s\n", group ? group : "", group ? " " : "",
                near);
    else
        fprintf(stderr, "  see: vmtest --help\n");
    return VT_EXIT_USAGE;
}

/* `vmtest vm …` */
static int vm_group(int argc, char **argv)
{
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    if (argc < 2 || help) {
        FILE *to = help ? stdout : stderr;
        fprintf(to, "usage: vmtest vm COMMAND …\n\ncommands:\n");
        for (size_t i = 0; i < COMMANDS; i++)
            if (!strncmp(commands[i]->name, "vm ", 3))
                fprintf(to, "  %-10s  %s\n", commands[i]->name, commands[i]->summary);
        fprintf(to, "\nexample:\n  vmtest vm ls\n");
        return help ? VT_EXIT_OK : VT_EXIT_USAGE;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strncmp(commands[i]->name, "vm ", 3) && !strcmp(commands[i]->name + 3, argv[1]))
            return vt_command_main(commands[i], argc - 1, argv + 1);
    return unknown("vm", argv[1]);
}

static int hidden(int argc, char **argv)
{
    if (!strcmp(argv[1], "__worker"))
        return vt_worker_main();
    if (!strcmp(argv[1], "__janitor"))
        return vt_janitor_main(argc - 1, argv + 1);
    if (!strcmp(argv[1], "__tie"))
        return vt_tie_main(argc, argv);
    return -1;
}

int vt_main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return VT_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
        printf("vmtest %s\n", VT_VERSION);
        return VT_EXIT_OK;
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        print_usage(stdout);
        return VT_EXIT_OK;
    }
    if (!strncmp(word, "__", 2)) {
        int code = hidden(argc, argv);
        return code < 0 ? unknown(NULL, word) : code;
    }
    if (!strcmp(word, "vm"))
        return vm_group(argc - 1, argv + 1);
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i]->name, word))
            return vt_command_main(commands[i], argc - 1, argv + 1);
    return unknown(NULL, word);
}
