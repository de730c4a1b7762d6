/* What client.c and multi.c share. */
#ifndef VT_HTTP_CLIENT_INTERNAL_H
#define VT_HTTP_CLIENT_INTERNAL_H

#include <curl/curl.h>
#include <uv.h>

#include "http/client.h"

struct vt_http_send;

struct vt_http_client {
    struct vt_loop *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct vt_http_send *sends;
};

/* Ties the multi handle to the loop; and unties it, after which the client's memory is freed once
 * the loop has let go of its handles. */
enum vt_code vt__http_multi_open(struct vt_http_client *client, struct vt_error *err);
void vt__http_multi_close(struct vt_http_client *client);

/* multi.c tells that a transfer has ended. */
void vt__http_ended(CURL *easy, CURLcode code);

#endif
