/* The stand-in device: where its files are, who it is.
 *
 * All paths are below `root`, which is "" in a guest and a folder of its own in tests:
 *   ROOT/var/lib/vmtest-device   state, mode 0700
 *   ROOT/Library/Managed Preferences
 *   ROOT/usr/lib/vmtest-device   handlers/PAYLOAD-TYPE and actions/NAME (handlers.md) */
#ifndef VT_DEVICE_DEVICE_H
#define VT_DEVICE_DEVICE_H

#include <plist/plist.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmtest/error.h"

struct vtd {
    char *root;
    char *state;
    int lock;        /* held while a device is open for writing, else -1 */
    bool plain_http; /* http: is taken from any host, not from loopback alone */
    plist_t self;    /* who it is: UDID, SerialNumber, DeviceName, … (self.plist) */
};

/* `write`: waits for the device's lock, at most `seconds` (VT_EBUSY beyond), and makes the state
 * where there is none. Otherwise nothing is written; a device without state has an empty `self`.
 * vtd_close() also after a failure. */
enum vt_code vtd_open(struct vtd *d, const char *root, bool write, double seconds,
                      struct vt_error *err);
void vtd_close(struct vtd *d);

/* A path below the state's folder, or below the root; vt_free() it. */
char *vtd_state_path(const struct vtd *d, const char *fmt, ...) VT_PRINTF(2, 3);
char *vtd_root_path(const struct vtd *d, const char *fmt, ...) VT_PRINTF(2, 3);

/* Reads a property list of the state; NULL where there is none that can be read. plist_free() it.
 * Writing is flushed and whole or not at all, mode 0600. */
plist_t vtd_state_load(const struct vtd *d, const char *name);
enum vt_code vtd_state_save(const struct vtd *d, const char *name, plist_t tree,
                            struct vt_error *err);
void vtd_state_drop(const struct vtd *d, const char *name);

/* The name under which effects of a payload are kept: 16 hexadecimal digits, made of the profile's
 * identifier and the payload's UUID (see handlers.md). out: 17 bytes. */
void vtd_payload_key(const char *profile, const char *uuid, char *out);

/* Lowercase hexadecimal SHA-256 of n bytes. out: 65 bytes. */
void vtd_sha256_hex(const void *data, size_t n, char *out);

/* Seconds since 1970 as a date of a property list, and back. */
plist_t vtd_date(double wall);

#endif
