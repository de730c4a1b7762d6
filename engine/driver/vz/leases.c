#include "driver/vz/leases.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 256

struct block {
    char address[VT_VZ_ADDRESS_MAX];
    bool ours;
    unsigned long long until; /* when the lease ends: the later, the newer */
};

/* "52:54:0:a:b:c" or "52:54:00:0a:0b:0c"; nothing else may follow. */
static bool read_mac(const char *text, unsigned char out[6])
{
    for (int i = 0; i < 6; i++) {
        char *end;
        unsigned long byte = strtoul(text, &end, 16);
        if (end == text || end - text > 2 || byte > 255 || *end != (i < 5 ? ':' : '\0'))
            return false;
        out[i] = (unsigned char)byte;
        text = end + 1;
    }
    return true;
}

/* The value where the line is `name=value`, else NULL. */
static const char *value_of(const char *line, const char *name)
{
    size_t n = strlen(name);
    return !strncmp(line, name, n) && line[n] == '=' ? line + n + 1 : NULL;
}

static void read_line(struct block *b, const char *line, const unsigned char mac[6])
{
    const char *value = value_of(line, "ip_address");
    unsigned char numeric[16], found[6];
    if (value && strlen(value) < sizeof b->address && inet_pton(AF_INET, value, numeric) == 1)
        memcpy(b->address, value, strlen(value) + 1);
    value = value_of(line, "hw_address");
    if (value && !strncmp(value, "1,", 2)) /* Ethernet */
        b->ours = read_mac(value + 2, found) && !memcmp(found, mac, sizeof found);
    value = value_of(line, "lease");
    if (value)
        b->until = strtoull(value, NULL, 16);
}

bool vt_vz_lease_find(const char *text, size_t n, const char *mac, char out[VT_VZ_ADDRESS_MAX])
{
    struct block now = {.until = 0}, best = {.until = 0};
    unsigned char wanted[6];
    if (!read_mac(mac, wanted))
        return false;
    for (const char *end = text + n; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        char line[LINE_MAX_BYTES] = "";
        while (text < stop && (*text == ' ' || *text == '\t'))
            text++;
        size_t size = (size_t)(stop - text);
        if (size && text[size - 1] == '\r')
            size--;
        if (size < sizeof line) {
            memcpy(line, text, size);
            line[size] = '\0';
            if (line[0] == '{')
                now = (struct block){.until = 0};
            else if (line[0] == '}' && now.ours && now.address[0] &&
                     (!best.ours || now.until >= best.until))
                best = now;
            else
                read_line(&now, line, wanted);
        }
        text = newline ? newline + 1 : end;
    }
    if (best.ours)
        memcpy(out, best.address, sizeof best.address);
    return best.ours;
}
