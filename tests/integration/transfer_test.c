#include "transfer_test.h"

#include <dirent.h>
#include <sys/stat.h>

#include "core/fs.h"

void write_local(const char *path, const char *data, size_t n, unsigned mode)
{
    assert_int_equal(vt_write_file(path, data, n, mode, NULL), VT_OK);
}

void assert_file(const char *path, const char *data, size_t n, unsigned mode)
{
    struct stat st;
    struct vt_buf text = VT_BUF_INIT;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 07777, mode);
    assert_int_equal(vt_read_file(path, n + 1, &text, NULL), VT_OK);
    assert_int_equal(text.len, n);
    assert_memory_equal(vt_buf_str(&text), data, n);
    vt_buf_free(&text);
}

int entries(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int n = -2;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

struct outcome transfer_ok(struct rig *r, const struct vt_transfer_opts *opts)
{
    struct outcome o = transfer_now(r->loop, r->ch, opts);
    if (o.code)
        print_error("%s\n", o.error.message);
    assert_int_equal(o.code, VT_OK);
    return o;
}

void on_progress(uint64_t done, uint64_t total, const char *file, void *user)
{
    struct progress *p = user;
    assert_true(done > p->last);
    assert_non_null(file);
    p->last = done;
    p->total = total;
    p->calls++;
}
