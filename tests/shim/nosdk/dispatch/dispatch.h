#ifndef VT_NOSDK_DISPATCH_H
#define VT_NOSDK_DISPATCH_H

#include <stdint.h>

@class NSObject;
typedef NSObject *dispatch_queue_t;
typedef NSObject *dispatch_queue_attr_t;
typedef void (^dispatch_block_t)(void);
typedef uint64_t dispatch_time_t;

#define DISPATCH_QUEUE_SERIAL ((dispatch_queue_attr_t)0)
#define DISPATCH_TIME_NOW (0ull)
#define NSEC_PER_MSEC 1000000ull

dispatch_queue_t _Nonnull dispatch_queue_create(const char *_Nullable label,
                                                dispatch_queue_attr_t _Nullable attr);
void dispatch_async(dispatch_queue_t _Nonnull queue, dispatch_block_t _Nonnull block);
dispatch_time_t dispatch_time(dispatch_time_t when, int64_t delta);
void dispatch_after(dispatch_time_t when, dispatch_queue_t _Nonnull queue,
                    dispatch_block_t _Nonnull block);

#endif
