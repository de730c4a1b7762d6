#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "yaml/yaml.h"

static struct vt_yaml *read(const char *text)
{
    struct vt_yaml *yaml = NULL;
    struct vt_error err = VT_ERROR_INIT;
    assert_int_equal(vt_yaml_parse(text, strlen(text), "a.yaml", &yaml, &err), VT_OK);
    return yaml;
}

static void test_scalars_are_what_yaml_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum vt_yaml_kind kind;
    } cases[] = {
        {"true", VT_YAML_BOOLEAN}, {"Yes", VT_YAML_BOOLEAN},
        {"off", VT_YAML_BOOLEAN},  {"'true'", VT_YAML_STRING},
        {"\"5\"", VT_YAML_STRING}, {"5", VT_YAML_INTEGER},
        {"-12", VT_YAML_INTEGER},  {"0", VT_YAML_INTEGER},
        {"007", VT_YAML_STRING},   {"1.5", VT_YAML_REAL},
        {"1.5.2", VT_YAML_STRING}, {".", VT_YAML_STRING},
        {"~", VT_YAML_NULL},       {"null", VT_YAML_NULL},
        {"a: b", VT_YAML_MAPPING}, {"[a]", VT_YAML_SEQUENCE},
        {"$ODV", VT_YAML_STRING},  {"99999999999999999999", VT_YAML_STRING},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt_yaml *yaml = read(cases[i].text);
        if (vt_yaml_value(vt_yaml_root(yaml)).kind != cases[i].kind)
            fail_msg("%s is of the kind %d", cases[i].text,
                     (int)vt_yaml_value(vt_yaml_root(yaml)).kind);
        vt_yaml_free(yaml);
    }
    struct vt_yaml *yaml = read("[no, -12, 1.5]");
    yaml_node_t *root = vt_yaml_root(yaml);
    assert_false(vt_yaml_value(vt_yaml_item(yaml, root, 0)).boolean);
    assert_int_equal(vt_yaml_value(vt_yaml_item(yaml, root, 1)).integer, -12);
    assert_true(fabs(vt_yaml_value(vt_yaml_item(yaml, root, 2)).real - 1.5) < 1e-9);
    vt_yaml_free(yaml);
}

static void test_members_and_items(void **state)
{
    (void)state;
    struct vt_yaml *yaml = read("list: &l [x, y]\nsame: *l\ntext: |\n  one\n  two\n");
    yaml_node_t *root = vt_yaml_root(yaml), *key, *value;
    assert_string_equal(vt_yaml_text(vt_yaml_member(yaml, root, "text")), "one\ntwo\n");
    assert_ptr_equal(vt_yaml_member(yaml, root, "list"), vt_yaml_member(yaml, root, "same"));
    assert_string_equal(vt_yaml_text(vt_yaml_item(yaml, vt_yaml_member(yaml, root, "same"), 1)),
                        "y");
    assert_null(vt_yaml_item(yaml, vt_yaml_member(yaml, root, "same"), 2));
    assert_null(vt_yaml_member(yaml, root, "other"));
    assert_null(vt_yaml_member(yaml, NULL, "other"));
    assert_null(vt_yaml_item(yaml, root, 0));
    assert_true(vt_yaml_pair(yaml, root, 2, &key, &value));
    assert_string_equal(vt_yaml_text(key), "text");
    assert_false(vt_yaml_pair(yaml, root, 3, &key, &value));
    vt_yaml_free(yaml);
}

static void test_what_is_wrong_is_told_with_its_line(void **state)
{
    (void)state;
    struct vt_yaml *yaml = NULL;
    struct vt_error err = VT_ERROR_INIT;
    const char *text = "a: 1\nb: [1, 2\nc: 3\n";
    assert_int_equal(vt_yaml_parse(text, strlen(text), "b.yaml", &yaml, &err), VT_EINVAL);
    assert_null(yaml);
    assert_non_null(strstr(err.message, "b.yaml:3"));
    struct vt_error large = VT_ERROR_INIT;
    assert_int_equal(vt_yaml_parse(text, VT_YAML_MAX_BYTES + 1, "c.yaml", &yaml, &large),
                     VT_ELIMIT);
    struct vt_yaml *empty = read("");
    assert_null(vt_yaml_root(empty));
    vt_yaml_free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_are_what_yaml_says),
        cmocka_unit_test(test_members_and_items),
        cmocka_unit_test(test_what_is_wrong_is_told_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
