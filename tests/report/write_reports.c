/* Makes the reports of a folder with events.jsonl. */
#include <stdio.h>

#include "vmtest/report.h"

int main(int argc, char **argv)
{
    struct vt_error err = VT_ERROR_INIT;
    if (argc != 2) {
        fprintf(stderr, "usage: write_reports FOLDER\n");
        return 2;
    }
    if (vt_report_write_all(argv[1], &err)) {
        fprintf(stderr, "%s: %s\n", vt_code_name(err.code), err.message);
        return 1;
    }
    return 0;
}
