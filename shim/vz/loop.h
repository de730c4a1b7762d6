/* The main loop, on poll(). One thread. */
#ifndef VT_VZ_LOOP_H
#define VT_VZ_LOOP_H

struct vtz_watch {
    int fd;          /* -1: not looked at */
    short events;    /* of poll() */
    double deadline; /* on the monotonic clock, 0: none */
    /* revents as poll() gives them; 0: the deadline passed, and is set to 0. May add, change and
     * remove any watch. */
    void (*ready)(struct vtz_watch *watch, short revents);
    void *user;
};

/* The watch is the caller's and stays where it is till it is removed. */
void vtz_watch_add(struct vtz_watch *watch);
void vtz_watch_remove(struct vtz_watch *watch); /* one that was not added is fine */

/* Waits for the first of them, at most till `until` on the monotonic clock (0: for ever), and
 * serves all that are ready. */
void vtz_loop_once(double until);

#endif
