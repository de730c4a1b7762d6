/* results/VM/transcript.txt: what was done to a VM, for people to read. Operations point into it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vm.h"

static void put(struct vtl_vm *v, const char *text, size_t n)
{
    while (n && v->transcript_fd >= 0) {
        ssize_t done = write(v->transcript_fd, text, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            vtl_event_log(v->host, "warning", "a transcript cannot be written; it ends here");
            close(v->transcript_fd);
            v->transcript_fd = -1;
            return;
        }
        v->transcript_size += (uint64_t)done;
        text += done;
        n -= (size_t)done;
    }
}

void vtl_transcript_open(struct vtl_vm *v, const char *dir)
{
    size_t n = strlen(dir) + strlen(v->name) + 32;
    char *path = vtl_alloc(n);
    snprintf(path, n, "%s/transcript.txt", dir);
    v->transcript_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    snprintf(path, n, "%s/transcript.txt", v->name);
    v->transcript = path;
}

static void put_part(struct vtl_vm *v, const char *heading, const char *text, size_t n)
{
    if (!text || !n)
        return;
    put(v, heading, strlen(heading));
    put(v, text, n);
    if (text[n - 1] != '\n')
        put(v, "\n", 1);
}

struct vtl_place vtl_transcript(struct vtl_vm *v, const char *line, const char *out,
                                size_t out_size, const char *err, size_t err_size)
{
    struct vtl_place place = {.offset = v->transcript_size};
    struct timespec now;
    struct tm tm;
    char head[48], stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(head, sizeof head, "[%s.%03d] ", stamp, (int)(now.tv_nsec / 1000000));
    put(v, head, strlen(head));
    put(v, line, strlen(line));
    put(v, "\n", 1);
    put_part(v, "--- stdout\n", out, out_size);
    put_part(v, "--- stderr\n", err, err_size);
    place.size = v->transcript_size - place.offset;
    return place;
}

void vtl_op_event(struct vtl_vm *v, const struct vtl_op_report *r)
{
    struct vtl_line *l = vtl_event(v->host, "op");
    vtl_line_str(l, "vm", v->name);
    vtl_line_str(l, "op", r->op);
    vtl_line_str(l, "command", r->text);
    if (r->argv) {
        vtl_line_key(l, "argv");
        vtl_line_raw(l, "[");
        for (size_t i = 0; r->argv[i]; i++) {
            vtl_line_raw(l, i ? "," : "");
            vtl_line_quoted(l, r->argv[i], strlen(r->argv[i]));
        }
        vtl_line_raw(l, "]");
    }
    if (r->status)
        vtl_line_int(l, "status", *r->status);
    vtl_line_str(l, "signal", r->signal);
    vtl_line_num(l, "ms", r->seconds * 1000);
    if (r->error)
        vtl_line_str(l, "error", r->error->message);
    if (r->place.size) {
        vtl_line_key(l, "out");
        vtl_line_raw(l, "{\"file\":");
        vtl_line_quoted(l, v->transcript, strlen(v->transcript));
        vtl_line_int(l, "offset", (long long)r->place.offset);
        vtl_line_int(l, "size", (long long)r->place.size);
        vtl_line_raw(l, "}");
    }
    if (r->truncated)
        vtl_line_bool(l, "truncated", true);
    vtl_event_end(v->host);
}
