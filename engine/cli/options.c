#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/text.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define WAIT_S 3600.0  /* --wait without a time */
#define LONG_ONLY 1000 /* getopt value of options without a letter, plus their place */

static const struct vt_option *const no_options = &(const struct vt_option){0};

static bool last(const struct vt_option *o)
{
    return !o->letter && !o->name;
}

static const struct vt_option *options_of(const struct vt_command *self)
{
    return self->options ? self->options : no_options;
}

static void print_option(const struct vt_option *o)
{
    struct vt_buf left = VT_BUF_INIT;
    if (o->letter)
        vt_buf_printf(&left, "-%c%s", o->letter, o->name ? ", " : "");
    else
        vt_buf_puts(&left, "    ");
    if (o->name)
        vt_buf_printf(&left, "--%s", o->name);
    if (o->arg)
        vt_buf_printf(&left, "%s%s", o->arg[0] == '[' ? "" : " ", o->arg);
    const char *help = o->help;
    for (int row = 0; *help; row++) {
        int n = (int)strcspn(help, "\n");
        printf("  %-24s  %.*s\n", row ? "" : left.data, n, help);
        help += n + (help[n] == '\n');
    }
    vt_buf_free(&left);
}

static int print_help(const struct vt_command *self)
{
    printf("usage: vmtest %s%s%s%s\n\n%s\n", self->name, last(options_of(self)) ? "" : " [OPTIONS]",
           self->args[0] ? " " : "", self->args, self->summary);
    if (self->details)
        printf("\n%s\n", self->details);
    printf("\noptions:\n");
    for (const struct vt_option *o = options_of(self); !last(o); o++)
        print_option(o);
    print_option(&(const struct vt_option){'h', "help", NULL, "shows this"});
    printf("\nexample:\n");
    for (const char *line = self->example; *line;) {
        int n = (int)strcspn(line, "\n");
        printf("  %.*s\n", n, line);
        line += n + (line[n] == '\n');
    }
    return VT_EXIT_OK;
}

void vt_cli_error(const struct vt_command *self, const struct vt_error *err)
{
    fprintf(stderr, "vmtest %s: %s\n", self->name, err->message);
    if (err->hint[0])
        fprintf(stderr, "  hint: %s\n", err->hint);
}

int vt_cli_usage(const struct vt_command *self, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "vmtest %s: ", self->name);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n  see: vmtest %s --help\n", self->name);
    va_end(ap);
    return VT_EXIT_USAGE;
}

bool vt_cli_int(const struct vt_command *self, const char *option, const char *text, int min,
                int max, int *out)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < min || v > max) {
        vt_cli_usage(self, "%s takes a whole number from %d to %d, not \"%s\"", option, min, max,
                     text);
        return false;
    }
    *out = (int)v;
    return true;
}

bool vt_cli_wait(const struct vt_command *self, const char *value, double *seconds)
{
    struct vt_error err = VT_ERROR_INIT;
    *seconds = value ? WAIT_S : 0;
    if (!value || !*value || !vt_parse_duration(value, seconds, &err))
        return true;
    vt_cli_usage(self, "--wait: %s; %s", err.message, err.hint);
    return false;
}

static int unknown_option(const struct vt_command *self, const char *word)
{
    const char *names[VT_OPTIONS_MAX + 1] = {"help"};
    size_t n = 1;
    for (const struct vt_option *o = options_of(self); !last(o); o++)
        if (o->name)
            names[n++] = o->name;
    const char *near = word[1] == '-' ? vt_nearest(word + 2, names, n) : NULL;
    if (near)
        return vt_cli_usage(self, "there is no option %s; did you mean --%s?", word, near);
    return vt_cli_usage(self, "there is no option %s", word);
}

struct parse {
    struct option longs[VT_OPTIONS_MAX + 2];
    char shorts[2 * VT_OPTIONS_MAX + 8];
};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static void build(const struct vt_command *self, struct parse *p)
{
    size_t n = 0, s = 0;
    if (ends_with(self->args, "COMMAND..."))
        p->shorts[s++] = '+'; /* what follows the name is a command line of its own */
    p->shorts[s++] = ':';     /* a missing value is told apart from an unknown option */
    int place = 0;
    for (const struct vt_option *o = options_of(self); !last(o); o++, place++) {
        int takes = !o->arg            ? no_argument
                    : o->arg[0] == '[' ? optional_argument
                                       : required_argument;
        if (o->name)
            p->longs[n++] = (struct option){o->name, takes, NULL, LONG_ONLY + place};
        if (o->letter) {
            p->shorts[s++] = o->letter;
            if (o->arg)
                p->shorts[s++] = ':';
        }
    }
    p->longs[n++] = (struct option){"help", no_argument, NULL, 'h'};
    p->longs[n] = (struct option){0};
    p->shorts[s++] = 'h';
    p->shorts[s] = '\0';
}

static int place_of(const struct vt_command *self, int c)
{
    if (c >= LONG_ONLY)
        return c - LONG_ONLY;
    int place = 0;
    while (options_of(self)[place].letter != c)
        place++;
    return place;
}

static bool takes_many(const struct vt_option *o)
{
    return o->arg && ends_with(o->arg, "...");
}

/* A line break in a value would be the end of it: it becomes a space. */
static const char *add_line(struct vt_buf *lines, const char *value)
{
    if (lines->len)
        vt_buf_putc(lines, '\n');
    for (; value && *value; value++)
        vt_buf_putc(lines, *value == '\n' ? ' ' : *value);
    return vt_buf_str(lines);
}

/* Fills in the options' values; -1, or the exit code where there is nothing more to do. */
static int read_options(const struct vt_command *self, int argc, char **argv, const char **values,
                        struct vt_buf *lines)
{
    struct parse p;
    build(self, &p);
    opterr = 0;
    optind = 1;
    for (;;) {
        int at = optind;
        int c = getopt_long(argc, argv, p.shorts, p.longs, NULL);
        if (c == -1)
            return -1;
        if (c == 'h')
            return print_help(self);
        if (c == ':')
            return vt_cli_usage(self, "%s needs a value", argv[optind - 1]);
        if (c == '?' && optopt && optopt < LONG_ONLY && argv[at][1] != '-') {
            char word[3] = {'-', (char)optopt, '\0'};
            return unknown_option(self, word);
        }
        if (c == '?')
            return unknown_option(self, argv[optind - 1]);
        int place = place_of(self, c);
        if (takes_many(&options_of(self)[place]))
            values[place] = add_line(&lines[place], optarg);
        else
            values[place] = optarg ? optarg : "";
    }
}

static int run_command(const struct vt_command *self, int argc, char **argv,
                       const char *const *values)
{
    int n = argc - optind;
    if (n < self->min_args)
        return vt_cli_usage(self, "%s is missing", self->args);
    if (self->max_args >= 0 && n > self->max_args)
        return vt_cli_usage(self, "\"%s\" is one argument too many", argv[optind + self->max_args]);
    return self->run(self, values, argv + optind);
}

int vt_command_main(const struct vt_command *self, int argc, char **argv)
{
    const char *values[VT_OPTIONS_MAX] = {NULL};
    struct vt_buf lines[VT_OPTIONS_MAX] = {VT_BUF_INIT};
    int code = read_options(self, argc, argv, values, lines);
    if (code < 0)
        code = run_command(self, argc, argv, values);
    for (int i = 0; i < VT_OPTIONS_MAX; i++)
        vt_buf_free(&lines[i]);
    return code;
}
