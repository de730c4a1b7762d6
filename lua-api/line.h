/* One event as one line of JSON, written member by member: 10,000 tests write 20,000 of them. */
#ifndef VTL_LINE_H
#define VTL_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct vtl_line {
    char *data;
    size_t len, cap;
};

/* Starts anew: {"type":"…","time":"…" */
void vtl_line_begin(struct vtl_line *l, const char *type);
void vtl_line_end(struct vtl_line *l); /* } */

/* Members. Text that is NULL is left out; bytes that are not UTF-8 become U+FFFD. */
void vtl_line_text(struct vtl_line *l, const char *key, const char *text, size_t n);
void vtl_line_str(struct vtl_line *l, const char *key, const char *text);
void vtl_line_int(struct vtl_line *l, const char *key, long long value);
void vtl_line_num(struct vtl_line *l, const char *key, double value); /* 0 to 1e12; 6 decimals */
void vtl_line_bool(struct vtl_line *l, const char *key, bool value);
void vtl_line_key(struct vtl_line *l, const char *key); /* `,"key":`; the value follows raw */

void vtl_line_raw(struct vtl_line *l, const char *text); /* verbatim */
void vtl_line_quoted(struct vtl_line *l, const char *text, size_t n);
void vtl_line_free(struct vtl_line *l);

#endif
