/* A QEMU process and its machine protocol, for the guest behind the fake framework: calls that wait
 * for their reply, from any thread but the monitor's own.
 *
 * The monitor's thread starts QEMU, so that the kernel can kill QEMU when this process dies
 * (PR_SET_PDEATHSIG goes by the thread that forked), reads what it says and waits for its end. */
#ifndef VT_TESTS_SHIM_QEMU_MONITOR_H
#define VT_TESTS_SHIM_QEMU_MONITOR_H

#include <jansson.h>
#include <stdbool.h>

#include "core/args.h"
#include "guest.h"

/* Descriptors that QEMU finds; see qemu_argv.c. */
enum { QEMU_FD_MONITOR = 3, QEMU_FD_AGENT = 4 };

struct monitor;

struct monitor_opts {
    const struct vt_args *args;
    int in, out;        /* its standard input and output: the serial port; -1: /dev/null */
    int agent;          /* becomes QEMU_FD_AGENT; -1: none */
    guest_ended *ended; /* see guest.h */
    void *user;
};

/* Returns when QEMU takes commands; NULL with why. */
struct monitor *monitor_start(const struct monitor_opts *opts, char why[GUEST_WHY]);

/* Sends a command and waits for its reply. Takes over `arguments` (may be NULL). *result (may be
 * NULL) is a new reference. */
bool monitor_ask(struct monitor *m, const char *command, json_t *arguments, json_t **result,
                 char why[GUEST_WHY]);

/* Gives QEMU a descriptor by a name, for URIs "fd:NAME"; it stays the caller's. */
bool monitor_give(struct monitor *m, const char *name, int fd, char why[GUEST_WHY]);

/* Kills what still runs, waits for its end, and frees. `ended` is not called any more. */
void monitor_end(struct monitor *m);

#endif
