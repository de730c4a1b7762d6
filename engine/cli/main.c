/* The program: finds the command and hands over. */
#include <stdio.h>
#include <string.h>

#include "cli/completion.h"
#include "cli/options.h"
#include "core/sys.h"
#include "core/text.h"
#include "driver/qemu/share.h"
#include "net/switch.h"
#include "vm/tie.h"
#include "vmtest/run.h"
#include "vmtest/vm.h"

static const struct vt_command *const commands[] = {
    &vt_cmd_run,
    &vt_cmd_list,
    &vt_cmd_doctor,
    &vt_cmd_report,
    &vt_cmd_vm_ls,
    &vt_cmd_vm_info,
    &vt_cmd_vm_create,
    &vt_cmd_vm_clone,
    &vt_cmd_vm_start,
    &vt_cmd_vm_stop,
    &vt_cmd_vm_kill,
    &vt_cmd_vm_pause,
    &vt_cmd_vm_resume,
    &vt_cmd_vm_reboot,
    &vt_cmd_vm_reset,
    &vt_cmd_vm_wait,
    &vt_cmd_vm_exec,
    &vt_cmd_vm_cp,
    &vt_cmd_vm_ssh,
    &vt_cmd_vm_console,
    &vt_cmd_vm_snapshot,
    &vt_cmd_vm_snapshots,
    &vt_cmd_vm_restore,
    &vt_cmd_vm_rmsnap,
    &vt_cmd_vm_screenshot,
    &vt_cmd_vm_type,
    &vt_cmd_vm_keys,
    &vt_cmd_vm_share,
    &vt_cmd_vm_unshare,
    &vt_cmd_vm_resize_disk,
    &vt_cmd_vm_attach_disk,
    &vt_cmd_vm_detach_disk,
    &vt_cmd_vm_rm,
    &vt_cmd_image_build,
    &vt_cmd_image_refresh,
    &vt_cmd_image_recipes,
    &vt_cmd_image_ls,
    &vt_cmd_image_show,
    &vt_cmd_image_verify,
    &vt_cmd_image_deprecate,
    &vt_cmd_image_role,
    &vt_cmd_image_export,
    &vt_cmd_image_import,
    &vt_cmd_image_rm,
    &vt_cmd_mdm_serve,
    &vt_cmd_mdm_devices,
    &vt_cmd_mdm_profile,
    &vt_cmd_mdm_enqueue,
    &vt_cmd_gc,
    &vt_cmd_profile_lint,
    &vt_cmd_profile_show,
    &vt_cmd_profile_diff,
    &vt_cmd_profile_conflicts,
    &vt_cmd_profile_forecast,
    &vt_cmd_profile_schema,
    &vt_cmd_suite_from_mscp,
    &vt_cmd_drivers,
    &vt_cmd_features,
    &vt_cmd_completion,
};
#define COMMANDS (sizeof commands / sizeof *commands)

const struct vt_command *const *vt_cli_commands(size_t *count)
{
    *count = COMMANDS;
    return commands;
}

static void print_usage(FILE *to)
{
    fprintf(to, "usage: vmtest COMMAND [OPTIONS] [ARGUMENTS]\n\n"
                "Runs Lua test suites against real virtual machines.\n\ncommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-15s  %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\n  vmtest COMMAND --help   shows a command's options and an example\n"
                "  vmtest --version        shows the version\n\n"
                "exit: 0 ok, 1 tests failed, 2 usage or suite load, 3 infrastructure,\n"
                "      4 nothing ran, 70 a bug in vmtest, 130 or 143 interrupted\n");
}

static bool is_of(const struct vt_command *command, const char *group)
{
    size_t n = strlen(group);
    return !strncmp(command->name, group, n) && command->name[n] == ' ';
}

/* Words that stand before a command: `vmtest vm …`. */
static const struct group {
    const char *name, *example;
} groups[] = {
    {"vm", "vmtest vm ls"},
    {"image", "vmtest image ls"},
    {"profile", "vmtest profile lint wifi.mobileconfig"},
    {"mdm", "vmtest mdm serve"},
    {"suite", "vmtest suite from-mscp --baseline cis_lvl1 macos_security"},
};
#define GROUPS (sizeof groups / sizeof *groups)

static int unknown(const char *group, const char *word)
{
    const char *names[COMMANDS + GROUPS];
    size_t n = 0, skip = group ? strlen(group) + 1 : 0;
    for (size_t i = 0; i < COMMANDS; i++)
        if (!group || is_of(commands[i], group))
            names[n++] = commands[i]->name + skip;
    for (size_t i = 0; !group && i < GROUPS; i++)
        names[n++] = groups[i].name;
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

static int run_group(const struct group *group, int argc, char **argv)
{
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    if (argc < 2 || help) {
        FILE *to = help ? stdout : stderr;
        fprintf(to, "usage: vmtest %s COMMAND …\n\ncommands:\n", group->name);
        for (size_t i = 0; i < COMMANDS; i++)
            if (is_of(commands[i], group->name))
                fprintf(to, "  %-15s  %s\n", commands[i]->name, commands[i]->summary);
        fprintf(to, "\nexample:\n  %s\n", group->example);
        return help ? VT_EXIT_OK : VT_EXIT_USAGE;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (is_of(commands[i], group->name) &&
            !strcmp(commands[i]->name + strlen(group->name) + 1, argv[1]))
            return vt_command_main(commands[i], argc - 1, argv + 1);
    return unknown(group->name, argv[1]);
}

static int hidden(int argc, char **argv)
{
    vt_name_process("vmtest");
    if (!strcmp(argv[1], "__worker"))
        return vt_worker_main();
    if (!strcmp(argv[1], "__janitor"))
        return vt_janitor_main(argc - 1, argv + 1);
    if (!strcmp(argv[1], "__complete"))
        return vt_complete_main(argc, argv);
    if (!strcmp(argv[1], "__tie"))
        return vt_tie_main(argc, argv);
    if (!strcmp(argv[1], "__readonly"))
        return vt_readonly_main(argc, argv);
    if (!strcmp(argv[1], "__switch"))
        return vt_switch_main(argc, argv);
    return -1;
}

int vt_main(int argc, char **argv)
{
    vt_drivers_init();
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
    vt_keep_descriptors(3); /* a VM that stays would hold its caller's locks and pipes */
    for (size_t i = 0; i < GROUPS; i++)
        if (!strcmp(word, groups[i].name))
            return run_group(&groups[i], argc - 1, argv + 1);
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i]->name, word))
            return vt_command_main(commands[i], argc - 1, argv + 1);
    return unknown(NULL, word);
}
