/* What the ssh channel reads from its peers: version lines, SFTP replies, agent answers, digests.
 */
#include "unit.h"

#include <string.h>

#include "core/mem.h"
#include "guest/sftp.h"
#include "guest/ssh_internal.h"
#include "guest/transfer.h"

static enum vt__ssh_banner find(const char *text, size_t *start)
{
    return vt__ssh_find_banner(text, strlen(text), start);
}

static void test_banner(void **state)
{
    (void)state;
    size_t at = 99;
    assert_int_equal(find("", &at), VT__BANNER_MORE);
    assert_int_equal(find("SSH-2.0-Open", &at), VT__BANNER_MORE);
    assert_int_equal(find("SSH-2.0-OpenSSH_9.2\r\nrest", &at), VT__BANNER_FOUND);
    assert_int_equal(at, 0);
    assert_int_equal(find("hello\r\n\nSSH-1.99-x\n", &at), VT__BANNER_FOUND);
    assert_int_equal(at, 8);
    assert_int_equal(find("SSH-1.5-x\n", &at), VT__BANNER_NONE);
    assert_int_equal(find("SSH-3.0-x\n", &at), VT__BANNER_NONE);
    char many[VT__SSH_BANNER_MAX + 1];
    memset(many, '\n', 40);
    many[40] = '\0';
    assert_int_equal(find(many, &at), VT__BANNER_NONE);
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    assert_int_equal(find(many, &at), VT__BANNER_NONE);
    many[sizeof many - 2] = '\0';
    assert_int_equal(find(many, &at), VT__BANNER_MORE);
    memcpy(many, "SSH-2.0-", 8);
    memcpy(many + 256, "\n", 2);
    assert_int_equal(find(many, &at), VT__BANNER_NONE); /* longer than RFC 4253 allows */
}

#define PARSE(text_, id_, reply_)                                                                  \
    vt__sftp_parse((const unsigned char *)(text_), sizeof(text_) - 1, id_, reply_)

static void test_sftp_replies(void **state)
{
    (void)state;
    struct vt__sftp_reply r;
    uint32_t id = 0;
    assert_true(PARSE("\x65\0\0\1\2\0\0\0\3\0\0\0\4nope\0\0\0\0", &id, &r));
    assert_int_equal(id, 0x102);
    assert_int_equal(r.type, VT__SFTP_STATUS);
    assert_int_equal(r.status, VT__SFTP_PERMISSION_DENIED);
    assert_int_equal(r.text_size, 4);
    assert_memory_equal(r.text, "nope", 4);
    assert_true(PARSE("\x65\0\0\0\1\0\0\0\1", &id, &r)); /* without a text */
    assert_true(PARSE("\x66\0\0\0\1\0\0\0\2hh", &id, &r));
    assert_int_equal(r.size, 2);
    assert_true(PARSE("\x67\0\0\0\1\0\0\0\3abc", &id, &r));
    assert_memory_equal(r.data, "abc", 3);
    assert_false(PARSE("\x67\0\0\0\1\0\0\0\4abc", &id, &r));
    assert_false(PARSE("\x67\0\0\0\1\xff\xff\xff\xff", &id, &r));
    assert_false(PARSE("\x65\0\0\0\1\0\0", &id, &r));
    assert_false(PARSE("\x03\0\0\0\1", &id, &r)); /* a request */
    assert_false(PARSE("", &id, &r));
    assert_true(
        PARSE("\x69\0\0\0\1\0\0\0\x0d\0\0\0\1\0\0\0\2\0\0\x81\xa4\0\0\0\0\0\0\0\0", &id, &r));
    assert_true(r.attrs.has_size && r.attrs.has_mode);
    assert_true(r.attrs.size == 0x100000002);
    assert_int_equal(r.attrs.mode, 0100644);
    assert_false(PARSE("\x69\0\0\0\1\x80\0\0\0\xff\xff\xff\xff", &id, &r));
}

static void test_sftp_names(void **state)
{
    (void)state;
    static const char two[] = "\x68\0\0\0\1\0\0\0\2\0\0\0\1a\0\0\0\0\0\0\0\0"
                              "\0\0\0\2..\0\0\0\1l\0\0\0\4\0\0\x41\xed";
    struct vt__sftp_reply r;
    struct vt__sftp_attrs attrs;
    const char *name = NULL;
    size_t n = 0;
    uint32_t id = 0;
    assert_true(PARSE(two, &id, &r));
    assert_int_equal(vt__sftp_next_name(&r, &name, &n, &attrs), 1);
    assert_int_equal(n, 1);
    assert_false(attrs.has_mode);
    assert_int_equal(vt__sftp_next_name(&r, &name, &n, &attrs), 1);
    assert_memory_equal(name, "..", 2);
    assert_int_equal(attrs.mode, 040755);
    assert_int_equal(vt__sftp_next_name(&r, &name, &n, &attrs), 0);
    assert_true(vt__sftp_parse((const unsigned char *)two, sizeof two - 3, &id, &r));
    assert_int_equal(vt__sftp_next_name(&r, &name, &n, &attrs), 1);
    assert_int_equal(vt__sftp_next_name(&r, &name, &n, &attrs), -1);
}

static void test_names_that_lead_out(void **state)
{
    (void)state;
    assert_true(vt__sftp_name_is_safe("a", 1));
    assert_true(vt__sftp_name_is_safe("...", 3));
    assert_true(vt__sftp_name_is_safe(".a", 2));
    assert_true(vt__sftp_name_is_safe("\xff\n", 2));
    assert_false(vt__sftp_name_is_safe("", 0));
    assert_false(vt__sftp_name_is_safe(".", 1));
    assert_false(vt__sftp_name_is_safe("..", 2));
    assert_false(vt__sftp_name_is_safe("a/b", 3));
    assert_false(vt__sftp_name_is_safe("/etc", 4));
    assert_false(vt__sftp_name_is_safe("../x", 4));
    assert_false(vt__sftp_name_is_safe("a\0b", 3));
}

static void test_agent(void **state)
{
    (void)state;
    static const unsigned char keys[] = "\x0c\0\0\0\2\0\0\0\4aaaa\0\0\0\1c\0\0\0\5bbbbb\0\0\0\0";
    struct vt__ssh_agent_key *list = NULL;
    size_t n = 0;
    assert_true(vt__ssh_agent_parse_keys(keys, sizeof keys - 1, &list, &n));
    assert_int_equal(n, 2);
    assert_int_equal(list[1].size, 5);
    assert_memory_equal(list[1].blob, "bbbbb", 5);
    vt__ssh_agent_keys_free(list, n);
    for (size_t cut = 0; cut < sizeof keys - 1; cut++)
        assert_false(vt__ssh_agent_parse_keys(keys, cut, &list, &n));
    static const unsigned char answer[] = "\x0e\0\0\0\x0b\0\0\0\1t\0\0\0\2SS";
    const unsigned char *sig = NULL;
    assert_true(vt__ssh_agent_parse_signature(answer, sizeof answer - 1, &sig, &n));
    assert_int_equal(n, 2);
    assert_memory_equal(sig, "SS", 2);
    for (size_t cut = 0; cut < sizeof answer - 1; cut++)
        assert_false(vt__ssh_agent_parse_signature(answer, cut, &sig, &n));
    static const unsigned char failure[] = "\x05";
    assert_false(vt__ssh_agent_parse_signature(failure, 1, &sig, &n));
}

#define HEX "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

static void test_digests(void **state)
{
    (void)state;
    char hex[2][65];
    static const char out[] = HEX "  a\n\\" HEX "  with\\nnewline\nnoise\n" HEX "x\n" HEX "\n";
    assert_int_equal(vt__read_digests(out, sizeof out - 1, hex, 2), 2);
    assert_string_equal(hex[1], "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    static const char three[] = HEX " *a\n" HEX "  b\n" HEX "  c";
    assert_int_equal(vt__read_digests(three, sizeof three - 1, hex, 2), 3);
    assert_int_equal(vt__read_digests("", 0, hex, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_banner),     cmocka_unit_test(test_sftp_replies),
        cmocka_unit_test(test_sftp_names), cmocka_unit_test(test_names_that_lead_out),
        cmocka_unit_test(test_agent),      cmocka_unit_test(test_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
