/* A serial queue is a thread that does its jobs in the order of their times. */
#import <Foundation/Foundation.h>

#include <dispatch/dispatch.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "objc/blocks_runtime.h"

struct job {
    struct job *next;
    dispatch_block_t block;
    uint64_t at;
};

struct fake_queue {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct job *first;
};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct job *next_job(struct fake_queue *queue)
{
    struct job *job;
    pthread_mutex_lock(&queue->lock);
    while (!(job = queue->first) || job->at > now()) {
        struct timespec until;
        if (!job) {
            pthread_cond_wait(&queue->more, &queue->lock);
            continue;
        }
        until.tv_sec = (time_t)(job->at / 1000000000u);
        until.tv_nsec = (long)(job->at % 1000000000u);
        pthread_cond_timedwait(&queue->more, &queue->lock, &until);
    }
    queue->first = job->next;
    pthread_mutex_unlock(&queue->lock);
    return job;
}

static void *work(void *user)
{
    GSRegisterCurrentThread();
    for (;;) {
        struct job *job = next_job(user);
        @autoreleasepool {
            job->block();
        }
        Block_release(job->block);
        free(job);
    }
    return NULL;
}

dispatch_queue_t dispatch_queue_create(const char *label, const void *attributes)
{
    struct fake_queue *queue = calloc(1, sizeof *queue);
    pthread_condattr_t attr;
    (void)label;
    (void)attributes;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->more, &attr);
    if (pthread_create(&queue->thread, NULL, work, queue))
        abort();
    return queue;
}

static void put(dispatch_queue_t queue, dispatch_block_t block, uint64_t at)
{
    struct job *job = malloc(sizeof *job), **place = &queue->first;
    *job = (struct job){.block = Block_copy(block), .at = at};
    pthread_mutex_lock(&queue->lock);
    while (*place && (*place)->at <= at)
        place = &(*place)->next;
    job->next = *place;
    *place = job;
    pthread_cond_signal(&queue->more);
    pthread_mutex_unlock(&queue->lock);
}

void dispatch_async(dispatch_queue_t queue, dispatch_block_t block)
{
    put(queue, block, now());
}

dispatch_time_t dispatch_time(dispatch_time_t when, int64_t nanoseconds)
{
    return (when ? when : now()) + (uint64_t)nanoseconds;
}

void dispatch_after(dispatch_time_t when, dispatch_queue_t queue, dispatch_block_t block)
{
    put(queue, block, when);
}

int fake_is_on_queue(dispatch_queue_t queue)
{
    return pthread_equal(pthread_self(), queue->thread);
}
