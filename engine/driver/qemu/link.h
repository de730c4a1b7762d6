/* The sockets that lead to a QEMU, whichever process started it: QMP and the serial console. */
#ifndef VT_DRIVER_QEMU_LINK_H
#define VT_DRIVER_QEMU_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtest/loop.h"

enum vt_qemu_socket { VT_QEMU_QMP, VT_QEMU_CONSOLE, VT_QEMU_SOCKETS };

struct vt_qemu_link;

struct vt_qemu_link_handler {
    void (*data)(enum vt_qemu_socket which, const char *data, size_t n, void *user);
    /* The other side closed it, after all its data. */
    void (*closed)(enum vt_qemu_socket which, void *user);
    void *user;
};

struct vt_qemu_link *vt_qemu_link_new(struct vt_loop *loop,
                                      const struct vt_qemu_link_handler *handler);

/* Closes all of it; no callback comes any more. */
void vt_qemu_link_free(struct vt_qemu_link *link);

/* Takes over a connected socket and reads from it. */
void vt_qemu_link_open(struct vt_qemu_link *link, enum vt_qemu_socket which, int fd);
bool vt_qemu_link_is_open(const struct vt_qemu_link *link, enum vt_qemu_socket which);

/* To a closed one nothing is written: that it is closed has been told. */
void vt_qemu_link_write(struct vt_qemu_link *link, enum vt_qemu_socket which, const char *data,
                        size_t n);

/* The same with a descriptor, which stays the caller's. False where that cannot be now. */
bool vt_qemu_link_write_fd(struct vt_qemu_link *link, enum vt_qemu_socket which, const char *data,
                           size_t n, int fd);

/* Bytes that were written and not taken yet. */
size_t vt_qemu_link_unwritten(const struct vt_qemu_link *link, enum vt_qemu_socket which);

/* A listening unix socket at `path`, which is replaced; and a connection to one, which never waits.
 * A descriptor, or -1 with *err set. */
int vt_qemu_socket_listen(const char *path, struct vt_error *err);
int vt_qemu_socket_connect(const char *path, struct vt_error *err);

/* False where a socket's address cannot hold this path. */
bool vt_qemu_socket_path_fits(const char *path);

#endif
