/* Commands and files in a guest. The same options and results serve every channel (ssh, agent,
 * simulated), and vt_vm_exec()/vt_vm_transfer() pass them on. */
#ifndef VMTEST_GUEST_H
#define VMTEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/loop.h"

#define VT_OUTPUT_LIMIT_DEFAULT ((size_t)1 << 20) /* 1 MiB kept of each stream */

enum vt_stream { VT_STDOUT, VT_STDERR };

/* Output as it arrives; `data` is valid during the call. */
typedef void (*vt_output_fn)(enum vt_stream stream, const char *data, size_t n, void *user);

struct vt_exec_opts {
    const char *command;     /* a line for the guest's POSIX shell, or NULL with argv set */
    const char *const *argv; /* NULL-terminated words, quoted for the guest's shell; no shell
                                construct in them is ever interpreted */
    const void *input;       /* standard input; NULL: end of file at once */
    size_t input_size;
    const char *const *env; /* NULL-terminated "NAME=value", names as [A-Za-z_][A-Za-z0-9_]*; seen
                               by the guest's own process list like any shell line there */
    const char *cwd;        /* folder in the guest; one that does not exist is an exit status */
    bool pty;               /* a terminal: stderr is merged into stdout, hang-up ends the command */
    double timeout;         /* seconds of wall-clock time, more than 0, on the loop's clock */
    size_t output_limit;    /* bytes kept of each stream; 0: VT_OUTPUT_LIMIT_DEFAULT */
    vt_output_fn on_output; /* may be NULL; sees everything, also beyond output_limit */
    void *output_user;
};

/* Result of an exec operation. When it fails by VT_ETIMEDOUT or VT_EGUEST, vt_op_result() still
 * gives what had arrived by then (status -1), or NULL where it never started. */
struct vt_exec_result {
    int status;            /* exit status; -1 where a signal ended it or it never told */
    const char *signal;    /* "TERM", "KILL", … without SIG (RFC 4254, 6.10), or NULL */
    const char *out, *err; /* bytes, NUL-terminated besides */
    size_t out_size, err_size;
    bool truncated;  /* more was written than output_limit */
    double duration; /* seconds */
};

enum vt_direction { VT_PUT, VT_GET }; /* host to guest, guest to host */

/* `done` bytes of `total` (0 where it is not known) of the whole transfer. */
typedef void (*vt_progress_fn)(uint64_t done, uint64_t total, const char *file, void *user);

struct vt_transfer_opts {
    enum vt_direction direction;
    const char *remote; /* path in the guest; for VT_PUT its parent folder must exist */
    const char *local;  /* host path of a file or a folder; NULL: memory (below) */
    const void *data;   /* VT_PUT from memory */
    size_t size;        /* of data */
    size_t limit;       /* VT_GET to memory: VT_ELIMIT for a larger file; 0: 1 MiB */
    unsigned mode;  /* VT_PUT of one file: permission bits; 0: those of the local file, or 0644 */
    bool verify;    /* compares the SHA-256 of each file that the guest itself computes
                       afterwards; VT_EIO on a difference, VT_EUNSUPPORTED where it has no
                       tool for it */
    double timeout; /* seconds, more than 0 */
    vt_progress_fn on_progress; /* may be NULL */
    void *progress_user;
};

/* Result of a transfer operation. Local files and folders appear under their name when they are
 * complete (written aside and renamed); symbolic links are not followed out of a folder and are
 * reported in `skipped`, as are devices and sockets. */
struct vt_transfer_result {
    uint64_t bytes;
    unsigned files, skipped;
    char sha256[65];  /* lowercase hex, of one file's bytes; "" for a folder */
    const char *data; /* VT_GET to memory: the bytes, NUL-terminated besides */
    size_t size;
    double duration; /* seconds */
};

#endif
