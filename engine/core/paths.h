/* Where vmtest keeps its files on this host.
 *
 *   home     $VMTEST_HOME, else $XDG_DATA_HOME/vmtest, else ~/.local/share/vmtest
 *            (macOS: ~/Library/Application Support/vmtest): images, caches, disks of running VMs
 *   runtime  $VMTEST_RUNTIME_DIR, else $XDG_RUNTIME_DIR/vmtest, else /tmp/vmtest-UID: a folder for
 *            each live run, with sockets and locks; short, since a socket's path is (108 bytes)
 *
 * Folders are made on first use with mode 0700; a runtime folder that belongs to somebody else is
 * refused. Results are vt_free()d by the caller; NULL with *err set on failure. */
#ifndef VT_CORE_PATHS_H
#define VT_CORE_PATHS_H

#include "vmtest/error.h"

char *vt_home_dir(const char *sub, struct vt_error *err);    /* sub: "images", … or NULL */
char *vt_runtime_dir(const char *sub, struct vt_error *err); /* sub: a run's id, or NULL */

#endif
