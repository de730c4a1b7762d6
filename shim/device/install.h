/* Profiles put in and taken out as a whole: all effects and the record, or nothing.
 *
 * What is under way is written down first (pending.plist), so that the next vtd_recover() takes
 * back what a kill or a power cut left half done. */
#ifndef VT_DEVICE_INSTALL_H
#define VT_DEVICE_INSTALL_H

#include "device/chain.h"
#include "device/device.h"

struct vtd_install_opts {
    bool by_mdm;        /* the server's; else a person's */
    const char *source; /* "Declarative Device Management", or NULL */
};

/* Installs, or replaces the profile of the same PayloadIdentifier. Where a payload fails, what was
 * there before is there again. */
bool vtd_install(const struct vtd *d, const void *data, size_t n,
                 const struct vtd_install_opts *opts, struct vtd_chain *chain);

/* Removes it and its effects. A handler that fails stops nothing: the profile is gone, the fault
 * is in the chain, and true is returned. */
bool vtd_uninstall(const struct vtd *d, const char *identifier, bool by_mdm,
                   struct vtd_chain *chain);

/* The enrollment is over: its profile and all that MDM installed go. */
void vtd_unenroll(const struct vtd *d, struct vtd_chain *chain);

/* Ends what was under way when the device was killed. To be called after vtd_open(write). */
void vtd_recover(const struct vtd *d);

#endif
