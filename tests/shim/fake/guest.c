#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct guest_ops *guest_chosen(void)
{
    const char *name = getenv("VMTEST_FAKE_VZ_GUEST");
    if (!name || !*name || !strcmp(name, guest_none.name))
        return &guest_none;
    if (&guest_qemu && !strcmp(name, guest_qemu.name))
        return &guest_qemu;
    fprintf(stderr, "fake: there is no guest \"%s\" in VMTEST_FAKE_VZ_GUEST\n", name);
    exit(70);
}
