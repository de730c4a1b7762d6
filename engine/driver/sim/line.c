#include "driver/sim/line.h"

#include <ctype.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"

enum token { T_END, T_WORD, T_SEMI, T_NEWLINE, T_AMP, T_AND, T_OR, T_REDIRECT };

struct parser {
    const char *p, *end;
    struct vt__sim_line *line;
    struct vt_error *err;

    enum token token;
    struct vt__sim_word word; /* of a T_WORD */
    bool bare;                /* the word has no quote or expansion in it */
    struct vt__sim_redirect redirect;
};

static const char where[] = "sh";

static enum vt_code syntax(struct parser *ps, const char *what)
{
    return vt_fail(ps->err, VT_EINVAL, where, "syntax error: %s", what);
}

static enum vt_code unknown(struct parser *ps, const char *what)
{
    return vt_fail(ps->err, VT_EUNSUPPORTED, where, "the simulated shell does not know %s", what);
}

static char peek(const struct parser *ps, size_t ahead)
{
    return (size_t)(ps->end - ps->p) > ahead ? ps->p[ahead] : '\0';
}

static void word_clear(struct vt__sim_word *word)
{
    for (size_t i = 0; i < word->count; i++)
        vt_free(word->segments[i].text);
    vt_free(word->segments);
    *word = (struct vt__sim_word){0};
}

static struct vt__sim_segment *add_segment(struct vt__sim_word *word,
                                           enum vt__sim_segment_kind kind, bool quoted,
                                           const char *text, size_t n)
{
    if (!(word->count & (word->count + 1))) /* grows at 0, 1, 3, 7, … */
        word->segments = vt_realloc(word->segments, (word->count * 2 + 1) * sizeof *word->segments);
    struct vt__sim_segment *segment = &word->segments[word->count++];
    *segment = (struct vt__sim_segment){kind, quoted, vt_strndup(text, n)};
    return segment;
}

/* Takes the literal text gathered so far into the word. An empty text counts where quotes made
 * it: '' is a word. */
static void flush_text(struct parser *ps, struct vt_buf *text, bool quoted)
{
    if (text->len || quoted)
        add_segment(&ps->word, VT__SIM_TEXT, quoted, vt_buf_str(text), text->len);
    vt_buf_clear(text);
}

/* At a '$'. */
static enum vt_code dollar(struct parser *ps, bool quoted, struct vt_buf *text)
{
    char c = peek(ps, 1);
    bool brace = c == '{';
    const char *name = ps->p + 1 + brace;
    size_t n = 0;
    while (name + n < ps->end && (isalnum((unsigned char)name[n]) || name[n] == '_'))
        n++;
    if (c == '(')
        return unknown(ps, "$(");
    if (c == '?' || c == '$') {
        flush_text(ps, text, false);
        add_segment(&ps->word, c == '?' ? VT__SIM_STATUS : VT__SIM_PID, quoted, "", 0);
        ps->p += 2;
        return VT_OK;
    }
    if (!brace && !n && !(c && strchr("@*#!-", c))) {
        vt_buf_putc(text, '$'); /* a lone one is itself */
        ps->p++;
        return VT_OK;
    }
    if (!n || isdigit((unsigned char)*name) || (brace && (name + n == ps->end || name[n] != '}')))
        return unknown(ps, "this use of $ (only $NAME, ${NAME}, $? and $$)");
    flush_text(ps, text, false);
    add_segment(&ps->word, VT__SIM_VARIABLE, quoted, name, n);
    ps->p = name + n + brace;
    return VT_OK;
}

static enum vt_code single_quoted(struct parser *ps, struct vt_buf *text)
{
    const char *close = memchr(ps->p + 1, '\'', (size_t)(ps->end - ps->p - 1));
    if (!close)
        return syntax(ps, "a ' is not closed");
    flush_text(ps, text, false);
    vt_buf_add(text, ps->p + 1, (size_t)(close - ps->p - 1));
    flush_text(ps, text, true);
    ps->p = close + 1;
    return VT_OK;
}

static enum vt_code double_quoted(struct parser *ps, struct vt_buf *text)
{
    flush_text(ps, text, false);
    ps->p++;
    for (;;) {
        if (ps->p == ps->end)
            return syntax(ps, "a \" is not closed");
        char c = *ps->p;
        if (c == '"')
            break;
        if (c == '`')
            return unknown(ps, "`");
        if (c == '$') {
            enum vt_code code = dollar(ps, true, text);
            if (code)
                return code;
            continue;
        }
        char next = peek(ps, 1);
        if (c == '\\' && next && strchr("$`\"\\\n", next)) {
            if (next != '\n')
                vt_buf_putc(text, next);
            ps->p += 2;
            continue;
        }
        vt_buf_putc(text, c);
        ps->p++;
    }
    flush_text(ps, text, true);
    ps->p++;
    return VT_OK;
}

static enum vt_code backslash(struct parser *ps, struct vt_buf *text)
{
    if (ps->p + 1 == ps->end) {
        vt_buf_putc(text, '\\');
        ps->p++;
        return VT_OK;
    }
    if (ps->p[1] != '\n') {
        flush_text(ps, text, false);
        vt_buf_putc(text, ps->p[1]);
        flush_text(ps, text, true);
        ps->bare = false;
    }
    ps->p += 2;
    return VT_OK;
}

static enum vt_code read_word(struct parser *ps)
{
    struct vt_buf text = VT_BUF_INIT;
    enum vt_code code = VT_OK;
    ps->token = T_WORD;
    ps->bare = true;
    if (*ps->p == '~' && (ps->end - ps->p == 1 || strchr("/ \t\n;&|<>", ps->p[1]))) {
        add_segment(&ps->word, VT__SIM_VARIABLE, true, "HOME", 4);
        ps->p++;
        ps->bare = false;
    }
    while (!code && ps->p < ps->end && !strchr(" \t\n;&|<>()", *ps->p)) {
        char c = *ps->p;
        if (c == '\'' || c == '"' || c == '$')
            ps->bare = false;
        if (c == '\'') {
            code = single_quoted(ps, &text);
        } else if (c == '"') {
            code = double_quoted(ps, &text);
        } else if (c == '$') {
            code = dollar(ps, false, &text);
        } else if (c == '\\') {
            code = backslash(ps, &text);
        } else if (c == '`' || c == '*' || c == '?' ||
                   (c == '[' && peek(ps, 1) != '\0' && !strchr(" \t", peek(ps, 1)))) {
            char what[] = {c, '\0'};
            code = unknown(ps, what);
        } else {
            vt_buf_putc(&text, c);
            ps->p++;
        }
    }
    if (!code && ps->bare && ps->p < ps->end && (*ps->p == '<' || *ps->p == '>') &&
        strspn(vt_buf_str(&text), "0123456789") == text.len)
        code = unknown(ps, "file descriptors other than 0, 1 and 2");
    flush_text(ps, &text, false);
    vt_buf_free(&text);
    return code;
}

static enum vt_code read_redirect(struct parser *ps)
{
    struct vt__sim_redirect *r = &ps->redirect;
    *r = (struct vt__sim_redirect){.fd = -1};
    ps->token = T_REDIRECT;
    if (isdigit((unsigned char)*ps->p)) {
        r->fd = *ps->p++ - '0';
        if (r->fd > 2)
            return unknown(ps, "file descriptors other than 0, 1 and 2");
    }
    char c = *ps->p++, next = peek(ps, 0);
    if (r->fd < 0)
        r->fd = c == '>';
    r->kind = c == '<' ? VT__SIM_READ : next == '>' ? VT__SIM_APPEND : VT__SIM_WRITE;
    if (r->kind == VT__SIM_APPEND)
        ps->p++;
    if ((c == '<') != (r->fd == 0))
        return unknown(ps, "this redirection");
    if (c == '<' && next && strchr("<&>", next))
        return unknown(ps, "this kind of <");
    if (r->kind != VT__SIM_WRITE || next != '&')
        return next == '|' ? unknown(ps, ">|") : VT_OK;
    char from = peek(ps, 1);
    if (from != '1' && from != '2')
        return unknown(ps, ">& other than >&1 and >&2");
    r->kind = VT__SIM_COPY;
    r->from = from - '0';
    ps->p += 2;
    return VT_OK;
}

static void skip_blanks(struct parser *ps)
{
    while (ps->p < ps->end) {
        if (*ps->p == ' ' || *ps->p == '\t')
            ps->p++;
        else if (*ps->p == '\\' && peek(ps, 1) == '\n')
            ps->p += 2;
        else
            break;
    }
    if (ps->p < ps->end && *ps->p == '#')
        while (ps->p < ps->end && *ps->p != '\n')
            ps->p++;
}

static enum vt_code next_token(struct parser *ps)
{
    skip_blanks(ps);
    if (ps->p == ps->end) {
        ps->token = T_END;
        return VT_OK;
    }
    char c = *ps->p, next = peek(ps, 1);
    if (c == '>' || c == '<' || (isdigit((unsigned char)c) && (next == '>' || next == '<')))
        return read_redirect(ps);
    if (c == '(' || c == ')')
        return unknown(ps, "( )");
    if (c == '|' && next != '|')
        return unknown(ps, "|");
    if (c == ';' && next == ';')
        return syntax(ps, ";; is unexpected");
    if (!strchr(";&|\n", c))
        return read_word(ps);
    bool twice = c != ';' && c != '\n' && next == c;
    ps->p += 1 + twice;
    ps->token = c == ';' ? T_SEMI : c == '\n' ? T_NEWLINE : c == '|' ? T_OR : twice ? T_AND : T_AMP;
    return VT_OK;
}

/* The text of a word without quotes and expansions, else NULL. */
static const char *bare_text(const struct parser *ps)
{
    return ps->bare && ps->word.count == 1 ? ps->word.segments[0].text : NULL;
}

static bool is_reserved(const char *word)
{
    static const char *const reserved[] = {"if",    "then", "else", "elif",    "fi",    "for",
                                           "while", "do",   "done", "case",    "until", "esac",
                                           "{",     "}",    "!",    "function"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (!strcmp(word, reserved[i]))
            return true;
    return false;
}

/* NAME= must be unquoted; what follows may be anything. */
static bool is_assignment(const struct vt__sim_word *word)
{
    const struct vt__sim_segment *first = word->segments;
    if (!first || !first->text || first->kind != VT__SIM_TEXT || first->quoted)
        return false;
    const char *eq = strchr(first->text, '=');
    if (!eq)
        return false;
    char *name = vt_strndup(first->text, (size_t)(eq - first->text));
    bool good = vt_is_env_name(name);
    vt_free(name);
    return good;
}

static enum vt_code add_word(struct parser *ps, struct vt__sim_command *command)
{
    if (command->count == command->assignments) {
        const char *text = bare_text(ps);
        if (text && is_reserved(text))
            return unknown(ps, text);
        if (is_assignment(&ps->word))
            command->assignments++;
    }
    if (!(command->count & (command->count + 1)))
        command->words =
            vt_realloc(command->words, (command->count * 2 + 1) * sizeof *command->words);
    command->words[command->count++] = ps->word;
    ps->word = (struct vt__sim_word){0};
    return VT_OK;
}

static enum vt_code add_redirect(struct parser *ps, struct vt__sim_command *command)
{
    struct vt__sim_redirect redirect = ps->redirect;
    if (redirect.kind != VT__SIM_COPY) {
        enum vt_code code = next_token(ps);
        if (code)
            return code;
        if (ps->token != T_WORD)
            return syntax(ps, "a redirection without a file");
        redirect.file = ps->word;
        ps->word = (struct vt__sim_word){0};
    }
    size_t n = command->redirect_count;
    if (!(n & (n + 1)))
        command->redirects =
            vt_realloc(command->redirects, (n * 2 + 1) * sizeof *command->redirects);
    command->redirects[command->redirect_count++] = redirect;
    return VT_OK;
}

static struct vt__sim_command *add_command(struct vt__sim_line *line)
{
    if (!(line->count & (line->count + 1)))
        line->commands = vt_realloc(line->commands, (line->count * 2 + 1) * sizeof *line->commands);
    struct vt__sim_command *command = &line->commands[line->count++];
    *command = (struct vt__sim_command){0};
    return command;
}

/* One command up to and with what ends it; ps->token is its first token. */
static enum vt_code parse_command(struct parser *ps)
{
    struct vt__sim_command *command = add_command(ps->line);
    enum vt_code code = VT_OK;
    while (!code && (ps->token == T_WORD || ps->token == T_REDIRECT)) {
        code = ps->token == T_WORD ? add_word(ps, command) : add_redirect(ps, command);
        if (!code)
            code = next_token(ps);
    }
    if (code)
        return code;
    if (!command->count && !command->redirect_count)
        return syntax(ps, "a command is missing");
    command->then = ps->token == T_AND   ? VT__SIM_AND
                    : ps->token == T_OR  ? VT__SIM_OR
                    : ps->token == T_AMP ? VT__SIM_BACKGROUND
                                         : VT__SIM_SEQUENCE;
    return ps->token == T_END ? VT_OK : next_token(ps);
}

enum vt_code vt__sim_line_parse(const char *text, size_t n, struct vt__sim_line *line,
                                struct vt_error *err)
{
    *line = (struct vt__sim_line){0};
    struct parser ps = {.p = text, .end = text + n, .line = line, .err = err};
    if (n > VT__SIM_LINE_MAX)
        return vt_fail(err, VT_ELIMIT, where, "the line is longer than %zu bytes",
                       VT__SIM_LINE_MAX);
    if (memchr(text, '\0', n))
        return syntax(&ps, "a NUL byte");
    enum vt_code code = next_token(&ps);
    while (!code && (ps.token == T_NEWLINE))
        code = next_token(&ps);
    while (!code && ps.token != T_END) {
        code = parse_command(&ps);
        bool open = line->count && (line->commands[line->count - 1].then == VT__SIM_AND ||
                                    line->commands[line->count - 1].then == VT__SIM_OR);
        while (!code && ps.token == T_NEWLINE)
            code = next_token(&ps);
        if (!code && open && ps.token == T_END)
            code = syntax(&ps, "the line ends after && or ||");
    }
    word_clear(&ps.word);
    if (code)
        vt__sim_line_clear(line);
    return code;
}

void vt__sim_line_clear(struct vt__sim_line *line)
{
    for (size_t i = 0; i < line->count; i++) {
        struct vt__sim_command *command = &line->commands[i];
        for (size_t k = 0; k < command->count; k++)
            word_clear(&command->words[k]);
        for (size_t k = 0; k < command->redirect_count; k++)
            word_clear(&command->redirects[k].file);
        vt_free(command->words);
        vt_free(command->redirects);
    }
    vt_free(line->commands);
    *line = (struct vt__sim_line){0};
}
