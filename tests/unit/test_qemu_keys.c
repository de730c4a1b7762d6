/* Chords: which keys they name. */
#include "unit.h"

#include <string.h>

#include "driver/qemu/screen.h"

static void test_chords(void **state)
{
    (void)state;
    const char *keys[VT_CHORD_MAX];
    size_t n;
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_qemu_chord("a", keys, &n, &err), VT_OK);
    assert_int_equal(n, 1);
    assert_int_equal(vt_qemu_chord("ctrl-alt-kp_5", keys, &n, &err), VT_OK);
    assert_int_equal(n, 3);
    assert_string_equal(keys[0], "ctrl");
    assert_string_equal(keys[2], "kp_5");
    static const char *const bad[] = {"", "-", "a-", "-a", "ctrl--a", "A", "ctrl alt", "retu"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct vt_error)VT_ERROR_INIT;
        assert_int_equal(vt_qemu_chord(bad[i], keys, &n, &err), VT_EINVAL);
    }
    assert_non_null(strstr(err.hint, "\"ret\""));
    assert_int_equal(vt_qemu_chord("a-b-c-d-e-f-g-h", keys, &n, NULL), VT_OK);
    assert_int_equal(vt_qemu_chord("a-b-c-d-e-f-g-h-i", keys, &n, NULL), VT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_chords)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
