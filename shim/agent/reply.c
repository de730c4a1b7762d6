#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agent.h"
#include "files.h"

enum {
    STATUS_OK = 0,
    STATUS_EOF = 1,
    STATUS_NO_SUCH_FILE = 2,
    STATUS_PERMISSION_DENIED = 3,
    STATUS_FAILURE = 4,
    STATUS_UNSUPPORTED = 8,
    STATUS_NO_SPACE = 14
};

enum {
    REPLY_STATUS = 101,
    REPLY_HANDLE,
    REPLY_DATA,
    REPLY_NAME,
    REPLY_ATTRS,
    REPLY_EXTENDED = 201
};

enum { head = 9 /* u32 length, u8 type, u32 id */, data_head = head + 4 };
enum { names_room = 32768, one_name = 1024 /* macOS's longest d_name */ + 24 };

static void begin(struct request *r, size_t most)
{
    r->reply = port_begin(head + most);
    r->at = r->reply + head;
}

static void end(struct request *r, unsigned type)
{
    size_t n = (size_t)(r->at - r->reply);
    vt__store_u32(r->reply, (uint32_t)n - 4);
    r->reply[4] = (unsigned char)type;
    vt__store_u32(r->reply + 5, r->id);
    port_end(VT__FRAME_BYTES, 0, r->channel, n);
}

static void add_u32(struct request *r, uint32_t v)
{
    vt__store_u32(r->at, v);
    r->at += 4;
}

static void add_u64(struct request *r, uint64_t v)
{
    vt__store_u64(r->at, v);
    r->at += 8;
}

static void add_string(struct request *r, const char *s)
{
    size_t n = strlen(s);
    add_u32(r, (uint32_t)n);
    memcpy(r->at, s, n);
    r->at += n;
}

static void add_attrs(struct request *r, const struct stat *st)
{
    add_u32(r, ATTR_SIZE | ATTR_MODE);
    add_u64(r, (uint64_t)st->st_size);
    add_u32(r, st->st_mode);
}

static void reply_status(struct request *r, uint32_t status, const char *text)
{
    begin(r, 12 + strlen(text));
    add_u32(r, status);
    add_string(r, text);
    add_string(r, ""); /* language */
    end(r, REPLY_STATUS);
}

void reply_errno(struct request *r, int sys)
{
    uint32_t status = STATUS_FAILURE;
    if (!sys)
        status = STATUS_OK;
    else if (sys == ENOENT || sys == ENOTDIR)
        status = STATUS_NO_SUCH_FILE;
    else if (sys == EACCES || sys == EPERM)
        status = STATUS_PERMISSION_DENIED;
    else if (sys == ENOSPC || sys == EDQUOT)
        status = STATUS_NO_SPACE;
    else if (sys == ENOSYS)
        status = STATUS_UNSUPPORTED;
    reply_status(r, status, sys ? strerror(sys) : "");
}

void reply_end_of_file(struct request *r)
{
    reply_status(r, STATUS_EOF, "");
}

void reply_handle(struct request *r, uint32_t handle)
{
    begin(r, 8);
    add_u32(r, 4);
    add_u32(r, handle);
    end(r, REPLY_HANDLE);
}

void reply_stat(struct request *r, const struct stat *st)
{
    begin(r, 16);
    add_attrs(r, st);
    end(r, REPLY_ATTRS);
}

void reply_space(struct request *r, const char *path)
{
    struct statvfs st;
    if (statvfs(path, &st)) {
        reply_errno(r, errno);
        return;
    }
    const uint64_t values[] = {st.f_bsize,  st.f_frsize, st.f_blocks, st.f_bfree,
                               st.f_bavail, st.f_files,  st.f_ffree,  st.f_favail,
                               st.f_fsid,   st.f_flag,   st.f_namemax};
    begin(r, sizeof values);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        add_u64(r, values[i]);
    end(r, REPLY_EXTENDED);
}

unsigned char *reply_data_begin(struct request *r, size_t most)
{
    begin(r, 4 + most);
    return r->reply + data_head;
}

void reply_data_end(struct request *r, size_t n)
{
    add_u32(r, (uint32_t)n);
    r->at += n;
    end(r, REPLY_DATA);
}

void reply_names_begin(struct request *r)
{
    begin(r, names_room);
    add_u32(r, 0); /* count, told at the end */
}

bool reply_names_room(const struct request *r)
{
    return names_room - (r->at - r->reply - head) >= one_name;
}

/* name, the same as a line of ls (which nobody reads), attributes */
void reply_names_add(struct request *r, const char *name, const struct stat *st)
{
    add_string(r, name);
    add_string(r, "");
    add_attrs(r, st);
}

void reply_names_end(struct request *r, uint32_t count)
{
    vt__store_u32(r->reply + head, count);
    end(r, REPLY_NAME);
}
