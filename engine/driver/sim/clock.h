/* The guest's own time: it stands still while the VM is paused. */
#ifndef VT_DRIVER_SIM_CLOCK_H
#define VT_DRIVER_SIM_CLOCK_H

#include "loop/timer.h"

struct vt__sim_timer;

struct vt__sim_clock {
    struct vt_loop *loop;
    bool frozen;
    struct vt__sim_timer *timers; /* those that are set */
};

struct vt__sim_timer {           /* zero-initialised before its first use */
    struct vt__sim_clock *clock; /* NULL while not set */
    struct vt__sim_timer *next, *prev;
    struct vt_timer timer;
    double left; /* seconds, while frozen */
    void (*fire)(struct vt__sim_timer *timer);
    void *user;
};

void vt__sim_timer_set(struct vt__sim_timer *timer, struct vt__sim_clock *clock, double seconds,
                       void (*fire)(struct vt__sim_timer *), void *user);
void vt__sim_timer_clear(struct vt__sim_timer *timer);

void vt__sim_clock_freeze(struct vt__sim_clock *clock, bool frozen);

#endif
