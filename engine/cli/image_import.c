/* vmtest image import FILE */
#include <stdio.h>
#include <string.h>

#include "cli/image_common.h"
#include "cli/import_disk.h"
#include "core/fs.h"
#include "core/mem.h"
#include "vmtest/run.h"
#include "vmtest/units.h"

#define TIMEOUT_S 1800.0

enum { AS, OS, ARCH, FIRMWARE, MEMORY, CPUS, SSH_USER, SSH_KEY, CLOUD_INIT };

static const struct vt_option options[] = {
    [AS] = {0, "as", "NAME", "the image's name (default: as it was called)"},
    [OS] = {0, "os", "OS", "of a disk: what runs on it (default: linux)"},
    [ARCH] = {0, "arch", "ARCH", "of a disk: x86_64 or aarch64 (default: this host's)"},
    [FIRMWARE] = {0, "firmware", "KIND", "of a disk: what boots it: bios or efi"},
    [MEMORY] = {0, "memory", "SIZE", "of a disk: what its VMs get (default: 1G)"},
    [CPUS] = {0, "cpus", "N", "of a disk: processors of its VMs (default: 1)"},
    [SSH_USER] = {0, "ssh-user", "USER", "of a disk: who logs in"},
    [SSH_KEY] = {0, "ssh-key", "FILE", "of a disk: private key of that user; it is copied"},
    [CLOUD_INIT] = {0, "cloud-init", NULL,
                    "of a disk: it has cloud-init, which is told to let\n--ssh-user (default: root)"
                    " in, by a new key"},
    {0},
};

/* What can be imported, by what it looks like. */
static const struct kind {
    bool (*is)(const char *path);
    enum vt_code (*import)(const char *path, const char *as, struct vt_image_transfer *transfer,
                           struct vt_error *err);
} kinds[] = {
    {vt_image_is_archive, vt_image_import},
    {vt_is_dir, vt_image_import_folder},
};

static const struct kind *kind_of(const char *path)
{
    if (!strcmp(path, "-"))
        return &kinds[0];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].is(path))
            return &kinds[i];
    return NULL;
}

static enum vt_code unknown(const char *path, struct vt_error *err)
{
    if (!vt_is_file(path))
        return vt_fail(err, VT_ENOTFOUND, "image.import", "there is no file %s", path);
    vt_fail(err, VT_EINVAL, "image.import",
            "%s is neither an archive of an image, nor a folder with an image.json, nor a disk that"
            " boots (raw, qcow2 or ISO)",
            path);
    return VT_EINVAL;
}

static int import_disk(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    struct vt_import_disk opts = {.name = args[1] ? args[1] : values[AS],
                                  .os = values[OS],
                                  .arch = values[ARCH],
                                  .firmware = values[FIRMWARE],
                                  .ssh_user = values[SSH_USER],
                                  .ssh_key = values[SSH_KEY],
                                  .cloud_init = values[CLOUD_INIT] != NULL,
                                  .timeout = TIMEOUT_S};
    if (values[MEMORY] && vt_parse_size(values[MEMORY], &opts.memory, &err))
        return vt_cli_usage(self, "--memory: %s; %s", err.message, err.hint);
    if (values[CPUS] && !vt_cli_int(self, "--cpus", values[CPUS], 1, 512, &opts.cpus))
        return VT_EXIT_USAGE;
    return vt_import_disk(self, args[0], &opts);
}

static int import_version(const struct vt_command *self, const char *const *values, char **args)
{
    struct vt_error err = VT_ERROR_INIT;
    for (int i = OS; i <= CLOUD_INIT; i++)
        if (values[i])
            return vt_cli_usage(self, "--%s is for disks; %s is none", options[i].name, args[0]);
    char title[] = "import", data[32], before[32];
    struct vt_image_transfer transfer = {.progress = vt_image_progress, .user = title};
    const struct kind *kind = kind_of(args[0]);
    enum vt_code code = kind
                            ? kind->import(args[0], args[1] ? args[1] : values[AS], &transfer, &err)
                            : unknown(args[0], &err);
    vt_image_progress_end();
    if (code)
        return vt_image_failed(self, &err);
    if (transfer.resumed)
        fprintf(stderr, "went on after %s of an import that was interrupted\n",
                vt_format_size(before, sizeof before, transfer.resumed));
    if (transfer.present)
        fprintf(stderr, "%s was in the store already\n", transfer.name);
    else
        fprintf(stderr, "imported %s: %s\n", transfer.name,
                vt_format_size(data, sizeof data, transfer.data));
    printf("%s\n", transfer.name);
    vt_free(transfer.name);
    return VT_EXIT_OK;
}

static int run(const struct vt_command *self, const char *const *values, char **args)
{
    if (args[1] && values[AS])
        return vt_cli_usage(self, "--as and \"%s\" are both the image's name", args[1]);
    bool disk = !kind_of(args[0]) && vt_is_importable_disk(args[0]);
    return (disk ? import_disk : import_version)(self, values, args);
}

const struct vt_command vt_cmd_image_import = {
    .name = "image import",
    .args = "FILE [NAME]",
    .summary = "adds an exported version, a folder with an image.json, or a disk to the store",
    .details =
        "FILE is an archive of `vmtest image export` (\"-\": standard input), a\n"
        "folder, or a disk as other machines boot it: raw, qcow2 or ISO, told by its content.\n"
        "An archive keeps its version's number; an import that was interrupted goes on when\n"
        "it is begun again. The new NAME@VERSION is printed on stdout.",
    .example = "vmtest image import bookworm.vmtest\nvmtest image import ./my-image mine\n"
               "vmtest image import debian-12-genericcloud.qcow2 debian12 --cloud-init\n"
               "vmtest image import installer.iso installer --firmware efi --memory 2G",
    .options = options,
    .min_args = 1,
    .max_args = 2,
    .run = run,
};
