/* Timers on the loop's clock, real or virtual. */
#ifndef VT_LOOP_TIMER_H
#define VT_LOOP_TIMER_H

#include "vmtest/loop.h"

struct vt_timer {
    struct vt_loop *loop; /* NULL while not set */
    struct vt_timer *next, *prev;
    double due;
    void (*fire)(struct vt_timer *timer); /* called once; may set the timer again */
    void *user;
};

/* Sets (or sets anew) a timer owned by the caller, zero-initialised before its first use. */
void vt_timer_set(struct vt_timer *timer, struct vt_loop *loop, double seconds,
                  void (*fire)(struct vt_timer *), void *user);

/* Takes it back; no effect on one that is not set. */
void vt_timer_clear(struct vt_timer *timer);

bool vt_timer_is_set(const struct vt_timer *timer);

/* While held, a virtual clock stands still: something real is under way. */
void vt_loop_hold(struct vt_loop *loop);
void vt_loop_release(struct vt_loop *loop);

/* The libuv loop beneath, for handles of other rooms. */
struct uv_loop_s *vt_loop_uv(struct vt_loop *loop);

#endif
