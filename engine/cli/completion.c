/* vmtest completion SHELL, and what its script asks: vmtest __complete WORD... */
#include "cli/completion.h"

#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cli/vm_rows.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "vmtest/image.h"
#include "vmtest/mdm.h"
#include "vmtest/named.h"
#include "vmtest/run.h"
#include "vmtest/vm.h"

/* --- the scripts: each hands the words to __complete --- */

static const char bash_script[] =
    "# bash: eval \"$(vmtest completion bash)\"\n"
    "_vmtest() {\n"
    "    local words=() cur line i\n"
    "    COMPREPLY=()\n"
    "    # bash splits words at '=' and ':' too: they are put together again\n"
    "    for ((i = 1; i <= COMP_CWORD; i++)); do\n"
    "        if [[ $i -gt 1 && ( ${COMP_WORDS[i]} == [=:] || ${COMP_WORDS[i-1]} == [=:] ) ]]; "
    "then\n"
    "            words[${#words[@]}-1]+=${COMP_WORDS[i]}\n"
    "        else\n"
    "            words+=(\"${COMP_WORDS[i]}\")\n"
    "        fi\n"
    "    done\n"
    "    cur=${COMP_WORDS[COMP_CWORD]}\n"
    "    [[ $cur == = ]] && cur=\n"
    "    while IFS= read -r line; do\n"
    "        if [[ $line == :files ]]; then\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            while IFS= read -r line; do COMPREPLY+=(\"$line\"); done < <(compgen -f -- "
    "\"$cur\")\n"
    "        elif [[ $line == --*=* && $cur != --* ]]; then\n"
    "            COMPREPLY+=(\"${line#*=}\")\n"
    "        else\n"
    "            COMPREPLY+=(\"$line\")\n"
    "        fi\n"
    "    done < <(\"${COMP_WORDS[0]}\" __complete \"${words[@]}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _vmtest vmtest\n";

static const char zsh_script[] =
    "#compdef vmtest\n"
    "# zsh: eval \"$(vmtest completion zsh)\" after compinit\n"
    "_vmtest() {\n"
    "    local -a lines\n"
    "    lines=(\"${(@f)$(\"${words[1]}\" __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
    "    if (( ${lines[(I):files]} )); then\n"
    "        lines=(\"${(@)lines:#:files}\")\n"
    "        _files\n"
    "    fi\n"
    "    lines=(\"${(@)lines:#}\")\n"
    "    (( ${#lines} )) && compadd -- \"${lines[@]}\"\n"
    "}\n"
    "compdef _vmtest vmtest\n";

static const char fish_script[] =
    "# fish: vmtest completion fish | source\n"
    "function __vmtest_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)\n"
    "        if test \"$line\" = :files\n"
    "            __fish_complete_path (commandline -ct)\n"
    "        else\n"
    "            echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c vmtest -f -a '(__vmtest_complete)'\n";

static const struct {
    const char *name, *script;
} shells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
#define SHELLS (sizeof shells / sizeof *shells)

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    const char *names[SHELLS];
    (void)values;
    for (size_t i = 0; i < SHELLS; i++) {
        names[i] = shells[i].name;
        if (!strcmp(shells[i].name, args[0])) {
            fputs(shells[i].script, stdout);
            return VT_EXIT_OK;
        }
    }
    const char *near = vt_nearest(args[0], names, SHELLS);
    return vt_cli_usage(self, "there is no completion for \"%s\"%s%s%s; there are: bash, zsh, fish",
                        args[0], near ? "; did you mean \"" : "", near ? near : "",
                        near ? "\"?" : "");
}

const struct vt_command vt_cmd_completion = {
    .name = "completion",
    .args = "SHELL",
    .summary = "prints what makes bash, zsh or fish complete vmtest's words",
    .details = "Commands, options, and the names of VMs, images, drivers and channels.",
    .example = "eval \"$(vmtest completion bash)\"     # in ~/.bashrc\n"
               "eval \"$(vmtest completion zsh)\"      # in ~/.zshrc, after compinit\n"
               "vmtest completion fish | source       # in ~/.config/fish/config.fish",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

/* --- what fits --- */

/* A word to offer, where it begins as what is typed; `before` is said with it ("--driver="). */
static void offer(const char *before, const char *word, const char *typed)
{
    if (!strncmp(word, typed, strlen(typed)) && !strpbrk(word, "\n"))
        printf("%s%s\n", before, word);
}

static void offer_all(const char *before, const char *const *words, const char *typed)
{
    for (; *words; words++)
        offer(before, *words, typed);
}

static void offer_vms(const char *before, const char *typed)
{
    json_t *rows, *row, *other;
    size_t i, k;
    if (vt_vm_rows(&rows, NULL))
        return;
    json_array_foreach(rows, i, row)
    {
        const char *name = vt_json_str(row, "name", "");
        size_t same = 0;
        json_array_foreach(rows, k, other) same += !strcmp(vt_json_str(other, "name", ""), name);
        struct vt_buf text = VT_BUF_INIT;
        vt_buf_printf(&text, "%s%s%s", same > 1 ? vt_json_str(row, "run", "") : "",
                      same > 1 ? "/" : "", name);
        offer(before, vt_buf_str(&text), typed);
        vt_buf_free(&text);
    }
    json_decref(rows);
}

static void offer_snapshots(const char *vm, const char *typed)
{
    struct vt_named *named;
    struct vt_snapshot *list;
    size_t n;
    if (vt_named_find(vm, &named, NULL))
        return;
    if (!vt_vm_snapshots(NULL, named->snapshots_dir, &list, &n, NULL)) {
        for (size_t i = 0; i < n; i++)
            offer("", list[i].name, typed);
        vt_snapshots_free(list, n);
    }
    vt_named_free(named);
}

static void offer_images(const char *before, const char *typed)
{
    char **names;
    size_t n;
    if (vt_image_names(&names, &n, NULL))
        return;
    for (size_t i = 0; i < n; i++)
        offer(before, names[i], typed);
    vt_image_names_free(names, n);
}

static void offer_shells(const char *before, const char *typed)
{
    for (size_t i = 0; i < SHELLS; i++)
        offer(before, shells[i].name, typed);
}

static void offer_drivers(const char *before, const char *typed)
{
    offer_all(before, vt_driver_names(), typed);
}

static void offer_channels(const char *before, const char *typed)
{
    offer_all(before, vt_channel_names(), typed);
}

static void offer_mdm(const char *before, const char *typed)
{
    offer(before, "none", typed);
    offer_all(before, vt_mdm_kinds(), typed);
}

static void offer_keep(const char *before, const char *typed)
{
    static const char *const words[] = {"never", "fail", "always", NULL};
    offer_all(before, words, typed);
}

static void offer_severities(const char *before, const char *typed)
{
    static const char *const words[] = {"error", "warning", "note", NULL};
    offer_all(before, words, typed);
}

static void offer_methods(const char *before, const char *typed)
{
    static const char *const words[] = {"pkcs12", "scep", "both", NULL};
    offer_all(before, words, typed);
}

static void offer_files(const char *before, const char *typed)
{
    (void)before;
    (void)typed;
    printf(":files\n");
}

static void offer_sources(const char *before, const char *typed)
{
    offer_vms(before, typed);
    offer_images(before, typed);
}

static void offer_vms_and_files(const char *before, const char *typed)
{
    offer_vms(before, typed);
    offer_files(before, typed);
}

static void offer_nothing(const char *before, const char *typed)
{
    (void)before;
    (void)typed;
}

/* What the value of an option is, by the option's name. */
static const struct {
    const char *option;
    void (*offer)(const char *before, const char *typed);
} option_values[] = {
    {"driver", offer_drivers}, {"channel", offer_channels},   {"mdm", offer_mdm},
    {"keep", offer_keep},      {"output", offer_files},       {"method", offer_methods},
    {"image", offer_images},   {"fail-on", offer_severities},
};

/* What an argument is: of commands whose name begins so, from the first place to the last (the
 * first is 0). The first line that fits counts. */
#define ANY 1000
static const struct {
    const char *command;
    int first, last;
    void (*offer)(const char *before, const char *typed);
} argument_values[] = {
    {"vm create", 0, ANY, offer_nothing}, /* a new name */
    {"vm clone", 0, 0, offer_sources},     {"vm cp", 0, ANY, offer_vms_and_files},
    {"vm screenshot", 1, 1, offer_files},  {"vm ", 0, 0, offer_vms},
    {"image build", 0, ANY, offer_files},  {"image import", 0, ANY, offer_files},
    {"image export", 1, ANY, offer_files}, {"image ", 0, ANY, offer_images},
    {"suite ", 0, ANY, offer_files},       {"completion", 0, 0, offer_shells},
    {"run", 0, ANY, offer_files},          {"list", 0, ANY, offer_files},
    {"report", 0, ANY, offer_files},       {"profile ", 0, ANY, offer_files},
};

static void offer_value(const struct vt_option *o, const char *before, const char *typed)
{
    for (size_t i = 0; i < sizeof option_values / sizeof *option_values; i++)
        if (o->name && !strcmp(o->name, option_values[i].option)) {
            option_values[i].offer(before, typed);
            return;
        }
    if (strstr(o->arg, "FILE") || strstr(o->arg, "DIR") || strstr(o->arg, "PATH"))
        offer_files(before, typed);
}

static const struct vt_option *option_of(const struct vt_command *c, const char *word, size_t n)
{
    for (const struct vt_option *o = c->options; o && (o->letter || o->name); o++) {
        bool is_long = n > 2 && o->name && !strncmp(word, "--", 2) && strlen(o->name) == n - 2 &&
                       !strncmp(o->name, word + 2, n - 2);
        if (is_long || (n == 2 && o->letter && word[0] == '-' && word[1] == o->letter))
            return o;
    }
    return NULL;
}

/* The arguments before the last of n words: their number, and the first. */
static int arguments(const struct vt_command *c, int n, char **words, const char **first)
{
    int count = 0;
    bool options = true;
    for (int i = 0; i < n - 1; i++) {
        const struct vt_option *o = options ? option_of(c, words[i], strlen(words[i])) : NULL;
        if (options && !strcmp(words[i], "--"))
            options = false;
        else if (o && o->arg && o->arg[0] != '[')
            i++; /* its value */
        else if ((!options || words[i][0] != '-') && count++ == 0)
            *first = words[i];
    }
    return count;
}

static bool takes_snapshots(const struct vt_command *c)
{
    return !strcmp(c->name, "vm restore") || !strcmp(c->name, "vm rmsnap");
}

static void offer_argument(const struct vt_command *c, int n, char **words)
{
    const char *typed = words[n - 1], *first = NULL;
    int place = arguments(c, n, words, &first);
    bool vms = !strcmp(c->args, "NAME...") && strcmp(c->name, "vm create") != 0;
    if (c->max_args >= 0 && place >= c->max_args)
        return;
    if (place && takes_snapshots(c)) {
        offer_snapshots(first, typed);
        return;
    }
    for (size_t i = 0; i < sizeof argument_values / sizeof *argument_values; i++) {
        const char *command = argument_values[i].command;
        bool last = place <= argument_values[i].last || (vms && !strcmp(command, "vm "));
        if (!strncmp(c->name, command, strlen(command)) && place >= argument_values[i].first &&
            last) {
            argument_values[i].offer("", typed);
            return;
        }
    }
}

static void offer_options(const struct vt_command *c, const char *typed)
{
    offer("", "--help", typed);
    for (const struct vt_option *o = c->options; o && (o->letter || o->name); o++) {
        struct vt_buf word = VT_BUF_INIT;
        if (o->name)
            vt_buf_printf(&word, "--%s", o->name);
        else
            vt_buf_printf(&word, "-%c", o->letter);
        offer("", vt_buf_str(&word), typed);
        vt_buf_free(&word);
    }
}

/* Words after the command's name, the last one unfinished. */
static void complete_command(const struct vt_command *c, int n, char **words)
{
    const char *typed = words[n - 1], *equals = strchr(typed, '=');
    const struct vt_option *before =
        n > 1 ? option_of(c, words[n - 2], strlen(words[n - 2])) : NULL;
    for (int i = 0; i < n - 1; i++)
        if (!strcmp(words[i], "--")) {
            offer_argument(c, n, words);
            return;
        }
    if (before && before->arg && before->arg[0] != '[') {
        offer_value(before, "", typed);
    } else if (equals && !strncmp(typed, "--", 2)) {
        const struct vt_option *o = option_of(c, typed, (size_t)(equals - typed));
        char *name = vt_strndup(typed, (size_t)(equals - typed) + 1);
        if (o && o->arg)
            offer_value(o, name, equals + 1);
        vt_free(name);
    } else if (typed[0] == '-') {
        offer_options(c, typed);
    } else {
        offer_argument(c, n, words);
    }
}

/* Commands whose words begin as these n do; the word after them is offered, each once. */
static void complete_name(int n, char **words)
{
    size_t count;
    const struct vt_command *const *all = vt_cli_commands(&count);
    const char *typed = words[n - 1];
    struct vt_buf start = VT_BUF_INIT;
    for (int i = 0; i < n - 1; i++)
        vt_buf_printf(&start, "%s ", words[i]);
    const size_t skip = start.len;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(all[i]->name, vt_buf_str(&start), skip) != 0)
            continue;
        const char *word = all[i]->name + skip;
        size_t size = strcspn(word, " "), before = 0;
        while (before < i && strncmp(all[before]->name, all[i]->name, skip + size + 1) != 0)
            before++;
        if (before < i)
            continue; /* of a group that was offered */
        char *offered = vt_strndup(word, size);
        offer("", offered, typed);
        vt_free(offered);
    }
    if (n == 1) {
        offer("", "--help", typed[0] == '-' ? typed : "-?");
        offer("", "--version", typed[0] == '-' ? typed : "-?");
    }
    vt_buf_free(&start);
}

int vt_complete_main(int argc, char **argv)
{
    int n = argc - 2;
    char **words = argv + 2;
    size_t count;
    const struct vt_command *const *all = vt_cli_commands(&count);
    if (n < 1)
        return VT_EXIT_USAGE;
    for (size_t i = 0; i < count; i++) {
        const char *space = strchr(all[i]->name, ' ');
        size_t first = space ? (size_t)(space - all[i]->name) : strlen(all[i]->name);
        int used = space ? 2 : 1;
        if (n > used && strlen(words[0]) == first && !strncmp(words[0], all[i]->name, first) &&
            (!space || !strcmp(words[1], space + 1))) {
            complete_command(all[i], n - used, words + used);
            return VT_EXIT_OK;
        }
    }
    complete_name(n, words);
    return VT_EXIT_OK;
}
