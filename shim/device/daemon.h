/* The part of the device that runs all the time: polls when it is woken (what a push would do), and
 * by the clock where that is asked for. */
#ifndef VT_DEVICE_DAEMON_H
#define VT_DEVICE_DAEMON_H

#include <stdbool.h>

#include "vmtest/error.h"

/* Listens on ROOT/run/vmtest-device/wake, a datagram socket for root alone; each datagram is a
 * wake-up. interval: seconds between polls without one; 0: none. A poll that fails is tried again
 * after 5 s, then after twice as long each time, up to 5 minutes. Returns only on failure. */
enum vt_code vtd_daemon(const char *root, bool plain_http, double interval, struct vt_error *err);

/* Wakes the daemon; VT_ENOTFOUND where none runs. */
enum vt_code vtd_wake(const char *root, struct vt_error *err);

#endif
