/* By ssh, to the address that `tart ip` tells. That may be another one after every start, may not
 * be there for long, and may be one that two guests have. */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "driver/tart/command.h"
#include "driver/tart/instance.h"
#include "guest/connecting.h"
#include "guest/password.h"
#include "guest/ssh.h"

#define OP "tart.connect"
#define ASK_S 20.0 /* of `tart ip`, which waits for WAIT */
#define WAIT "2"
#define TRY_S 20.0 /* at one address, before it is asked for again */
#define OTHERS_MAX 16

struct way {
    struct vt_channel base; /* first */
    struct vt_tart *t;
    struct vt__connecting connecting;
    struct vt_op *inner;    /* a command of tart's, or the connection, under way */
    struct vt_channel *ssh; /* NULL: the address is not known */
    char host[64];          /* its address */
    char found[64];         /* the one that was just told */
    unsigned attempts;
    struct vt_tart_vm *others; /* that run, to be asked for their addresses */
    size_t other_count, other;
};

static void ask_others(struct way *w);

static struct way *way_of(struct vt_channel *ch)
{
    return (struct way *)(void *)ch;
}

static void stop(struct vt_channel *ch)
{
    struct way *w = way_of(ch);
    vt_timer_clear(&w->connecting.retry);
    if (w->inner)
        vt_op_forget(w->inner);
    w->inner = NULL;
    vt_tart_list_free(w->others, w->other_count);
    w->others = NULL;
    w->other_count = 0;
}

static void again(struct way *w, const struct vt_error *why)
{
    w->inner = NULL;
    vt__connecting_again(&w->connecting, why);
}

static void end(struct way *w, const struct vt_error *why)
{
    stop(&w->base);
    vt__connecting_end(&w->connecting, why);
}

static bool ask(struct way *w, const char *const *words, vt_op_fn done)
{
    struct vt_args args = VT_ARGS_INIT;
    struct vt_error why = VT_ERROR_INIT;
    for (; *words; words++)
        vt_args_add(&args, *words);
    w->inner = vt_tart_command(w->base.loop, OP, &args, ASK_S, done, w, &why);
    vt_args_free(&args);
    if (!w->inner)
        end(w, &why);
    return w->inner != NULL;
}

/* --- at an address --- */

static void on_connected(struct vt_op *inner, void *user)
{
    struct way *w = user;
    const struct vt_error *why = vt_op_error(inner);
    w->inner = NULL;
    if (!why || why->code == VT_EAUTH || why->code == VT_EHOSTKEY) {
        struct vt_error own = VT_ERROR_INIT;
        vt_error_copy(&own, why ? why : &own);
        end(w, why ? &own : NULL);
    } else {
        again(w, why);
    }
}

static struct vt_channel *new_ssh(const struct way *w, struct vt_error *err)
{
    const struct vt_tart_options *o = &w->t->options;
    char *password = NULL;
    if (o->password_file && vt_password_read(o->password_file, &password, err))
        return NULL;
    const struct vt_ssh_config config = {.host = w->found,
                                         .port = 22,
                                         .user = o->user,
                                         .key_file = o->key,
                                         .password = password,
                                         .host_key = o->host_key};
    struct vt_channel *ssh = vt_ssh_new(w->base.loop, &config, err);
    vt_password_free(password);
    return ssh;
}

static void connect_there(struct way *w)
{
    struct vt_error why = VT_ERROR_INIT;
    vt_tart_list_free(w->others, w->other_count);
    w->others = NULL;
    w->other_count = 0;
    if (w->ssh && strcmp(w->host, w->found) != 0) {
        w->ssh->cls->free(w->ssh);
        w->ssh = NULL;
    }
    if (!w->ssh)
        w->ssh = new_ssh(w, &why);
    if (strcmp(w->t->address, w->found) != 0) {
        snprintf(w->t->address, sizeof w->t->address, "%s", w->found);
        vt_vm_changed(w->t->vm);
    }
    snprintf(w->host, sizeof w->host, "%s", w->found);
    if (w->ssh)
        w->inner = w->ssh->cls->connect(w->ssh, TRY_S, on_connected, w, &why);
    if (!w->inner)
        end(w, &why);
}

/* --- whose address it is --- */

static void on_other(struct vt_op *inner, void *user)
{
    struct way *w = user;
    struct vt_error ignored = VT_ERROR_INIT;
    const struct vt_process_result *r = vt_op_result(inner);
    const char *other = w->others[w->other].name;
    char address[64];
    w->inner = NULL;
    if (!vt_tart_outcome(inner, OP, "", &ignored) && vt_tart_read_address(r->out, address) &&
        !strcmp(address, w->found)) {
        struct vt_error why = VT_ERROR_INIT;
        vt_fail(&why, VT_EGUEST, OP,
                "VM %s and the VM %s of tart have the same address, %s: which of them answers "
                "cannot be told",
                w->t->config->name, other, w->found);
        vt_hint(&why,
                "end one of them; macOS hands leases out for a day and runs out of addresses: "
                "remove /var/db/dhcpd_leases, and shorten DHCPLeaseTimeSecs in "
                "/Library/Preferences/SystemConfiguration/com.apple.InternetSharing.default");
        end(w, &why);
        return;
    }
    w->other++;
    ask_others(w);
}

static void ask_others(struct way *w)
{
    while (w->other < w->other_count && w->other < OTHERS_MAX &&
           (w->others[w->other].state != VT_TART_RUNNING ||
            !strcmp(w->others[w->other].name, w->t->name)))
        w->other++;
    if (w->other >= w->other_count || w->other >= OTHERS_MAX) {
        connect_there(w);
        return;
    }
    const char *const words[] = {"ip", w->others[w->other].name, NULL};
    ask(w, words, on_other);
}

static void on_list(struct vt_op *inner, void *user)
{
    struct way *w = user;
    struct vt_error why = VT_ERROR_INIT;
    const struct vt_process_result *r = vt_op_result(inner);
    w->inner = NULL;
    w->other = 0;
    if (vt_tart_outcome(inner, OP, "cannot ask tart for its VMs", &why) ||
        vt_tart_read_list(r->out, r->out_size, &w->others, &w->other_count, &why))
        again(w, &why);
    else
        ask_others(w);
}

/* --- the address --- */

/* DHCP leases, the ARP table, the guest's own word: each can lack an address that another has. */
static const char *resolver_of(const struct way *w)
{
    static const char *const resolvers[] = {"dhcp", "arp", "agent"};
    const char *chosen = w->t->options.resolver;
    return chosen ? chosen : resolvers[w->attempts % 3];
}

static void on_address(struct vt_op *inner, void *user)
{
    static const char *const list[] = {"list", "--source", "local", "--format", "json", NULL};
    struct way *w = user;
    struct vt_error why = VT_ERROR_INIT;
    const struct vt_process_result *r = vt_op_result(inner);
    char doing[160];
    w->inner = NULL;
    snprintf(doing, sizeof doing, "tart knows no address of %s by %s", w->t->name, resolver_of(w));
    if (vt_tart_outcome(inner, OP, doing, &why)) {
        w->attempts++;
        again(w, &why);
    } else if (!vt_tart_read_address(r->out, w->found)) {
        w->attempts++;
        vt_fail(&why, VT_EPROTO, OP, "%s: `tart ip` printed \"%.100s\"", doing, r->out);
        again(w, &why);
    } else if (w->ssh && !strcmp(w->found, w->host)) {
        connect_there(w);
    } else {
        ask(w, list, on_list);
    }
}

static void attempt(struct vt_channel *ch)
{
    struct way *w = way_of(ch);
    const char *resolver = resolver_of(w);
    const char *const words[] = {"ip", w->t->name, "--wait", WAIT, "--resolver", resolver, NULL};
    ask(w, words, on_address);
}

static void timed_out(const struct vt_channel *ch, struct vt_error *why)
{
    const struct way *w = (const struct way *)(const void *)ch;
    const char *reason = w->connecting.reason;
    vt_error_append(why, ": %s", *reason ? reason : "tart told no address");
    vt_hint(why, w->host[0] ? "does the guest run an ssh server, and does its user exist?"
                            : "`tart ip --resolver arp` and `--resolver agent` may know what the "
                              "leases do not; a guest that is still booting has none");
}

static const struct vt__connecting_class connecting_class = {
    .op = {.name = OP, .abort = vt__connecting_abort, .free = vt__connecting_free},
    .retry_first = 0.2,
    .attempt = attempt,
    .stop = stop,
    .timed_out = timed_out,
};

/* --- the channel --- */

static bool connected(const struct vt_channel *ch)
{
    const struct way *w = (const struct way *)(const void *)ch;
    return w->ssh && w->ssh->cls->connected(w->ssh);
}

static struct vt_op *connect_way(struct vt_channel *ch, double timeout, vt_op_fn done, void *user,
                                 struct vt_error *err)
{
    return vt__connecting_add(&way_of(ch)->connecting, connected(ch), timeout, done, user, err);
}

static enum vt_code need(const struct way *w, const char *op, struct vt_error *err)
{
    return w->ssh ? VT_OK : vt_fail(err, VT_ESTATE, op, "there is no connection to the guest");
}

static struct vt_op *exec(struct vt_channel *ch, const struct vt_exec_opts *opts, vt_op_fn done,
                          void *user, struct vt_error *err)
{
    const struct way *w = way_of(ch);
    return need(w, "exec", err) ? NULL : w->ssh->cls->exec(w->ssh, opts, done, user, err);
}

static struct vt_op *transfer(struct vt_channel *ch, const struct vt_transfer_opts *opts,
                              vt_op_fn done, void *user, struct vt_error *err)
{
    const struct way *w = way_of(ch);
    return need(w, "transfer", err) ? NULL : w->ssh->cls->transfer(w->ssh, opts, done, user, err);
}

static void drop(struct vt_channel *ch, const struct vt_error *why)
{
    struct way *w = way_of(ch);
    end(w, why);
    if (w->ssh)
        w->ssh->cls->drop(w->ssh, why);
}

static void free_way(struct vt_channel *ch)
{
    struct way *w = way_of(ch);
    struct vt_error gone = VT_ERROR_INIT;
    vt_fail(&gone, VT_ECANCELED, OP, "the connection was closed");
    end(w, &gone);
    if (w->ssh)
        w->ssh->cls->free(w->ssh);
    vt_free(w);
}

static const struct vt_channel_class way_class = {
    .name = "ssh",
    .connect = connect_way,
    .exec = exec,
    .transfer = transfer,
    .connected = connected,
    .explain = timed_out,
    .drop = drop,
    .free = free_way,
};

struct vt_channel *vt_tart_ssh_channel(struct vt_tart *t, struct vt_error *err)
{
    if (!t->process) {
        vt_fail(err, VT_ESTATE, OP, "VM %s does not run", t->config->name);
        return NULL;
    }
    struct way *w = vt_calloc(1, sizeof *w);
    w->base = (struct vt_channel){.cls = &way_class, .loop = t->loop};
    w->t = t;
    w->connecting.cls = &connecting_class;
    w->connecting.ch = &w->base;
    return &w->base;
}
