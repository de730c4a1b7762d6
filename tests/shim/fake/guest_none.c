/* A guest that is nothing but a state: its serial port repeats what it is told, port 7 of its vsock
 * is an echo service and every other port is closed. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ECHO_PORT = 7, ECHOES = 64 };

struct guest {
    pthread_t thread;
    int wake[2]; /* the thread's end of it, ours; what is written is an order */
    int console_in, console_out;
    int echoes[ECHOES];   /* the guest's ends of vsock connections, -1: free */
    pthread_mutex_t lock; /* of echoes */
    guest_ended *ended;
    void *user;
    uint64_t memory;
    unsigned cpus;
    bool paused;
};

static void repeat(int from, int to, bool *open)
{
    char piece[4096];
    ssize_t n = read(from, piece, sizeof piece);
    for (ssize_t done = 0; done < n;) {
        ssize_t w = write(to, piece + done, (size_t)(n - done));
        if (w <= 0)
            break;
        done += w;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        *open = false;
}

static void serve_echoes(struct guest *g, const struct pollfd *polls)
{
    for (int i = 0; i < ECHOES; i++) {
        bool open = true;
        if (polls[i].fd < 0 || !polls[i].revents)
            continue;
        repeat(polls[i].fd, polls[i].fd, &open);
        if (!open) {
            pthread_mutex_lock(&g->lock);
            close(g->echoes[i]);
            g->echoes[i] = -1;
            pthread_mutex_unlock(&g->lock);
        }
    }
}

/* The guest's life: till stop() ends it ('q') or it was asked to power off ('p'). */
static void *live(void *user)
{
    struct guest *g = user;
    bool console = g->console_in >= 0;
    for (;;) {
        struct pollfd polls[ECHOES + 2];
        char order;
        pthread_mutex_lock(&g->lock);
        for (int i = 0; i < ECHOES; i++)
            polls[i] = (struct pollfd){.fd = g->echoes[i], .events = POLLIN};
        pthread_mutex_unlock(&g->lock);
        polls[ECHOES] = (struct pollfd){.fd = g->wake[0], .events = POLLIN};
        polls[ECHOES + 1] = (struct pollfd){.fd = console ? g->console_in : -1, .events = POLLIN};
        if (poll(polls, ECHOES + 2, -1) < 0)
            continue;
        if (polls[ECHOES].revents && read(g->wake[0], &order, 1) == 1) {
            if (order == 'q')
                return NULL;
            if (order == 'p') {
                g->ended(g->user, NULL);
                return NULL;
            }
        }
        serve_echoes(g, polls);
        if (polls[ECHOES + 1].revents)
            repeat(g->console_in, g->console_out, &console);
    }
}

static bool read_state(struct guest *g, const char *path, char why[GUEST_WHY])
{
    unsigned long long memory = 0;
    unsigned cpus = 0;
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "guest of %u processors and %llu bytes\n", &cpus, &memory) != 2)
        snprintf(why, GUEST_WHY, "this is no saved guest");
    else if (cpus != g->cpus || memory != g->memory)
        snprintf(why, GUEST_WHY, "it was saved by another configuration");
    else
        why[0] = '\0';
    if (f)
        fclose(f);
    return !why[0];
}

static void none_free(struct guest *g)
{
    close(g->wake[0]);
    close(g->wake[1]);
    for (int i = 0; i < ECHOES; i++)
        if (g->echoes[i] >= 0)
            close(g->echoes[i]);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static struct guest *none_start(const struct guest_config *config, guest_ended *ended, void *user,
                                char why[GUEST_WHY])
{
    static const char hello[] = "guest: up\n";
    struct guest *g = calloc(1, sizeof *g);
    if (!g || pipe2(g->wake, O_CLOEXEC)) {
        snprintf(why, GUEST_WHY, "no memory or descriptors");
        free(g);
        return NULL;
    }
    g->console_in = config->console_in;
    g->console_out = config->console_out;
    g->ended = ended;
    g->user = user;
    g->memory = config->memory;
    g->cpus = config->cpus;
    for (int i = 0; i < ECHOES; i++)
        g->echoes[i] = -1;
    pthread_mutex_init(&g->lock, NULL);
    if (config->restore && !read_state(g, config->restore, why)) {
        none_free(g);
        return NULL;
    }
    g->paused = config->restore != NULL;
    if (!config->restore && g->console_out >= 0 &&
        write(g->console_out, hello, sizeof hello - 1) < 0)
        snprintf(why, GUEST_WHY, "the console cannot be written"); /* as a real guest: it runs on */
    if (pthread_create(&g->thread, NULL, live, g)) {
        snprintf(why, GUEST_WHY, "no thread");
        none_free(g);
        return NULL;
    }
    return g;
}

static bool none_pause(struct guest *g, char why[GUEST_WHY])
{
    (void)why;
    g->paused = true;
    return true;
}

static bool none_resume(struct guest *g, char why[GUEST_WHY])
{
    (void)why;
    g->paused = false;
    return true;
}

static bool none_request_stop(struct guest *g, char why[GUEST_WHY])
{
    if (write(g->wake[1], "p", 1) == 1)
        return true;
    snprintf(why, GUEST_WHY, "%s", strerror(errno));
    return false;
}

static bool none_save(struct guest *g, const char *path, char why[GUEST_WHY])
{
    FILE *f = fopen(path, "wx");
    if (f &&
        fprintf(f, "guest of %u processors and %llu bytes\n", g->cpus,
                (unsigned long long)g->memory) > 0 &&
        fclose(f) == 0)
        return true;
    snprintf(why, GUEST_WHY, "%s", strerror(errno));
    return false;
}

static int none_connect(struct guest *g, uint32_t port, char why[GUEST_WHY])
{
    int pair[2] = {-1, -1}, free_slot = -1;
    for (int i = 0; i < ECHOES; i++)
        if (g->echoes[i] < 0)
            free_slot = i;
    if (port != ECHO_PORT || free_slot < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
        snprintf(why, GUEST_WHY, "Connection reset by peer");
        return -1;
    }
    pthread_mutex_lock(&g->lock);
    g->echoes[free_slot] = pair[1];
    pthread_mutex_unlock(&g->lock);
    if (write(g->wake[1], "w", 1) != 1) /* look again */
        snprintf(why, GUEST_WHY, "%s", strerror(errno));
    return pair[0];
}

static void none_stop(struct guest *g)
{
    while (write(g->wake[1], "q", 1) < 0 && errno == EINTR)
        ;
    pthread_join(g->thread, NULL);
    none_free(g);
}

static bool none_plug(struct guest *g, unsigned number, const struct guest_disk *disk,
                      char why[GUEST_WHY])
{
    (void)g;
    (void)number;
    (void)disk;
    (void)why;
    return true;
}

static bool none_unplug(struct guest *g, unsigned number, char why[GUEST_WHY])
{
    (void)g;
    (void)number;
    (void)why;
    return true;
}

const struct guest_ops guest_none = {
    .name = "none",
    .start = none_start,
    .pause = none_pause,
    .resume = none_resume,
    .request_stop = none_request_stop,
    .save = none_save,
    .connect = none_connect,
    .plug = none_plug,
    .unplug = none_unplug,
    .stop = none_stop,
};
