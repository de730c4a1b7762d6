/* The guest behind the fake framework: what runs where Apple's hypervisor would.
 *
 * One process has one guest at a time. Every function below is called on the VM's dispatch queue,
 * never two at once, and may block for as long as the real thing would take. A function that fails
 * returns false (or NULL, or -1) and writes why, a short English text, into `why`.
 *
 * Which one is used: "none" (guest_none.c, pure state) or what VMTEST_FAKE_VZ_GUEST names. */
#ifndef VT_TESTS_SHIM_GUEST_H
#define VT_TESTS_SHIM_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_WHY 256 /* bytes of a reason, with its NUL */

struct guest; /* of the implementation */

struct guest_disk {
    const char *path; /* of a raw image; NULL where nbd is set */
    const char *nbd;  /* "nbd://…", "nbd+unix://…" */
    const char *bus;  /* "virtio", "nvme", "usb" */
    const char *id;   /* the serial number that the guest sees, or NULL */
    bool read_only;
};

/* A share of several directories is one of these for each, with the same tag. */
struct guest_share {
    const char *tag;
    const char *name; /* of this directory inside the share; NULL: it is the share */
    const char *path;
    bool read_only;
};

struct guest_nic {
    const char *mac;  /* "02:00:00:11:22:33" */
    const char *kind; /* "nat", "bridged", "vmnet" */
};

/* Borrowed for the call of start() only. All paths are absolute. */
struct guest_config {
    const char *boot;      /* "linux", "efi", "macos" */
    const char *kernel;    /* linux */
    const char *initrd;    /* linux, or NULL */
    const char *cmdline;   /* linux; "" where there is none */
    const char *variables; /* efi: the variable store */
    uint64_t memory;       /* bytes */
    unsigned cpus;
    const struct guest_disk *disks;
    size_t disk_count;
    const struct guest_share *shares;
    size_t share_count;
    const struct guest_nic *nics;
    size_t nic_count;
    int console_out; /* descriptor that the serial port writes to, -1: no serial port. Open for as
                        long */
    int console_in;  /* as the guest lives, but still the caller's. console_in: read from, or -1 */
    bool vsock;      /* it has a socket device */
    bool usb;        /* it has a USB controller, for plug() */
    const char
        *restore; /* a file that save() wrote: the guest starts paused, where it was; or NULL */
};

/* The guest ended by itself: error NULL, it powered off; else it crashed, and why. Called at most
 * once for each start, from any thread, never from inside a function below, and never after stop()
 * returned. */
typedef void guest_ended(void *user, const char *error);

struct guest_ops {
    const char *name; /* "none", "qemu" */

    /* Returns when the guest's processors run, or when it is restored and paused. */
    struct guest *(*start)(const struct guest_config *config, guest_ended *ended, void *user,
                           char why[GUEST_WHY]);
    bool (*pause)(struct guest *guest, char why[GUEST_WHY]);
    bool (*resume)(struct guest *guest, char why[GUEST_WHY]);
    /* Asks the guest to power off, as a power button does; `ended` follows where it obeys. */
    bool (*request_stop)(struct guest *guest, char why[GUEST_WHY]);
    /* Of a paused guest, into a file that does not exist; it stays paused. */
    bool (*save)(struct guest *guest, const char *path, char why[GUEST_WHY]);
    /* A connected stream to this vsock port of the guest, the caller's to close; -1 where the guest
     * refuses it. */
    int (*connect)(struct guest *guest, uint32_t port, char why[GUEST_WHY]);
    /* Plugs a USB disk into a running or paused guest, under a number of its own, or takes it out.
     */
    bool (*plug)(struct guest *guest, unsigned number, const struct guest_disk *disk,
                 char why[GUEST_WHY]);
    bool (*unplug)(struct guest *guest, unsigned number, char why[GUEST_WHY]);
    /* Ends it hard if it still runs, and frees it. Also called after `ended`. */
    void (*stop)(struct guest *guest);
};

extern const struct guest_ops guest_none;
/* guest_qemu.c: a real QEMU process. Where it is not linked in, asking for it ends the helper. */
extern const struct guest_ops guest_qemu __attribute__((weak));

/* The one that VMTEST_FAKE_VZ_GUEST names, else guest_none. Ends the process on an unknown name. */
const struct guest_ops *guest_chosen(void);

#endif
