/* What every cmocka test needs, in the order cmocka wants it. */
#ifndef VT_TESTS_UNIT_H
#define VT_TESTS_UNIT_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#endif
