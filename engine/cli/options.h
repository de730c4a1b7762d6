/* Options of a command from one table: parsing, errors with the nearest name, and --help. */
#ifndef VT_CLI_OPTIONS_H
#define VT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmtest/error.h"

#define VT_OPTIONS_MAX 24

struct vt_option {
    char letter;      /* 'k', or 0 */
    const char *name; /* "keep" for --keep, or NULL */
    const char *arg;  /* "EXPR" where it takes a value, else NULL */
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

/* The commands. */
extern const struct vt_command vt_cmd_run, vt_cmd_list, vt_cmd_report, vt_cmd_doctor, vt_cmd_vm_ls,
    vt_cmd_vm_ssh, vt_cmd_vm_exec, vt_cmd_vm_rm;

/* `vmtest __worker`, hidden: one job, read from standard input. */
int vt_worker_main(void);

/* The program. */
int vt_main(int argc, char **argv);

#endif
