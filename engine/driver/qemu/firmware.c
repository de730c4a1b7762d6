#include "driver/qemu/firmware.h"

#include <string.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "driver/qemu/argv.h"

#define VARS_MAX ((size_t)128 << 20)

/* Where packages put EFI firmware. x86-64: code and variables apart, as flash; arm64: one file. */
static const struct place {
    const char *arch, *code, *vars;
} places[] = {
    {"x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
    {"x86_64", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
    {"x86_64", "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
    {"x86_64", "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
    {"x86_64", "/opt/homebrew/share/qemu/edk2-x86_64-code.fd",
     "/opt/homebrew/share/qemu/edk2-i386-vars.fd"},
    {"aarch64", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", NULL},
    {"aarch64", "/usr/share/AAVMF/AAVMF_CODE.fd", NULL},
    {"aarch64", "/usr/share/edk2/aarch64/QEMU_EFI.fd", NULL},
};

enum vt_code vt_qemu_firmware_find(const struct vt_image *image, struct vt_qemu_firmware *out,
                                   struct vt_error *err)
{
    bool x86 = !strcmp(image->arch, "x86_64");
    *out = (struct vt_qemu_firmware){0};
    if (image->kernel || (x86 && (!image->firmware || strcmp(image->firmware, "efi") != 0)))
        return VT_OK;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct place *p = &places[i];
        if (strcmp(p->arch, image->arch) != 0 || !vt_is_file(p->code) ||
            (p->vars && !vt_is_file(p->vars)))
            continue;
        out->code = vt_strdup(p->code);
        out->vars = vt_strdup(p->vars);
        return VT_OK;
    }
    if (!x86) {
        out->code = vt_strdup("edk2-aarch64-code.fd"); /* QEMU's own, by its own search */
        return VT_OK;
    }
    vt_fail(err, VT_ENOTFOUND, "vm.new",
            "the image \"%s\" boots by EFI, and this host has no firmware"
            " for that",
            image->name);
    vt_hint(err, "it is in Debian's package ovmf");
    return VT_ENOTFOUND;
}

void vt_qemu_firmware_clear(struct vt_qemu_firmware *firmware)
{
    vt_free(firmware->code);
    vt_free(firmware->vars);
    *firmware = (struct vt_qemu_firmware){0};
}

enum vt_code vt_qemu_firmware_copy_vars(const struct vt_qemu_firmware *firmware, const char *path,
                                        struct vt_error *err)
{
    if (!firmware->vars || vt_is_file(path))
        return VT_OK;
    struct vt_buf data = VT_BUF_INIT;
    enum vt_code code = vt_read_file(firmware->vars, VARS_MAX, &data, err);
    if (!code)
        code = vt_write_file_unflushed(path, data.data, data.len, 0600, err);
    vt_buf_free(&data);
    return code;
}

void vt_qemu_argv_firmware(struct vt_args *args, const struct vt_qemu_firmware *firmware,
                           const char *vars)
{
    if (!firmware || !firmware->code)
        return;
    if (!firmware->vars) {
        vt_qemu_option(args, "-bios", firmware->code);
        return;
    }
    vt_qemu_path_option(args, "-drive",
                        "if=pflash,unit=0,format=raw,readonly=on,file=", firmware->code, "");
    vt_qemu_path_option(args, "-drive", "if=pflash,unit=1,format=raw,cache=unsafe,file=", vars, "");
}

void vt_qemu_argv_media(struct vt_args *args, const struct vt_image *image)
{
    if (image->iso) {
        vt_qemu_path_option(args, "-drive",
                            "if=none,id=cd0,media=cdrom,format=raw,readonly=on,file=", image->iso,
                            "");
        /* q35 has the drive that installers of all systems know; virt has none of its own */
        bool x86 = !strcmp(image->arch, "x86_64"), boots = !image->kernel && !image->disk;
        if (!x86)
            vt_qemu_option(args, "-device", "virtio-scsi-pci,id=cd");
        vt_args_add(args, "-device");
        vt_args_printf(args, "%s,drive=cd0%s", x86 ? "ide-cd" : "scsi-cd",
                       boots ? ",bootindex=0" : "");
    }
    if (image->seed) {
        vt_qemu_path_option(args, "-drive",
                            "if=none,id=seed,format=raw,readonly=on,file=", image->seed, "");
        vt_qemu_option(args, "-device", "virtio-blk-pci,drive=seed,serial=seed");
    }
}
