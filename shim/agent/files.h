/* What the two parts of the file server share: requests, and what answers them. */
#ifndef VT_AGENT_FILES_H
#define VT_AGENT_FILES_H

#include <sys/stat.h>

#include "frame.h"

enum {
    REQUEST_OPEN = 3,
    REQUEST_CLOSE = 4,
    REQUEST_READ = 5,
    REQUEST_WRITE = 6,
    REQUEST_LSTAT = 7,
    REQUEST_FSTAT = 8,
    REQUEST_SETSTAT = 9,
    REQUEST_FSETSTAT = 10,
    REQUEST_OPENDIR = 11,
    REQUEST_READDIR = 12,
    REQUEST_MKDIR = 14,
    REQUEST_STAT = 17,
    REQUEST_EXTENDED = 200
};

enum { OPEN_READ = 1, OPEN_WRITE = 2, OPEN_CREATE = 8, OPEN_TRUNCATE = 16 };
enum { ATTR_SIZE = 1, ATTR_OWNER = 2, ATTR_MODE = 4 };

struct files;

struct request {
    struct files *files;
    uint32_t channel, id;
    struct vt__fields fields;  /* those that were not taken yet */
    unsigned char *reply, *at; /* of a reply that is being made */
};

/* Each answers the request; reply_errno() by a status, 0 is success. */
void reply_errno(struct request *r, int sys);
void reply_end_of_file(struct request *r);
void reply_handle(struct request *r, uint32_t handle);
void reply_stat(struct request *r, const struct stat *st);
void reply_space(struct request *r, const char *path);

/* The place for up to `most` bytes of data; then how many there are, or another reply instead. */
unsigned char *reply_data_begin(struct request *r, size_t most);
void reply_data_end(struct request *r, size_t n);

/* Names while there is room for one more, or another reply instead. */
void reply_names_begin(struct request *r);
bool reply_names_room(const struct request *r);
void reply_names_add(struct request *r, const char *name, const struct stat *st);
void reply_names_end(struct request *r, uint32_t count);

#endif
