/* vmtest vm create NAME... */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/spec.h"
#include "cli/vm_task.h"
#include "core/json.h"
#include "core/mem.h"
#include "vmtest/run.h"

enum {
    IMAGE,
    DRIVER,
    CONFIG,
    MEMORY,
    CPUS,
    CHANNEL,
    ACCEL,
    TART,
    VZ,
    DISK,
    NIC,
    SHARE,
    FORWARD,
    SCREEN,
    VNC,
    START,
    WAIT,
};

static const struct vt_option options[] = {
    [IMAGE] = {'i', "image", "IMAGE", "NAME or NAME@VERSION of the store, or a folder"},
    [DRIVER] = {0, "driver", "NAME", "what it runs on, see `vmtest drivers` (default: qemu)"},
    [CONFIG] = {0, "config", "FILE", "a configuration as JSON; other options come on top of it"},
    [MEMORY] = {'m', "memory", "SIZE", "512M, 4G (default: the image's)"},
    [CPUS] = {0, "cpus", "N", "processors (default: the image's)"},
    [CHANNEL] = {0, "channel", "NAME",
                 "way into the guest: agent, ssh or qga (default: as\nthe image says)"},
    [ACCEL] = {0, "accel", "NAME", "auto, kvm, hvf or tcg (default: auto)"},
    [TART] = {0, "tart", "SPEC",
              "for --driver tart: vm=NAME (what to clone),user=NAME,\nkey=FILE,suspendable,… "
              "(docs/drivers.md)"},
    [VZ] = {0, "vz", "SPEC",
            "for --driver vz: rosetta,nested,clipboard,\nscreen=1920x1200,… (docs/drivers.md)"},
    [DISK] =
        {0, "disk", "SPEC...",
         "one more disk: name=data,size=1G,bus=virtio|nvme|usb;\nor path=FILE,format=raw|qcow2 "
         "or url=nbd://… instead of\nsize; read-only; direct (writes to the file itself)"},
    [NIC] = {0, "nic", "SPEC...",
             "instead of one NIC with NAT: kind=nat|isolated|bridged,\nnetwork=NAME,mac=ADDRESS; "
             "none for no network"},
    [SHARE] = {0, "share", "SPEC...", "a folder in the guest: name=src,path=DIR,read-only"},
    [FORWARD] = {0, "forward", "H:G...",
                 "port H of this host leads to port G of the guest;\nG alone: a free port"},
    [SCREEN] = {0, "screen", NULL, "a graphics card and a keyboard"},
    [VNC] = {0, "vnc", NULL, "and a VNC server on a unix socket"},
    [START] = {0, "start", NULL, "and start it"},
    [WAIT] = VT_OPTION_WAIT,
    {0},
};

/* Takes the next line of a text with one value a line; NULL at its end. */
static char *next_line(const char **text)
{
    if (!*text)
        return NULL;
    size_t n = strcspn(*text, "\n");
    char *line = vt_strndup(*text, n);
    *text = (*text)[n] ? *text + n + 1 : NULL;
    return line;
}

/* A path that a user typed in this folder is meant in this folder later, too. */
static enum vt_code absolute(json_t *object, const char *key, struct vt_error *err)
{
    const char *path = vt_json_str(object, key, NULL);
    if (!path)
        return VT_OK;
    char *full = realpath(path, NULL);
    if (!full)
        return vt_fail(err, VT_ENOTFOUND, "vm.create", "there is no %s", path);
    json_object_set_new(object, key, json_string(full));
    free(full);
    return VT_OK;
}

static enum vt_code add_specs(json_t *config, const char *key, const char *lines,
                              struct vt_error *err)
{
    static const char *const flags[] = {"read_only", "direct", NULL};
    enum vt_code code = VT_OK;
    if (!lines)
        return VT_OK;
    json_t *list = json_array();
    for (char *line; !code && (line = next_line(&lines));) {
        json_t *one = NULL;
        bool none = !strcmp(key, "nics") && !strcmp(line, "none");
        if (!none)
            code = !strcmp(key, "forwards") ? vt_spec_forward(line, &one, err)
                                            : vt_spec_parse(line, flags, &one, err);
        if (one)
            code = absolute(one, "path", err);
        if (one)
            json_array_append_new(list, one);
        vt_free(line);
    }
    json_object_set_new(config, key, list);
    return code;
}

static enum vt_code add_tart(json_t *config, const char *text, struct vt_error *err)
{
    static const char *const flags[] = {"suspendable", "same_serial", NULL};
    static const char *const files[] = {"key", "password_file"};
    json_t *tart = NULL;
    enum vt_code code = vt_spec_parse(text, flags, &tart, err);
    for (size_t i = 0; !code && i < sizeof files / sizeof *files; i++)
        code = absolute(tart, files[i], err);
    json_object_set_new(config, "tart", tart);
    return code;
}

static enum vt_code add_vz(json_t *config, const char *text, struct vt_error *err)
{
    static const char *const flags[] = {"nested", "clipboard", "automount", "recovery", NULL};
    json_t *vz = NULL;
    enum vt_code code = vt_spec_parse(text, flags, &vz, err);
    json_object_set_new(config, "vz", vz);
    return code;
}

static enum vt_code add_options(const struct vt_command *self, const char *const *v, json_t *config,
                                struct vt_error *err)
{
    static const struct {
        int option;
        const char *key;
    } texts[] = {{IMAGE, "image"},
                 {MEMORY, "memory"},
                 {CHANNEL, "channel"},
                 {ACCEL, "accel"},
                 {DRIVER, "driver"}},
      flags[] = {{SCREEN, "screen"}, {VNC, "vnc"}},
      lists[] = {{DISK, "disks"}, {NIC, "nics"}, {SHARE, "shares"}, {FORWARD, "forwards"}};
    int cpus = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (v[texts[i].option])
            json_object_set_new(config, texts[i].key, json_string(v[texts[i].option]));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (v[flags[i].option])
            json_object_set_new(config, flags[i].key, json_true());
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (add_specs(config, lists[i].key, v[lists[i].option], err))
            return err->code;
    if (v[TART] && add_tart(config, v[TART], err))
        return err->code;
    if (v[VZ] && add_vz(config, v[VZ], err))
        return err->code;
    if (v[CPUS] && !vt_cli_int(self, "--cpus", v[CPUS], 1, 256, &cpus))
        return VT_EINVAL;
    if (cpus)
        json_object_set_new(config, "cpus", json_integer(cpus));
    return VT_OK;
}

static enum vt_code read_config(const struct vt_command *self, const char *const *v,
                                json_t **config, struct vt_error *err)
{
    enum vt_code code = VT_OK;
    *config = NULL;
    if (v[CONFIG])
        code = vt_json_load(v[CONFIG], config, err);
    else
        *config = json_object();
    if (!code)
        code = add_options(self, v, *config, err);
    if (!code && !json_object_get(*config, "image") && !json_object_get(*config, "driver")) {
        code = vt_fail(err, VT_EINVAL, "vm.create", "name the image to make it from, by --image");
        vt_hint(err, "`vmtest image ls` shows those there are");
    }
    return code;
}

static int create_all(const struct vt_command *self, char *const *names, size_t count,
                      const json_t *config)
{
    for (size_t i = 0; i < count; i++) {
        struct vt_error err = VT_ERROR_INIT;
        const struct vt_named_opts opts = {
            .name = names[i], .config = config, .source = vt_json_str(config, "image", NULL)};
        if (vt_named_create(&opts, &err)) {
            vt_cli_error(self, &err);
            return err.code == VT_EBUSY ? VT_EXIT_USAGE : vt_vm_exit_code(&err);
        }
        printf("%s\n", names[i]);
        fflush(stdout);
    }
    return VT_EXIT_OK;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    json_t *config;
    char **names;
    size_t count;
    double wait;
    vt_drivers_init();
    if (!vt_cli_wait(self, values[WAIT], &wait) || !vt_vm_names(self, args, &names, &count))
        return VT_EXIT_USAGE;
    int code = VT_EXIT_USAGE;
    if (!read_config(self, values, &config, &err)) {
        code = create_all(self, names, count, config);
    } else if (err.code) {
        vt_cli_error(self, &err);
        code = vt_vm_exit_code(&err);
    }
    if (!code && values[START])
        code = vt_vm_start_all(self, names, count, wait);
    json_decref(config);
    vt_names_free(names, count);
    return code;
}

const struct vt_command vt_cmd_vm_create = {
    .name = "vm create",
    .args = "NAME...",
    .summary = "makes named VMs from an image; they stay till they are removed",
    .details =
        "A disk of its own is made when it first starts; making a VM takes milliseconds\n"
        "whatever the size of its image. Its name is printed on stdout. 'web-{1..3}' stands\n"
        "for three.",
    .example = "vmtest vm create web --image small --forward 8080:80\n"
               "vmtest vm create db -i bookworm -m 2G --disk name=data,size=10G,bus=nvme --start",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
