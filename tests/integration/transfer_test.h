/* What the contracts of transfers share: files of the host, and transfers that must work. */
#ifndef VT_TESTS_TRANSFER_TEST_H
#define VT_TESTS_TRANSFER_TEST_H

#include "channel_test.h"

void write_local(const char *path, const char *data, size_t n, unsigned mode);
void assert_file(const char *path, const char *data, size_t n, unsigned mode);

/* Entries of a folder, besides . and .. */
int entries(const char *path);

struct outcome transfer_ok(struct rig *r, const struct vt_transfer_opts *opts);

struct progress {
    uint64_t last, total;
    int calls;
};

/* user is a struct progress: it only grows, and names a file. */
void on_progress(uint64_t done, uint64_t total, const char *file, void *user);

#endif
