#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/fs.h"
#include "core/mem.h"
#include "device/convert.h"
#include "device/device.h"
#include "device/store.h"
#include "device/tools.h"
#include "plist/tree.h"

static const char usage[] =
    "usage: defaults read DOMAIN|/PATH [KEY]\n"
    "A domain is Library/Preferences/DOMAIN.plist: like on a Mac the managed layer is not seen;\n"
    "read that by its path, /Library/Managed Preferences/DOMAIN.\n";

static void indent(int depth)
{
    printf("%*s", depth * 4, "");
}

static void quoted(const char *text)
{
    bool plain = text[0] != '\0';
    for (const char *p = text; *p; p++)
        plain = plain && ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
                          (*p >= 'A' && *p <= 'Z') || strchr("_.$/:", *p));
    if (plain) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            putchar('\\');
        putchar(*p);
    }
    putchar('"');
}

static void print_data(plist_t node)
{
    uint64_t n = 0;
    const char *data = plist_get_data_ptr(node, &n);
    printf("{length = %llu, bytes = 0x", (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++)
        printf("%02x", (unsigned char)data[i]);
    printf("}");
}

/* As the old style of property lists. top: a value alone is not quoted. */
static void print_value(plist_t node, int depth, bool top)
{
    const char *text = vt_plist_text(node);
    int32_t seconds = 0, micro = 0;
    char date[40] = "";
    switch (plist_get_node_type(node)) {
    case PLIST_DICT:
        printf("{\n");
        for (struct vt_plist_walk w = vt_plist_walk(node); vt_plist_next(&w);) {
            indent(depth + 1);
            quoted(w.key);
            printf(" = ");
            print_value(w.value, depth + 1, false);
            printf(";\n");
        }
        indent(depth);
        printf("}");
        return;
    case PLIST_ARRAY:
        printf("(\n");
        for (uint32_t i = 0, n = plist_array_get_size(node); i < n; i++) {
            indent(depth + 1);
            print_value(plist_array_get_item(node, i), depth + 1, false);
            printf("%s\n", i + 1 < n ? "," : "");
        }
        indent(depth);
        printf(")");
        return;
    case PLIST_BOOLEAN:
        printf("%d", vt_plist_true(node));
        return;
    case PLIST_UINT:
        printf("%lld", (long long)vt_plist_integer(node));
        return;
    case PLIST_REAL:
        printf("%.17g", vt_plist_number(node));
        return;
    case PLIST_DATA:
        print_data(node);
        return;
    case PLIST_DATE:
        plist_get_date_val(node, &seconds, &micro);
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S +0000",
                 gmtime(&(time_t){(time_t)seconds + 978307200}));
        quoted(date);
        return;
    default:
        if (top)
            fputs(text ? text : "", stdout);
        else
            quoted(text ? text : "");
    }
}

static char *file_of(const char *root, const char *domain)
{
    struct vt_buf path = VT_BUF_INIT;
    const char *end = strrchr(domain, '.');
    bool whole = end && !strcmp(end, ".plist");
    vt_buf_printf(&path, "%s%s%s%s", !strcmp(root, "/") ? "" : root,
                  domain[0] == '/' ? "" : "/Library/Preferences/", domain, whole ? "" : ".plist");
    return vt_buf_steal(&path);
}

int vtd_tool_defaults(const char *root, int argc, char **argv)
{
    struct vt_buf text = VT_BUF_INIT;
    plist_t tree = NULL, value;
    int result = 0;
    if (argc < 2 || argc > 3 || strcmp(argv[0], "read") != 0) {
        fputs(usage, stderr);
        return 255;
    }
    char *path = file_of(root, argv[1]);
    if (!vt_read_file(path, VT_PLIST_MAX_BYTES, &text, NULL))
        vt_plist_parse(text.data, text.len, path, &tree, NULL, NULL);
    value = argc == 3 && tree ? plist_dict_get_item(tree, argv[2]) : tree;
    if (value) {
        print_value(value, 0, true);
        putchar('\n');
    } else if (argc == 3) {
        fprintf(stderr, "The domain/default pair of (%s, %s) does not exist\n", argv[1], argv[2]);
        result = 1;
    } else {
        fprintf(stderr, "Domain %s does not exist\n", argv[1]);
        result = 1;
    }
    plist_free(tree);
    vt_buf_free(&text);
    vt_free(path);
    return result;
}
