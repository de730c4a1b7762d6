/* The "vz" object of a configuration: what the framework has and other drivers do not. What each
 * option means: docs/drivers.md. */
#ifndef VT_DRIVER_VZ_OPTIONS_H
#define VT_DRIVER_VZ_OPTIONS_H

#include "vmtest/vm.h"

struct vt_vz_options {
    char *rosetta;      /* tag of the share with Apple's translator; NULL: none */
    bool nested;        /* virtual machines inside the guest */
    bool clipboard;     /* a Spice agent port */
    bool screen;        /* a screen of this size, with keyboard and pointer */
    int width, height;  /* pixels */
    int ppi;            /* 0: the helper's default */
    bool vmnet;         /* the interfaces with NAT are on a network of vmnet */
    char *vmnet_mode;   /* "shared", "host"; NULL: "shared" */
    char *subnet;       /* "192.168.77.0/24"; NULL: the system chooses */
    bool automount;     /* a macOS guest mounts its shares by itself */
    bool recovery;      /* each start is into recovery */
    char *disk_caching; /* of disks that are files; NULL: the framework's default */
    char *disk_sync;    /* the same */
};

/* Reads config->vz (NULL: all defaults) strictly, and refuses what does not go with the rest of the
 * configuration: VT_EINVAL. vt_vz_options_clear() in any case. */
enum vt_code vt_vz_options_read(const struct vt_vm_config *config, struct vt_vz_options *out,
                                struct vt_error *err);
void vt_vz_options_clear(struct vt_vz_options *o);

#endif
