/* HTTP requests, one at a time, by libcurl. */
#ifndef VT_DEVICE_HTTP_H
#define VT_DEVICE_HTTP_H

#include "core/buf.h"
#include "device/device.h"

struct vtd_http {
    const char *url;
    const char *method;       /* NULL: GET */
    const char *content_type; /* NULL: none */
    const char *header;       /* one more, "Name: value"; or NULL */
    const void *body;
    size_t n;
    const char *identity; /* PEM file of a client certificate and its key; NULL: none */
    plist_t pinned;       /* array of DER certificates that alone are trusted; NULL: the system's
                             and those of installed profiles */
    size_t limit;         /* largest reply, bytes */
    double seconds;       /* deadline; 0: 60 */
};

/* *status is the HTTP status, whatever it is; redirects are not followed. VT_EINVAL for a URL that
 * is neither https nor allowed (vtd_url_allowed()), VT_EIO, VT_ETIMEDOUT, VT_ELIMIT. */
enum vt_code vtd_http(const struct vtd *d, const struct vtd_http *request, long *status,
                      struct vt_buf *reply, struct vt_error *err);

/* The URL without its query and fragment, which may hold secrets: for messages. */
const char *vtd_url_shown(const char *url, char *out, size_t size);

#endif
