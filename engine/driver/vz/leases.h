/* The addresses that macOS gave to the guests of its NAT network: /var/db/dhcpd_leases, as bootpd
 * writes it (blocks in braces, a `name=value` on each line). */
#ifndef VT_DRIVER_VZ_LEASES_H
#define VT_DRIVER_VZ_LEASES_H

#include <stdbool.h>
#include <stddef.h>

#define VT_VZ_LEASES "/var/db/dhcpd_leases"
#define VT_VZ_LEASES_MAX ((size_t)4 << 20) /* bytes of the file that are read */
#define VT_VZ_ADDRESS_MAX 46

/* The address of the newest lease of this MAC address ("52:54:00:0a:0b:0c"; the file leaves out
 * leading zeros). False where there is none. */
bool vt_vz_lease_find(const char *text, size_t n, const char *mac, char out[VT_VZ_ADDRESS_MAX]);

#endif
