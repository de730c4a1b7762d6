/* clone_bench BASE FORMAT OVERLAY: one clone of a disk, as a VM's start makes it. */
#include <stdio.h>

#include "image/qcow2.h"

int main(int argc, char **argv)
{
    struct vt_error err = VT_ERROR_INIT;
    if (argc != 4) {
        fputs("usage: clone_bench BASE FORMAT OVERLAY\n", stderr);
        return 2;
    }
    if (!vt_qcow2_overlay(argv[3], argv[1], argv[2], 0, &err))
        return 0;
    fprintf(stderr, "clone_bench: %s\n", err.message);
    return 1;
}
