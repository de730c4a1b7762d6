#include "driver/sim/clock.h"

static void unlink_timer(struct vt__sim_timer *timer)
{
    if (timer->prev)
        timer->prev->next = timer->next;
    else
        timer->clock->timers = timer->next;
    if (timer->next)
        timer->next->prev = timer->prev;
    timer->next = timer->prev = NULL;
    timer->clock = NULL;
}

static void on_due(struct vt_timer *inner)
{
    struct vt__sim_timer *timer = inner->user;
    unlink_timer(timer);
    timer->fire(timer);
}

void vt__sim_timer_set(struct vt__sim_timer *timer, struct vt__sim_clock *clock, double seconds,
                       void (*fire)(struct vt__sim_timer *), void *user)
{
    vt__sim_timer_clear(timer);
    timer->clock = clock;
    timer->fire = fire;
    timer->user = user;
    timer->left = seconds;
    timer->next = clock->timers;
    if (clock->timers)
        clock->timers->prev = timer;
    clock->timers = timer;
    if (!clock->frozen)
        vt_timer_set(&timer->timer, clock->loop, seconds, on_due, timer);
}

void vt__sim_timer_clear(struct vt__sim_timer *timer)
{
    if (!timer->clock)
        return;
    vt_timer_clear(&timer->timer);
    unlink_timer(timer);
}

void vt__sim_clock_freeze(struct vt__sim_clock *clock, bool frozen)
{
    if (clock->frozen == frozen)
        return;
    clock->frozen = frozen;
    double now = vt_loop_now(clock->loop);
    for (struct vt__sim_timer *timer = clock->timers; timer; timer = timer->next) {
        if (frozen) {
            timer->left = timer->timer.due > now ? timer->timer.due - now : 0;
            vt_timer_clear(&timer->timer);
        } else {
            vt_timer_set(&timer->timer, clock->loop, timer->left, on_due, timer);
        }
    }
}
