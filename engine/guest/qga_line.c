#include <openssl/evp.h>
#include <string.h>

#include "core/mem.h"
#include "guest/qga_internal.h"

bool vt__qga_parse(const char *line, size_t n, json_t **result, char **problem)
{
    json_t *reply = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
    json_t *value = json_object_get(reply, "return");
    const json_t *error = json_object_get(reply, "error");
    const char *words = json_string_value(json_object_get(error, "desc"));
    *result = NULL;
    *problem = NULL;
    if (value)
        *result = json_incref(value);
    else if (error)
        *problem = vt_strdup(words ? words : "no reason given");
    json_decref(reply);
    return *result || *problem;
}

bool vt__base64_decode(const char *text, size_t n, struct vt_buf *out)
{
    if (n % 4)
        return false;
    if (!n)
        return true;
    vt_buf_reserve(out, n / 4 * 3);
    int got =
        EVP_DecodeBlock((unsigned char *)out->data + out->len, (const unsigned char *)text, (int)n);
    if (got < 0)
        return false;
    size_t padding = (size_t)(text[n - 1] == '=') + (size_t)(text[n - 2] == '=');
    out->len += (size_t)got - padding;
    out->data[out->len] = '\0';
    return true;
}

void vt__base64_encode(const void *data, size_t n, struct vt_buf *out)
{
    size_t size = (n + 2) / 3 * 4;
    vt_buf_reserve(out, size + 1);
    EVP_EncodeBlock((unsigned char *)out->data + out->len, data, (int)n);
    out->len += size;
}
