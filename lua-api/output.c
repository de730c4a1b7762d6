/* What a suite prints becomes events, in order with all others. io.stdout and io.stderr stay
 * ordinary files for Lua: streams whose writes end here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

/* In bytes: what is gathered for one event; how much of a test's output is written line by line,
 * since it may hang or crash next; what one test may print. */
#define GATHER 8192
#define EAGER 4096
#define TEST_LIMIT ((size_t)1 << 20)

void vtl_output_flush(struct vtl_host *h)
{
    struct vtl_output *o = &h->output;
    if (!o->stream)
        return;
    vtl_line_begin(&h->line, "output");
    vtl_line_str(&h->line, "stream", o->stream);
    vtl_line_text(&h->line, "text", o->text, o->len);
    vtl_line_end(&h->line);
    vt_event_write_line(h->events, h->line.data, h->line.len);
    o->stream = NULL;
    o->len = 0;
}

static void say_cut(struct vtl_host *h)
{
    h->output.cut = true;
    vtl_event_log(h, "warning", "more than 1 MiB was printed by one test; the rest is left out");
}

void vtl_output_add(struct vtl_host *h, const char *stream, const char *text, size_t n)
{
    struct vtl_output *o = &h->output;
    if (o->stream && o->stream != stream)
        vtl_output_flush(h);
    if (!o->text) {
        o->cap = GATHER;
        o->text = vtl_alloc(o->cap);
    }
    while (n) {
        size_t left = TEST_LIMIT - o->told, part = n < o->cap - o->len ? n : o->cap - o->len;
        if (part > left)
            part = left;
        if (!part) {
            if (!o->cut)
                say_cut(h);
            return;
        }
        o->stream = stream;
        memcpy(o->text + o->len, text, part);
        o->len += part;
        o->told += part;
        text += part;
        n -= part;
        if (o->len == o->cap)
            vtl_output_flush(h);
    }
    if (o->told <= EAGER && o->len && o->text[o->len - 1] == '\n') {
        vtl_output_flush(h);
        vt_event_flush(h->events, NULL);
    }
}

struct vtl_line *vtl_event(struct vtl_host *h, const char *type)
{
    vtl_output_flush(h);
    vtl_line_begin(&h->line, type);
    return &h->line;
}

void vtl_event_end(struct vtl_host *h)
{
    vtl_line_end(&h->line);
    vt_event_write_line(h->events, h->line.data, h->line.len);
}

void vtl_event_log(struct vtl_host *h, const char *level, const char *text)
{
    struct vtl_line *l = vtl_event(h, "log");
    vtl_line_str(l, "level", level);
    vtl_line_str(l, "text", text);
    vtl_event_end(h);
}

struct sink {
    struct vtl_host *host;
    const char *stream;
};

#if defined(__APPLE__)
static int sink_write(void *sink, const char *text, int n)
{
    struct sink *s = sink;
    vtl_output_add(s->host, s->stream, text, (size_t)n);
    return n;
}
#else
static ssize_t sink_write(void *sink, const char *text, size_t n)
{
    struct sink *s = sink;
    vtl_output_add(s->host, s->stream, text, n);
    return (ssize_t)n;
}
#endif

static int sink_close(void *sink)
{
    free(sink);
    return 0;
}

static FILE *sink_open(struct vtl_host *h, const char *stream)
{
    struct sink *s = vtl_alloc(sizeof *s);
    *s = (struct sink){.host = h, .stream = stream};
#if defined(__APPLE__)
    FILE *f = funopen(s, NULL, sink_write, NULL, sink_close);
#else
    FILE *f =
        fopencookie(s, "w", (cookie_io_functions_t){.write = sink_write, .close = sink_close});
#endif
    if (!f)
        free(s);
    else
        setvbuf(f, NULL, _IONBF, 0); /* order with the other stream */
    return f;
}

static int refuse_close(lua_State *L)
{
    luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    s->closef = refuse_close; /* io.close has cleared it */
    luaL_pushfail(L);
    lua_pushliteral(L, "cannot close standard file");
    return 2;
}

/* The stream itself is closed with the state, by this userdata's collector. */
struct owner {
    FILE *file;
};

static int sink_gc(lua_State *L)
{
    struct owner *o = lua_touserdata(L, 1);
    if (o->file)
        fclose(o->file);
    o->file = NULL;
    return 0;
}

static void open_stream(lua_State *L, const char *stream)
{
    struct owner *owner = lua_newuserdatauv(L, sizeof *owner, 0);
    owner->file = NULL;
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, sink_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    luaL_Stream *s = lua_newuserdatauv(L, sizeof *s, 1);
    s->closef = NULL;
    luaL_setmetatable(L, LUA_FILEHANDLE);
    owner->file = s->f = sink_open(vtl_host(L), stream);
    if (!s->f)
        luaL_error(L, "cannot open a stream for %s", stream);
    s->closef = refuse_close;
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 1); /* the file keeps its owner alive */
}

static int print(lua_State *L)
{
    struct vtl_host *h = vtl_host(L);
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_addchar(&b, '\n');
    luaL_pushresult(&b);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    vtl_output_add(h, "stdout", text, len);
    return 0;
}

void vtl_output_open(lua_State *L)
{
    lua_pushcfunction(L, print);
    lua_setglobal(L, "print");
    lua_getglobal(L, "io");
    lua_getfield(L, -1, "output");
    open_stream(L, "stdout");
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "stdout");
    lua_call(L, 1, 0); /* io.output(io.stdout) */
    open_stream(L, "stderr");
    lua_setfield(L, -2, "stderr");
    lua_pop(L, 1);
}
