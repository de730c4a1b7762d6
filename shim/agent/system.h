/* What differs between the systems that the agent runs on: system_linux.c, system_darwin.c. */
#ifndef VT_AGENT_SYSTEM_H
#define VT_AGENT_SYSTEM_H

#include <pwd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- vsock ---- */

/* A socket that listens and never waits, or -1 with errno set: this kernel may have no vsock, yet.
 */
int system_vsock_listen(uint32_t number);

/* False where this connection comes by vsock from anybody but the host: the guest's own users, or
 * guests of this guest. */
bool system_vsock_from_host(int fd);

/* Writes to a vsock connection wait: where they did not, this system would lose bytes. */
extern const bool system_vsock_write_waits;

/* ---- a device of the hypervisor ---- */

/* Opens the port of this name, or, with a slash, the device at this path, without waiting; -1 with
 * errno set where it is not there, yet. */
int system_port_open(const char *name);

/* Waits a moment for somebody at the host's end of the open port, where nobody is. */
void system_port_await(int fd);

/* ---- the system's state ---- */

/* Adds the seed (up to SYSTEM_SEED_MOST bytes) to the kernel's random pool, and has it taken into
 * use. 0 or an errno. Root's to do. */
enum { SYSTEM_SEED_MOST = 512 };
int system_seed(const unsigned char *seed, size_t n);

/* The user that this process runs as, or NULL; the system's own, up to the next call. */
const struct passwd *system_user(void);

/* A folder to be entered, closed at exec; -1 with errno set. */
int system_folder_open(const char *path);

#endif
