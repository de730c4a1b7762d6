#include "device/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "device/certs.h"
#include "device/profile.h"

#define AGENT "MDM/1.0 (vmtest-device " VT_VERSION ")"

struct sink {
    struct vt_buf *to;
    size_t limit;
    bool over;
};

static size_t take(char *data, size_t size, size_t count, void *user)
{
    struct sink *sink = user;
    size_t n = size * count;
    if (n > sink->limit - sink->to->len) {
        sink->over = true;
        return 0;
    }
    vt_buf_add(sink->to, data, n);
    return n;
}

const char *vtd_url_shown(const char *url, char *out, size_t size)
{
    snprintf(out, size, "%.*s", (int)strcspn(url, "?#"), url);
    return out;
}

static void set_body(CURL *curl, const struct vtd_http *r)
{
    if (r->method)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
    if (!r->body)
        return;
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->n);
}

static struct curl_slist *make_headers(const struct vtd_http *r)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    char line[200];
    snprintf(line, sizeof line, "Content-Type: %s", r->content_type ? r->content_type : "");
    list = curl_slist_append(list, r->content_type || !r->body ? line : "Content-Type:");
    if (r->header)
        list = curl_slist_append(list, r->header);
    return list;
}

static void set_tls(CURL *curl, const struct vtd_http *r, const struct vt_buf *trust)
{
    struct curl_blob blob = {.data = trust->data, .len = trust->len, .flags = CURL_BLOB_COPY};
    curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    if (!r->identity)
        return;
    curl_easy_setopt(curl, CURLOPT_SSLCERT, r->identity);
    curl_easy_setopt(curl, CURLOPT_SSLKEY, r->identity);
}

static enum vt_code tell(CURLcode result, const char *url, const char *detail, bool over,
                         struct vt_error *err)
{
    char shown[300];
    vtd_url_shown(url, shown, sizeof shown);
    if (over)
        return vt_fail(err, VT_ELIMIT, "http", "%s: the reply is larger than is allowed", shown);
    return vt_fail(err, result == CURLE_OPERATION_TIMEDOUT ? VT_ETIMEDOUT : VT_EIO, "http",
                   "%s: %s", shown, detail[0] ? detail : curl_easy_strerror(result));
}

enum vt_code vtd_http(const struct vtd *d, const struct vtd_http *r, long *status,
                      struct vt_buf *reply, struct vt_error *err)
{
    char detail[CURL_ERROR_SIZE] = "", shown[300];
    struct sink sink = {.to = reply, .limit = r->limit};
    struct vt_buf trust = VT_BUF_INIT;
    *status = 0;
    if (!vtd_url_allowed(r->url, d->plain_http))
        return vt_fail(err, VT_EINVAL, "http", "%s is not https",
                       vtd_url_shown(r->url, shown, sizeof shown));
    CURL *curl = curl_easy_init();
    if (!curl)
        return vt_fail(err, VT_EINTERNAL, "http", "libcurl cannot start");
    struct curl_slist *headers = make_headers(r);
    vtd_certs_trusted(d, r->pinned, &trust);
    set_tls(curl, r, &trust);
    set_body(curl, r);
    curl_easy_setopt(curl, CURLOPT_URL, r->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, AGENT);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* a device's server is reached directly */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)((r->seconds > 0 ? r->seconds : 60) * 1000));
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &sink);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    vt_buf_free(&trust);
    return result ? tell(result, r->url, detail, sink.over, err) : VT_OK;
}
