/* A terminal or a pipe: lines that stay, and below them, on a terminal, a few that are rewritten
 * in place. Everything that changes at once goes out in one write. */
#ifndef VT_REPORT_SCREEN_H
#define VT_REPORT_SCREEN_H

#include <stdio.h>

#include "core/buf.h"

struct vt__screen {
    FILE *out;
    bool tty, color;
    int width;          /* columns */
    struct vt_buf kept; /* lines that stay and were not written yet */
    size_t shown;       /* lines in place now */
    double drawn;       /* vt_monotonic() of the last write to a terminal */
};

enum vt__color { VT__PLAIN, VT__RED, VT__GREEN, VT__YELLOW, VT__DIM, VT__COLOR_COUNT_ };

/* Appends one line of text made harmless for a terminal: control characters, direction overrides
 * and invalid UTF-8 become '?', tabs and line ends blanks. */
void vt__text_line(struct vt_buf *out, const char *text, size_t n);

/* As vt__text_line, cut to so many columns; "…" stands where it was cut. */
void vt__text_fit(struct vt_buf *out, const char *text, size_t n, int columns);

/* Adds a line that stays. On a pipe it is written at once. */
void vt__screen_line(struct vt__screen *s, enum vt__color color, const char *text, size_t n);
void vt__screen_printf(struct vt__screen *s, enum vt__color color, const char *fmt, ...)
    VT_PRINTF(3, 4);

/* Writes what is new, and the status (lines separated by \n) in place. Nothing but the kept lines
 * on a pipe. */
void vt__screen_draw(struct vt__screen *s, const char *status);

#endif
