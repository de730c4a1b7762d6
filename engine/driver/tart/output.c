#include "driver/tart/output.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "vmtest/apple.h"

#define LIST_MAX 4096
#define NAME_MAX_ 512
#define SAID_MAX 400 /* bytes of tart's own words in a message */
#define TAIL_MAX 4096

/* --- JSON --- */

/* Warnings may come before it, on lines of their own. */
static json_t *parse(const char *text, size_t n, char opening)
{
    size_t at = 0;
    while (at < n && text[at] != opening) {
        const char *end = memchr(text + at, '\n', n - at);
        at = end ? (size_t)(end - text) + 1 : n;
    }
    return at < n ? json_loadb(text + at, n - at, 0, NULL) : NULL;
}

static int64_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    double n = json_number_value(value);
    if (text) {
        char *end;
        n = strtod(text, &end);
        if (end == text)
            n = 0;
    }
    return n >= 0 && n < 9e15 ? (int64_t)n : 0;
}

static enum vt_tart_state state_of(const json_t *object)
{
    static const struct {
        const char *word;
        enum vt_tart_state state;
    } words[] = {{"running", VT_TART_RUNNING},
                 {"suspended", VT_TART_SUSPENDED},
                 {"stopped", VT_TART_STOPPED}};
    const char *word = vt_json_str(object, "State", "");
    const json_t *running = json_object_get(object, "Running");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(word, words[i].word))
            return words[i].state;
    if (json_is_boolean(running))
        return json_is_true(running) ? VT_TART_RUNNING : VT_TART_STOPPED;
    word = json_string_value(running);
    if (word && (!strcasecmp(word, "true") || !strcasecmp(word, "false")))
        return !strcasecmp(word, "true") ? VT_TART_RUNNING : VT_TART_STOPPED;
    return VT_TART_UNKNOWN;
}

static struct vt_tart_vm read_one(const json_t *object)
{
    const char *name = vt_json_str(object, "Name", NULL);
    return (struct vt_tart_vm){
        .name = name && *name && strlen(name) <= NAME_MAX_ ? vt_strdup(name) : NULL,
        .os = vt_strdup(vt_json_str(object, "OS", NULL)),
        .state = state_of(object),
        .cpus = number(object, "CPU"),
        .memory_mib = number(object, "Memory"),
    };
}

static enum vt_code no_json(const char *command, const char *text, size_t n, struct vt_error *err)
{
    vt_fail(err, VT_EPROTO, "tart", "`tart %s` printed no JSON that can be read: %.*s", command,
            (int)(n < 100 ? n : 100), text);
    vt_hint(err, "`tart %s` shows it; `tart --version` tells which one this is", command);
    return VT_EPROTO;
}

enum vt_code vt_tart_read_list(const char *text, size_t n, struct vt_tart_vm **out, size_t *count,
                               struct vt_error *err)
{
    *out = NULL;
    *count = 0;
    json_t *all = parse(text, n, '[');
    size_t size = json_array_size(all);
    if (!json_is_array(all) || size > LIST_MAX) {
        json_decref(all);
        return no_json("list --format json", text, n, err);
    }
    *out = vt_calloc(size + 1, sizeof **out);
    for (size_t i = 0; i < size; i++) {
        struct vt_tart_vm one = read_one(json_array_get(all, i));
        if (one.name)
            (*out)[(*count)++] = one;
        else
            vt_tart_vm_clear(&one);
    }
    json_decref(all);
    return VT_OK;
}

void vt_tart_list_free(struct vt_tart_vm *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        vt_tart_vm_clear(&list[i]);
    vt_free(list);
}

const struct vt_tart_vm *vt_tart_find(const struct vt_tart_vm *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(list[i].name, name))
            return &list[i];
    return NULL;
}

enum vt_code vt_tart_read_vm(const char *text, size_t n, struct vt_tart_vm *out,
                             struct vt_error *err)
{
    *out = (struct vt_tart_vm){.name = NULL};
    json_t *object = parse(text, n, '{');
    bool good = json_is_object(object);
    if (good)
        *out = read_one(object);
    json_decref(object);
    return good ? VT_OK : no_json("get NAME --format json", text, n, err);
}

void vt_tart_vm_clear(struct vt_tart_vm *vm)
{
    vt_free(vm->name);
    vt_free(vm->os);
    *vm = (struct vt_tart_vm){.name = NULL};
}

/* --- lines --- */

int vt_tart_read_version(const char *text)
{
    int major = 0, minor = 0;
    char dot = 0;
    if (sscanf(text, "%4d%c%3d", &major, &dot, &minor) != 3 || dot != '.' || major < 0 || minor < 0)
        return 0;
    return major * 1000 + minor;
}

bool vt_tart_read_address(const char *text, char out[64])
{
    unsigned char parsed[16];
    size_t n = strlen(text);
    while (n && strchr("\r\n \t", text[n - 1]))
        n--;
    size_t at = n;
    while (at && text[at - 1] != '\n')
        at--;
    if (n - at == 0 || n - at > 63)
        return false;
    memcpy(out, text + at, n - at);
    out[n - at] = '\0';
    return inet_pton(AF_INET, out, parsed) == 1 || inet_pton(AF_INET6, out, parsed) == 1;
}

enum vt_tart_progress vt_tart_read_progress(const char *said)
{
    if (strstr(said, "resuming VM") || vt_tart_says_collision(said))
        return VT_TART_RESUMED;
    return strstr(said, "restoring VM state") ? VT_TART_RESUMING : VT_TART_SILENT;
}

bool vt_tart_says_collision(const char *said)
{
    return strstr(said, "with the same MAC address") != NULL;
}

/* --- errors --- */

/* Of a third macOS guest. */
static bool says_full(const char *said)
{
    static const char *const words[] = {
        "VZErrorDomain Code=6",
        "maximum number of active virtual machines",
        "maximum supported number of active virtual machines",
        "number of VMs exceeds the system limit",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(said, words[i]))
            return true;
    return false;
}

/* Sentences of Tart and of Apple's framework, or the part of them that stayed the same. */
static const struct {
    const char *says;
    enum vt_code code;
    const char *what, *hint;
} known[] = {
    {"only suspend macOS VMs", VT_EUNSUPPORTED, "tart cannot suspend Linux guests",
     "say tart = {suspendable = false}: there are no snapshots then, and clean VMs are booted"},
    {"Suspending VMs with shared directories", VT_EUNSUPPORTED,
     "tart cannot suspend VMs with shares", "leave out the shares, or suspendable"},
    {"does not exist", VT_ENOTFOUND, "there is no such VM",
     "`tart list` shows those there are; `tart pull` and `tart create` make them"},
    {"doesn't exist", VT_ENOTFOUND, "there is no such VM",
     "`tart list` shows those there are; `tart pull` and `tart create` make them"},
    {"is already running", VT_EBUSY, "that VM runs already", "`tart list` shows what runs"},
    {"\" is running", VT_EBUSY, "that VM runs", "`tart list` shows what runs"},
    {"Failed to lock auxiliary storage", VT_EBUSY, "another process runs that VM",
     "`tart list` may not tell: look for processes called tart"},
    {"must be stopped before cloning", VT_EUNSUPPORTED,
     "tart does not copy what is saved of VMs with stacked disks",
     "clone from an image with a disk of its own"},
    {"failed to restore", VT_ESTATE, "macOS refuses what was saved of it",
     "it goes on only on the host, and by the macOS, that saved it: take the snapshot anew"},
    {"failed to get terminal size", VT_EUNSUPPORTED,
     "this version of tart cannot exec without a terminal",
     "update tart, or reach the guest by ssh: tart = {user = …, key = …}"},
    {"Unknown option", VT_EUNSUPPORTED, "this version of tart cannot do that", "update tart"},
    {"No space left on device", VT_ENOSPC, "the disk is full",
     "`tart prune` removes what tart keeps of images"},
};

#define VZ_LIMIT 6 /* VZErrorVirtualMachineLimitExceeded */

enum vt_code vt_tart_explain(const char *said, const char *op, const char *doing,
                             struct vt_error *err)
{
    size_t n = strlen(said);
    while (n && strchr("\r\n \t", said[n - 1]))
        n--;
    const char *from = n > SAID_MAX ? said + n - SAID_MAX : said;
    int length = (int)(said + n - from);
    if (says_full(said)) {
        char text[SAID_MAX + 200];
        snprintf(text, sizeof text, "%s (tart: %.*s)", doing, length, from);
        return vt_apple_fail(err, op, "VZErrorDomain", VZ_LIMIT, text);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!strstr(said, known[i].says))
            continue;
        vt_fail(err, known[i].code, op, "%s: %s (tart: %.*s)", doing, known[i].what, length, from);
        vt_hint(err, "%s", known[i].hint);
        return known[i].code;
    }
    return vt_fail(err, VT_EHYPERVISOR, op, "%s%s%.*s", doing,
                   length ? ": tart says: " : ": tart says nothing about it", length, from);
}

bool vt_tart_find_status(const char *said, size_t n, const char *token, size_t *at, int *status)
{
    size_t length = strlen(token), end = n;
    char *rest;
    if (!n || said[n - 1] != '\n')
        return false;
    for (end = n - 1; end && said[end - 1] != '\n'; end--)
        ;
    if (!end || n - end < length + 3 || memcmp(said + end, token, length) != 0 ||
        said[end + length] != ' ')
        return false;
    long value = strtol(said + end + length + 1, &rest, 10);
    if (rest != said + n - 1 || value < 0 || value > 255)
        return false;
    *at = end - 1;
    *status = (int)value;
    return true;
}

#define CANNOT_START 125 /* of `tart exec` */

enum vt_code vt_tart_exec_failed(const char *said, int status, const char *vm, struct vt_error *err)
{
    char doing[200];
    struct vt_error own = VT_ERROR_INIT;
    snprintf(doing, sizeof doing, "VM %s: `tart exec` %s (status %d)", vm,
             status == CANNOT_START ? "could not start a command" : "ended before the command did",
             status);
    vt_tart_explain(said, "exec", doing, &own);
    if (own.code == VT_EHYPERVISOR) /* what is not known is that the guest does not answer */
        own.code = VT_EGUEST;
    return vt_error_copy(err, &own);
}

/* --- the log of `tart run` --- */

void vt_tart_log_tail(const char *log, struct vt_buf *out)
{
    char text[TAIL_MAX];
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    ssize_t n = 0;
    if (fd >= 0)
        n = pread(fd, text, sizeof text, size > TAIL_MAX ? size - TAIL_MAX : 0);
    if (fd >= 0)
        close(fd);
    if (n > 0)
        vt_utf8_append(out, text, (size_t)n);
}
