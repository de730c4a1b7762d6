/* Options of a command from one table: parsing, errors with the nearest name, and --help. */
#ifndef VT_CLI_OPTIONS_H
#define VT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

#define VT_OPTIONS_MAX 24

struct vt_option {
    char letter;      /* 'k', or 0 */
    const char *name; /* "keep" for --keep, or NULL */
    const char *arg;  /* "EXPR" where it takes a value, "[=TIME]" where one may follow (of long
                         options alone), else NULL. "KEY=VALUE..." may be given several times: its
                         values come in one text, a line each */
    const char *help;
};

struct vt_command {
    const char *name;                /* "run", "vm exec" */
    const char *args;                /* "SUITE..." for the usage line */
    const char *summary;             /* one line */
    const char *details;             /* more lines for --help, or NULL */
    const char *example;             /* one or more whole lines */
    const struct vt_option *options; /* ended by one without letter and name */
    int min_args, max_args;          /* positional; max -1: any number */
    int (*run)(const struct vt_command *self, const char *const *values, char **args);
};

/* Parses argv (argv[0] is the command's name), then calls self->run with the options' values by
 * their place in the table ("" for a flag that was given, NULL for what was not) and the
 * positional arguments, NULL-terminated. --help and errors are handled. Returns the exit code. */
int vt_command_main(const struct vt_command *self, int argc, char **argv);

/* Reports an error on stderr: "vmtest run: MESSAGE", and its hint. */
void vt_cli_error(const struct vt_command *self, const struct vt_error *err);

/* Reports wrong usage on stderr and returns VT_EXIT_USAGE. */
int vt_cli_usage(const struct vt_command *self, const char *fmt, ...) VT_PRINTF(2, 3);

/* A whole number between min and max; false after an error message. */
bool vt_cli_int(const struct vt_command *self, const char *option, const char *text, int min,
                int max, int *out);

/* --wait[=TIME]: the seconds to wait for memory, processors, disk or a machine that others use; 0
 * where it was not given (value NULL), an hour where no time was. False after an error message. */
#define VT_OPTION_WAIT                                                                             \
    {                                                                                              \
        0, "wait", "[=TIME]",                                                                      \
            "wait for memory, processors or a machine that others\n"                               \
            "hold (default: refuse at once; without TIME: 1h)"                                     \
    }
bool vt_cli_wait(const struct vt_command *self, const char *value, double *seconds);

/* The commands. */
extern const struct vt_command vt_cmd_run, vt_cmd_list, vt_cmd_report, vt_cmd_doctor, vt_cmd_vm_ls,
    vt_cmd_vm_ssh, vt_cmd_vm_exec, vt_cmd_vm_rm, vt_cmd_image_build, vt_cmd_image_refresh,
    vt_cmd_image_recipes, vt_cmd_image_ls, vt_cmd_image_show, vt_cmd_image_verify,
    vt_cmd_image_deprecate, vt_cmd_image_role, vt_cmd_image_export, vt_cmd_image_import,
    vt_cmd_image_rm, vt_cmd_gc;
extern const struct vt_command vt_cmd_vm_create, vt_cmd_vm_clone, vt_cmd_vm_start, vt_cmd_vm_stop,
    vt_cmd_vm_kill, vt_cmd_vm_pause, vt_cmd_vm_resume, vt_cmd_vm_reboot, vt_cmd_vm_reset,
    vt_cmd_vm_wait, vt_cmd_vm_info, vt_cmd_vm_cp, vt_cmd_vm_console, vt_cmd_vm_screenshot,
    vt_cmd_vm_type, vt_cmd_vm_keys, vt_cmd_vm_share, vt_cmd_vm_unshare, vt_cmd_vm_resize_disk,
    vt_cmd_vm_attach_disk, vt_cmd_vm_detach_disk, vt_cmd_vm_snapshot, vt_cmd_vm_snapshots,
    vt_cmd_vm_restore, vt_cmd_vm_rmsnap;

extern const struct vt_command vt_cmd_profile_lint, vt_cmd_profile_show, vt_cmd_profile_diff,
    vt_cmd_profile_conflicts, vt_cmd_profile_forecast, vt_cmd_profile_schema;

extern const struct vt_command vt_cmd_mdm_serve, vt_cmd_mdm_devices, vt_cmd_mdm_profile,
    vt_cmd_mdm_enqueue;
extern const struct vt_command vt_cmd_suite_from_mscp;

extern const struct vt_command vt_cmd_drivers, vt_cmd_features, vt_cmd_completion;

/* All of them. */
const struct vt_command *const *vt_cli_commands(size_t *count);

/* `vmtest __worker`, hidden: one job, read from standard input. */
int vt_worker_main(void);

/* The program. */
int vt_main(int argc, char **argv);

#endif
