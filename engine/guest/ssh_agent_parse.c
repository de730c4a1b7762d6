#include <string.h>

#include "core/mem.h"
#include "guest/ssh_internal.h"

/* draft-miller-ssh-agent */
enum { answer_keys = 12, answer_signature = 14, max_keys = 64 };

static bool take_u32(const unsigned char **at, size_t *left, size_t *value)
{
    if (*left < 4)
        return false;
    const unsigned char *p = *at;
    *value = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | (size_t)p[3];
    *at += 4;
    *left -= 4;
    return true;
}

static bool take_string(const unsigned char **at, size_t *left, const unsigned char **s, size_t *n)
{
    if (!take_u32(at, left, n) || *n > *left)
        return false;
    *s = *at;
    *at += *n;
    *left -= *n;
    return true;
}

bool vt__ssh_agent_parse_keys(const unsigned char *msg, size_t n, struct vt__ssh_agent_key **keys,
                              size_t *count)
{
    size_t listed = 0;
    *keys = NULL;
    *count = 0;
    if (n < 1 || msg[0] != answer_keys)
        return false;
    const unsigned char *at = msg + 1, *blob = NULL, *comment = NULL;
    size_t left = n - 1, blob_size = 0, comment_size = 0;
    if (!take_u32(&at, &left, &listed))
        return false;
    struct vt__ssh_agent_key *list = vt_calloc(max_keys, sizeof *list);
    size_t have = 0;
    bool good = true;
    for (size_t i = 0; i < listed && good && have < max_keys; i++) {
        good = take_string(&at, &left, &blob, &blob_size) &&
               take_string(&at, &left, &comment, &comment_size) && blob_size >= 4;
        if (!good)
            break;
        list[have].blob = vt_malloc(blob_size);
        memcpy(list[have].blob, blob, blob_size);
        list[have++].size = blob_size;
    }
    if (!good) {
        vt__ssh_agent_keys_free(list, have);
        return false;
    }
    *keys = list;
    *count = have;
    return true;
}

void vt__ssh_agent_keys_free(struct vt__ssh_agent_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vt_free(keys[i].blob);
    vt_free(keys);
}

bool vt__ssh_agent_parse_signature(const unsigned char *msg, size_t n, const unsigned char **sig,
                                   size_t *size)
{
    if (n < 1 || msg[0] != answer_signature)
        return false;
    const unsigned char *at = msg + 1, *whole = NULL, *type = NULL;
    size_t left = n - 1, whole_size = 0, type_size = 0;
    if (!take_string(&at, &left, &whole, &whole_size))
        return false;
    return take_string(&whole, &whole_size, &type, &type_size) &&
           take_string(&whole, &whole_size, sig, size);
}
