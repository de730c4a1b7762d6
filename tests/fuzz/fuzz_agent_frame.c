/* Frames and greetings of the agent's protocol, as both of its ends read them: what is taken lies
 * inside of what came, and a greeting is found however the bytes are cut. */
#include <stdlib.h>
#include <string.h>

#include "agent/frame.h"

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static void read_fields(const struct vt__frame *frame)
{
    struct vt__fields f = {.p = frame->data, .n = frame->size};
    vt__take_u32(&f);
    vt__take_u64(&f);
    for (int i = 0; i < 64 && !f.bad; i++) {
        size_t n = 0;
        const unsigned char *p = vt__take_bytes(&f, &n);
        expect(!p || (p >= frame->data && n <= frame->size && p + n <= frame->data + frame->size));
    }
}

static void read_frames(const uint8_t *data, size_t n, uint32_t tag)
{
    struct vt__frame frame;
    size_t used = 0;
    while (vt__frame_parse(data, n, tag, &frame, &used) == 1) {
        expect(used && used <= n && frame.size <= VT__FRAME_DATA);
        expect(frame.data == data + VT__FRAME_HEAD && frame.size + VT__FRAME_HEAD < used);
        read_fields(&frame);
        data += used;
        n -= used;
    }
}

/* Where the first greeting ends when the bytes come in pieces of this size; 0: there is none. */
static size_t find(const uint8_t *data, size_t n, enum vt__greeting kind, size_t piece)
{
    unsigned char nonce[VT__NONCE];
    uint32_t version = 0;
    size_t at = 0;
    for (size_t have = piece < n ? piece : n;; have = n - have < piece ? n : have + piece) {
        size_t used = 0;
        bool found = vt__greeting_find(data + at, have - at, kind, &version, nonce, &used);
        expect(used <= have - at);
        at += used;
        if (found)
            return at;
        if (have == n)
            return 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    unsigned char nonce[VT__NONCE] = {1};
    if (n < 4)
        return 0;
    uint32_t tag = vt__load_u32(data);
    data += 4;
    n -= 4;
    read_frames(data, n, tag);
    for (int kind = VT__HELLO; kind <= VT__WELCOME; kind++) {
        size_t whole = find(data, n, (enum vt__greeting)kind, n ? n : 1);
        expect(whole == find(data, n, (enum vt__greeting)kind, 1 + tag % 50));
        /* behind anything, a greeting is found */
        unsigned char *more = malloc(n + VT__GREETING);
        memcpy(more, data, n);
        vt__greeting_make(more + n, (enum vt__greeting)kind, 1, nonce);
        expect(find(more, n + VT__GREETING, (enum vt__greeting)kind, n + VT__GREETING) != 0);
        free(more);
    }
    return 0;
}
