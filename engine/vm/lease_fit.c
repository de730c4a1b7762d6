/* Limits of the host, and whether one more VM fits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"
#include "vm/lease.h"
#include "vmtest/apple.h"
#include "vmtest/units.h"

#define OP "vm.start"
#define GIB ((uint64_t)1 << 30)
#define CPU_FACTOR 4
#define CPUS_MAX 100000
#define DISK_RESERVE ((uint64_t)256 << 20)
#define HOLDERS_SHOWN 4

/* --- limits --- */

static const char *env(const char *name)
{
    const char *text = getenv(name);
    return text && *text ? text : NULL;
}

/* What a container may use, where it is one. */
static uint64_t group_memory(void)
{
    struct vt_buf text = VT_BUF_INIT;
    uint64_t bytes = 0;
    if (vt_read_file("/sys/fs/cgroup/memory.max", 64, &text, NULL) == VT_OK)
        bytes = strtoull(vt_buf_str(&text), NULL, 10); /* "max" is 0 */
    vt_buf_free(&text);
    return bytes;
}

static uint64_t default_memory(void)
{
    uint64_t total = vt_memory_total(), group = group_memory();
    if (group && (group < total || !total))
        total = group;
    uint64_t reserve = total / 8 > GIB ? total / 8 : GIB;
    return total > 2 * reserve ? total - reserve : total / 2;
}

static enum vt_code size_of(const char *name, uint64_t fallback, uint64_t *out,
                            struct vt_error *err)
{
    struct vt_error why = VT_ERROR_INIT;
    *out = fallback;
    if (!env(name) || vt_parse_size(env(name), out, &why) == VT_OK)
        return VT_OK;
    vt_fail(err, VT_EINVAL, OP, "%s: %s", name, why.message);
    vt_hint(err, "%s", why.hint);
    return VT_EINVAL;
}

static enum vt_code count_of(const char *name, const char *of, int least, int most, int *out,
                             struct vt_error *err)
{
    const char *text = env(name);
    char *end;
    if (!text)
        return VT_OK;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < least || n > most) {
        vt_fail(err, VT_EINVAL, OP, "%s: \"%s\" is no number of %s", name, text, of);
        vt_hint(err, "it is to be a number from %d to %d", least, most);
        return VT_EINVAL;
    }
    *out = (int)n;
    return VT_OK;
}

enum vt_code vt_lease_limits(struct vt_lease_limits *limits, struct vt_error *err)
{
    *limits = (struct vt_lease_limits){.cpus = CPU_FACTOR * vt_cpu_count(),
                                       .macos_guests = VT_MACOS_GUESTS_MAX};
    enum vt_code code = size_of("VMTEST_MEMORY_LIMIT", default_memory(), &limits->memory, err);
    if (!code)
        code = size_of("VMTEST_DISK_RESERVE", DISK_RESERVE, &limits->disk_reserve, err);
    if (!code)
        code = count_of("VMTEST_CPU_LIMIT", "processors", 1, CPUS_MAX, &limits->cpus, err);
    if (!code)
        code = count_of("VMTEST_MACOS_LIMIT", "macOS guests", 0, VT_MACOS_GUESTS_MAX,
                        &limits->macos_guests, err);
    return code;
}

/* --- who is in the way --- */

enum part { MEMORY, CPUS, SLOT, MACOS };

static uint64_t share_of(const struct vt_leased *l, enum part part, const struct vt_needs *needs)
{
    switch (part) {
    case MEMORY:
        return l->memory;
    case CPUS:
        return (uint64_t)l->cpus;
    case SLOT:
        return needs->slot && l->slot && !strcmp(l->slot, needs->slot) ? 1 : 0;
    case MACOS:
        return l->macos_guest;
    }
    return 0;
}

static bool counts(const struct vt__lease_entry *e, const char *name, const char *place)
{
    if ((name && !strcmp(e->name, name)) || (place && e->place && !strcmp(e->place, place)))
        return false; /* our own place in the queue, or what our hypervisor holds still */
    return !e->leased.waiting || !name || strcmp(e->name, name) < 0;
}

struct check {
    const struct vt__lease_table *t;
    const char *name, *vm, *place;
    const struct vt_needs *needs;
    struct vt_lease_limits limits;
    char **reason;
    struct vt_error *why;
};

static uint64_t share(const struct check *c, size_t i, enum part part)
{
    const struct vt__lease_entry *e = &c->t->entries[i];
    return counts(e, c->name, c->place) ? share_of(&e->leased, part, c->needs) : 0;
}

static uint64_t taken(const struct check *c, enum part part)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < c->t->count; i++) {
        uint64_t n = share(c, i, part);
        sum = sum > UINT64_MAX - n ? UINT64_MAX : sum + n;
    }
    return sum;
}

static void print_amount(struct vt_buf *out, enum part part, uint64_t n)
{
    char size[32];
    if (part == MEMORY)
        vt_buf_printf(out, "%s", vt_format_size(size, sizeof size, n));
    else if (part == CPUS)
        vt_buf_printf(out, "%llu processor%s", (unsigned long long)n, n == 1 ? "" : "s");
}

/* "run R (VM v of jo, pid 77, 2.0 GiB, held since 12:00:00Z)", the oldest first. */
static void print_holders(struct vt_buf *out, const struct check *c, enum part part)
{
    unsigned shown = 0, more = 0;
    for (size_t i = 0; i < c->t->count; i++) {
        const struct vt_leased *l = &c->t->entries[i].leased;
        uint64_t n = share(c, i, part);
        if (!n)
            continue;
        if (shown == HOLDERS_SHOWN) {
            more++;
            continue;
        }
        vt_buf_printf(out, "%s%s%.80s%sVM %.64s of %.32s, pid %ld, ", shown++ ? "; " : "",
                      *l->run ? "run " : "", l->run, *l->run ? " (" : "(", l->vm, l->user, l->pid);
        print_amount(out, part, n);
        vt_buf_printf(out, "%s%s since %.32s)", part == SLOT || part == MACOS ? "" : ", ",
                      l->waiting ? "waiting" : "held", l->since);
    }
    if (more)
        vt_buf_printf(out, " and %u more", more);
}

/* --- the checks --- */

/* "vmtest vm" ends what a user kept; the rest ends by itself. */
#define HOW "wait for it (--wait), or end what is not needed: `vmtest vm ls`, `vmtest vm rm NAME`"

static enum vt_code refuse(const struct check *c, enum part part, uint64_t wanted, uint64_t used,
                           uint64_t limit)
{
    struct vt_buf want = VT_BUF_INIT, rest = VT_BUF_INIT, all = VT_BUF_INIT, who = VT_BUF_INIT;
    const char *of = part == MEMORY ? " of memory" : "";
    print_amount(&want, part, wanted);
    print_amount(&rest, part, used < limit ? limit - used : 0);
    print_amount(&all, part, limit);
    print_holders(&who, c, part);
    vt_fail(c->why, VT_EBUSY, OP, "VM %s needs %s%s, and %s of %s %s free; held by %s", c->vm,
            vt_buf_str(&want), of, vt_buf_str(&rest), vt_buf_str(&all),
            part == MEMORY ? "are" : "is", vt_buf_str(&who));
    vt_hint(c->why, HOW "; VMTEST_%s_LIMIT changes the limit", part == MEMORY ? "MEMORY" : "CPU");
    struct vt_buf short_text = VT_BUF_INIT;
    vt_buf_printf(&short_text, "%s%s: held by %s", vt_buf_str(&want), of, vt_buf_str(&who));
    *c->reason = vt_buf_steal(&short_text);
    vt_buf_free(&want);
    vt_buf_free(&rest);
    vt_buf_free(&all);
    vt_buf_free(&who);
    return VT_EBUSY;
}

/* More than there ever is. */
static enum vt_code check_size(const struct check *c)
{
    char wanted[32], limit[32];
    if (c->needs->memory > c->limits.memory) {
        vt_fail(c->why, VT_ELIMIT, OP, "VM %s needs %s of memory; all VMs of this host may have %s",
                c->vm, vt_format_size(wanted, sizeof wanted, c->needs->memory),
                vt_format_size(limit, sizeof limit, c->limits.memory));
        vt_hint(c->why, "give it less (memory), or set VMTEST_MEMORY_LIMIT");
        return VT_ELIMIT;
    }
    if (c->needs->cpus > c->limits.cpus) {
        vt_fail(c->why, VT_ELIMIT, OP,
                "VM %s needs %d processors; all VMs of this host may have %d", c->vm,
                c->needs->cpus, c->limits.cpus);
        vt_hint(c->why, "give it fewer (cpus), or set VMTEST_CPU_LIMIT");
        return VT_ELIMIT;
    }
    return VT_OK;
}

static enum vt_code check_slot(const struct check *c)
{
    const struct vt_needs *needs = c->needs;
    if (!needs->slot || taken(c, SLOT) < (uint64_t)needs->slot_count)
        return VT_OK;
    struct vt_buf who = VT_BUF_INIT, text = VT_BUF_INIT;
    print_holders(&who, c, SLOT);
    vt_fail(c->why, VT_EBUSY, OP, "VM %s: %s is in use: %s", c->vm, needs->slot, vt_buf_str(&who));
    vt_hint(c->why, "wait for it (--wait)");
    vt_buf_printf(&text, "%s: used by %s", needs->slot, vt_buf_str(&who));
    *c->reason = vt_buf_steal(&text);
    vt_buf_free(&who);
    return VT_EBUSY;
}

static enum vt_code check_macos(const struct check *c)
{
    int limit = c->limits.macos_guests;
    if (!c->needs->macos_guest || (limit && taken(c, MACOS) < (uint64_t)limit))
        return VT_OK;
    if (!limit) {
        vt_fail(c->why, VT_ELIMIT, OP, "VM %s is a macOS guest, and this host is to run none",
                c->vm);
        vt_hint(c->why, "VMTEST_MACOS_LIMIT is 0; macOS runs %d at once", VT_MACOS_GUESTS_MAX);
        return VT_ELIMIT;
    }
    struct vt_buf who = VT_BUF_INIT, text = VT_BUF_INIT;
    print_holders(&who, c, MACOS);
    vt_fail(c->why, VT_EBUSY, OP,
            "VM %s is a macOS guest, of which this host runs %d at once; held by %s", c->vm, limit,
            vt_buf_str(&who));
    vt_hint(c->why, HOW);
    vt_buf_printf(&text, "one of %d slots for macOS guests: held by %s", limit, vt_buf_str(&who));
    *c->reason = vt_buf_steal(&text);
    vt_buf_free(&who);
    return VT_EBUSY;
}

static enum vt_code check_memory(const struct check *c)
{
    uint64_t wanted = c->needs->memory, used = taken(c, MEMORY);
    if (wanted && (used > c->limits.memory || wanted > c->limits.memory - used))
        return refuse(c, MEMORY, wanted, used, c->limits.memory);
#ifdef __linux__ /* elsewhere "available" leaves out what the system would give back */
    uint64_t available = vt_memory_available();
    if (wanted && available && wanted > available) {
        char size[32], rest[32];
        struct vt_buf text = VT_BUF_INIT;
        vt_format_size(size, sizeof size, wanted);
        vt_format_size(rest, sizeof rest, available);
        vt_fail(c->why, VT_EBUSY, OP,
                "VM %s needs %s of memory, and this host has only %s available: other programs use "
                "the rest",
                c->vm, size, rest);
        vt_hint(c->why, "end some of them, give the VM less (memory), or wait (--wait)");
        vt_buf_printf(&text, "%s of memory: other programs leave only %s", size, rest);
        *c->reason = vt_buf_steal(&text);
        return VT_EBUSY;
    }
#endif
    return VT_OK;
}

static enum vt_code check_cpus(const struct check *c)
{
    uint64_t wanted = (uint64_t)c->needs->cpus, limit = (uint64_t)c->limits.cpus;
    uint64_t used = taken(c, CPUS);
    if (wanted && (used > limit || wanted > limit - used))
        return refuse(c, CPUS, wanted, used, limit);
    return VT_OK;
}

static enum vt_code check_disk(const struct check *c)
{
    uint64_t free_bytes, wanted = c->needs->disk + c->limits.disk_reserve;
    char size[32], rest[32];
    if (!c->needs->disk_dir || !vt_disk_free(c->needs->disk_dir, &free_bytes) ||
        free_bytes >= wanted)
        return VT_OK;
    vt_format_size(size, sizeof size, wanted);
    vt_format_size(rest, sizeof rest, free_bytes);
    vt_fail(c->why, VT_ENOSPC, OP, "VM %s needs %s of free disk at %s, and there are %s", c->vm,
            size, c->needs->disk_dir, rest);
    vt_hint(c->why, "free some space (`vmtest gc`, `vmtest vm rm NAME`), set VMTEST_HOME to a "
                    "larger disk, or VMTEST_DISK_RESERVE to less");
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text, "%s of free disk: there are %s", size, rest);
    *c->reason = vt_buf_steal(&text);
    return VT_ENOSPC;
}

enum vt_code vt__lease_fits(const struct vt__lease_table *t, const char *name,
                            const struct vt_lease_request *request, char **reason,
                            struct vt_error *why)
{
    struct check c = {.t = t,
                      .name = name,
                      .vm = request->vm,
                      .place = request->place,
                      .needs = &request->needs,
                      .reason = reason,
                      .why = why};
    *reason = NULL;
    enum vt_code code = vt_lease_limits(&c.limits, why);
    static enum vt_code (*const checks[])(const struct check *) = {
        check_size, check_slot, check_macos, check_memory, check_cpus, check_disk};
    for (size_t i = 0; !code && i < sizeof checks / sizeof *checks; i++)
        code = checks[i](&c);
    return code;
}
