/* libcurl's multi interface on libuv: its sockets are polled, its one timer is a timer. */
#include "core/mem.h"
#include "http/client_internal.h"
#include "loop/timer.h"

struct socket_watch {
    uv_poll_t poll;
    struct vt_http_client *client;
    curl_socket_t fd;
};

static void harvest(struct vt_http_client *client)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(client->multi, &left)))
        if (m->msg == CURLMSG_DONE)
            vt__http_ended(m->easy_handle, m->data.result);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct socket_watch *watch = poll->data;
    struct vt_http_client *client = watch->client; /* the watch may go meanwhile */
    int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
                (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0) | (status < 0 ? CURL_CSELECT_ERR : 0);
    int running;
    curl_multi_socket_action(client->multi, watch->fd, flags, &running);
    harvest(client);
}

static void on_timer(uv_timer_t *timer)
{
    struct vt_http_client *client = timer->data;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    harvest(client);
}

static void free_watch(uv_handle_t *handle)
{
    vt_free(handle->data);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
    struct vt_http_client *client = user;
    struct socket_watch *watch = assigned;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            curl_multi_assign(client->multi, fd, NULL);
            uv_close((uv_handle_t *)&watch->poll, free_watch);
        }
        return 0;
    }
    if (!watch) {
        watch = vt_calloc(1, sizeof *watch);
        watch->client = client;
        watch->fd = fd;
        if (uv_poll_init_socket(vt_loop_uv(client->loop), &watch->poll, fd)) {
            vt_free(watch);
            return -1;
        }
        watch->poll.data = watch;
        curl_multi_assign(client->multi, fd, watch);
    }
    uv_poll_start(&watch->poll,
                  (what & CURL_POLL_IN ? UV_READABLE : 0) |
                      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                  on_socket);
    return 0;
}

static int want_timer(CURLM *multi, long ms, void *user)
{
    struct vt_http_client *client = user;
    (void)multi;
    if (ms < 0) {
        uv_timer_stop(&client->timer);
    } else {
        uv_update_time(client->timer.loop);
        uv_timer_start(&client->timer, on_timer, (uint64_t)ms, 0);
    }
    return 0;
}

enum vt_code vt__http_multi_open(struct vt_http_client *client, struct vt_error *err)
{
    static bool ready; /* one thread has a loop; libcurl's global state lasts as long as we do */
    if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT))
        return vt_fail(err, VT_EIO, "http.client", "libcurl cannot start");
    ready = true;
    client->multi = curl_multi_init();
    if (!client->multi)
        return vt_fail(err, VT_EIO, "http.client", "libcurl cannot start");
    uv_timer_init(vt_loop_uv(client->loop), &client->timer);
    client->timer.data = client;
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    return VT_OK;
}

void vt__http_multi_close(struct vt_http_client *client)
{
    curl_multi_cleanup(client->multi);
    uv_close((uv_handle_t *)&client->timer, free_watch);
}
