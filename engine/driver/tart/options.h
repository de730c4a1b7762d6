/* The "tart" object of a configuration. What each option means: docs/drivers.md. */
#ifndef VT_DRIVER_TART_OPTIONS_H
#define VT_DRIVER_TART_OPTIONS_H

#include <jansson.h>

#include "vmtest/error.h"

struct vt_tart_options {
    char *vm;            /* what is cloned: a name of `tart list`, or an image that was pulled */
    char *user;          /* for ssh; NULL: reached by `tart exec` */
    char *key;           /* private key: absolute path, or NULL */
    char *password_file; /* absolute path, or NULL */
    char *host_key;      /* "TYPE BASE64", or NULL: the first that is seen */
    char *resolver;      /* "dhcp", "arp", "agent"; NULL: each in turn */
    bool suspendable;    /* run so that it can be saved: snapshots */
    bool same_serial;    /* clones keep the serial number of what they are made of */
};

/* Reads strictly; `vm` is the VM's name, for messages. vt_tart_options_clear() in any case. */
enum vt_code vt_tart_options_read(const json_t *object, const char *vm, struct vt_tart_options *out,
                                  struct vt_error *err);
void vt_tart_options_clear(struct vt_tart_options *o);

#endif
