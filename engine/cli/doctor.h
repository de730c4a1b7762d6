/* What the files of `vmtest doctor` share. */
#ifndef VT_CLI_DOCTOR_H
#define VT_CLI_DOCTOR_H

#include <jansson.h>

#include "vmtest/apple.h"
#include "vmtest/error.h"

enum vt_doctor_level { VT_DOCTOR_OK, VT_DOCTOR_WARNING, VT_DOCTOR_ERROR };

struct vt_doctor {
    json_t *lines;
    enum vt_doctor_level worst;
};

/* doctor_tell.c */
/* One line; `remedy` (what to do) may be NULL. */
void vt_doctor_tell(struct vt_doctor *r, enum vt_doctor_level level, const char *topic,
                    const char *remedy, const char *fmt, ...) VT_PRINTF(5, 6);
void vt_doctor_tell_error(struct vt_doctor *r, enum vt_doctor_level level, const char *topic,
                          const struct vt_error *err);

/* doctor_host.c */
/* Programs and files that some VMs need: what is missing, what is not possible then. */
void vt_doctor_tools(struct vt_doctor *r);
/* Tart and its version, where it is there. */
void vt_doctor_tart(struct vt_doctor *r);
/* The host's limits, and who holds what of them. */
void vt_doctor_capacity(struct vt_doctor *r);

/* doctor_apple.c */
/* What Apple's Virtualization framework can do on such a host, and what not, why. */
void vt_doctor_apple(struct vt_doctor *r, const struct vt_apple_place *host);

#endif
