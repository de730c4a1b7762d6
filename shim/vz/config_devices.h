/* The arrays of CONFIG; `list` may be NULL. */
#ifndef VT_VZ_CONFIG_DEVICES_H
#define VT_VZ_CONFIG_DEVICES_H

#include <jansson.h>

#include "vz/config.h"

void vtz_read_disks(struct vtz_config *config, const json_t *list, struct vtz_failure *failure);
void vtz_read_nics(struct vtz_config *config, const json_t *list, struct vtz_failure *failure);
void vtz_read_shares(struct vtz_config *config, const json_t *list, struct vtz_failure *failure);
void vtz_read_ports(struct vtz_config *config, const json_t *list, struct vtz_failure *failure);

#endif
