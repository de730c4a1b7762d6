/* The Lua host: one lua_State and one loop for one job.
 *
 * All Lua code runs in tasks (task.h); the root task is the runner (vmtest/runner.lua). What must
 * be cleaned up (VMs, operations, folders) is owned here in C and let go of at the end of its
 * scope, or of the job, whatever the Lua code did. */
#ifndef VTL_HOST_H
#define VTL_HOST_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "line.h"
#include "vmtest/event.h"
#include "vmtest/job.h"
#include "vmtest/loop.h"

struct vtl_mdm;
struct vtl_task;
struct vtl_vm;

/* What was printed and is not yet an event. */
struct vtl_output {
    const char *stream; /* "stdout", "stderr", or NULL: nothing is pending */
    char *text;
    size_t len, cap;
    size_t told; /* bytes since the last test began; above the limit they are dropped */
    bool cut;
};

struct vtl_host {
    const struct vt_job *job;
    struct vt_event_writer *events;
    struct vt_loop *loop;
    lua_State *L;
    struct vtl_line line; /* the event being built */
    struct vtl_output output;

    struct vtl_task *current; /* whose code runs; NULL in the loop */
    lua_State *running;       /* the thread that runs: the task's own or a coroutine it resumed */
    struct vtl_task *tasks;   /* all of them */
    int idle_ref;             /* registry: a thread kept for the next task, or LUA_NOREF */
    unsigned quiet;           /* more than 0: code runs that may not wait (on_output) */
    bool stopping;            /* told to stop; what is interrupted was */

    int exit_code;                      /* of the last os.exit() */
    double test_began, test_began_wall; /* the running test, on the loop's clock and vtl_now() */

    struct vtl_vm *vms;   /* all that exist */
    struct vtl_mdm *mdms; /* all that are open */
    char *snapshots_dir;  /* of the job's own snapshots, which go with it; NULL: there are none */
    bool left_running;    /* a VM was, which may need them */
    int scope;            /* enum vtl_scope: what a VM made now belongs to */
    bool load_error, infrastructure;

    size_t memory, memory_limit, memory_reserve;
    bool memory_denied; /* since the last guard ended */
    bool list_only;
};

enum vtl_scope { VTL_SCOPE_SUITE = 1, VTL_SCOPE_CLASS = 2, VTL_SCOPE_TEST = 3 };

/* The host a state belongs to. */
struct vtl_host *vtl_host(lua_State *L);

/* Seconds on the monotonic clock. */
double vtl_now(void);

/* Memory for C structures: never NULL, the process ends where there is none. */
void *vtl_alloc(size_t n); /* zeroed */
char *vtl_strdup(const char *s);

/* What the host itself may use beyond the job's limit, when the suite has used all. */
#define VTL_MEMORY_RESERVE ((size_t)16 << 20)

/* The allocator of the Lua state, with the job's limit. */
void *vtl_lua_alloc(void *host, void *p, size_t old_size, size_t new_size);

/* Appends what the suite printed, in order with the events. */
void vtl_output_add(struct vtl_host *h, const char *stream, const char *text, size_t n);
void vtl_output_flush(struct vtl_host *h);
/* Replaces print, io.stdout and io.stderr. Raises. */
void vtl_output_open(lua_State *L);

/* One turn of the loop: events are written out, then something is waited for and handled. */
void vtl_host_turn(struct vtl_host *h);

/* Begins an event: pending output first, so that the order is kept. */
struct vtl_line *vtl_event(struct vtl_host *h, const char *type);
void vtl_event_end(struct vtl_host *h);
void vtl_event_log(struct vtl_host *h, const char *level, const char *text);

/* The Lua files of the face, built in (made by CMake). */
struct vtl_embedded {
    const char *name;  /* module: "vmtest", "vmtest.runner" */
    const char *chunk; /* chunk name: "=[vmtest] runner.lua" */
    const unsigned char *data;
    size_t size;
};
extern const struct vtl_embedded vtl_embedded[];

/* The chunk name of every file of the face starts with it: it is left out of traces, and errors
 * are placed at the suite's line instead. */
#define VTL_CHUNK_PREFIX "=[vmtest]"

#endif
