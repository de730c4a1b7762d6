/* The calls of libdispatch that shim/vz makes, for the build over GNUstep. */
#ifndef VT_TESTS_SHIM_DISPATCH_H
#define VT_TESTS_SHIM_DISPATCH_H

#include <stdint.h>

typedef struct fake_queue *dispatch_queue_t;
typedef void (^dispatch_block_t)(void);
typedef uint64_t dispatch_time_t;

#define DISPATCH_QUEUE_SERIAL ((const void *)0)
#define DISPATCH_TIME_NOW ((dispatch_time_t)0)
#define NSEC_PER_MSEC 1000000ull

dispatch_queue_t dispatch_queue_create(const char *label, const void *attributes);
void dispatch_async(dispatch_queue_t queue, dispatch_block_t block);
dispatch_time_t dispatch_time(dispatch_time_t when, int64_t nanoseconds);
void dispatch_after(dispatch_time_t when, dispatch_queue_t queue, dispatch_block_t block);

int fake_is_on_queue(dispatch_queue_t queue); /* not libdispatch's: for the rules of the fake */

#endif
