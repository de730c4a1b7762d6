/* The helper's core in a process of its own over vz_backend.h, and clients of it. What fails, fails
 * the test. */
#ifndef VT_TESTS_VZ_PEER_H
#define VT_TESTS_VZ_PEER_H

#include <jansson.h>
#include <sys/types.h>

#include "core/buf.h"

struct helper {
    pid_t pid;
    char dir[64], socket[96];
    int tie; /* our end */
};

struct peer {
    int fd;
    struct vt_buf in;
};

#define CREATE(more)                                                                               \
    "{\"id\": 1, \"op\": \"create\", \"config\": {\"cpus\": 2, \"memory\": 1048576, \"boot\": "    \
    "{\"kind\": \"efi\", \"variables\": \"/v\"}" more "}}\n"

int setup(void **state);      /* *state is a helper */
int setup_slow(void **state); /* whose operations take long enough for what a test does meanwhile */
int setup_hung(void **state); /* whose operations never end */
int teardown(void **state);

/* In the helper's process: what crashes it ends it. cmocka's handlers would go on there with the
 * tests, each of which makes a process. */
void crash_for_good(void);

/* Its exit code, or a signal's number below 0, once it has ended; -1000: it does not. */
int end_of(struct helper *h);

int dial(const char *path);
struct peer join(const struct helper *h);
void leave(struct peer *p);
void say(struct peer *p, const char *text);

/* The next message; NULL at the end of the connection. */
json_t *next(struct peer *p);

/* The reply to `id` (-1: null), past events. */
json_t *reply(struct peer *p, json_int_t id);
void expect(struct peer *p, json_int_t id, const char *state, int code, const char *words);

/* Waits till it is told that the VM's state is this. */
void await_state(struct peer *p, const char *state);

#endif
