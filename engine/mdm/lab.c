/* The lab server from its start to its end. */
#include "mdm/lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "core/paths.h"

#define OP "mdm.open"
#define LISTEN "127.0.0.1:0"

static const char *const standard_names[] = {"127.0.0.1", "localhost", "10.0.2.2"};
#define STANDARD (sizeof standard_names / sizeof *standard_names)

/* --- names and addresses --- */

static bool is_named(const struct vt_lab *lab, const char *name)
{
    for (size_t i = 0; i < lab->name_count; i++)
        if (!strcmp(lab->names[i], name))
            return true;
    return false;
}

static void add_name(struct vt_lab *lab, const char *name)
{
    if (is_named(lab, name))
        return;
    lab->names = vt_realloc(lab->names, (lab->name_count + 2) * sizeof *lab->names);
    lab->names[lab->name_count++] = vt_strdup(name);
    lab->names[lab->name_count] = NULL;
}

/* Those asked for come first: the first is what vt_mdm_url() tells. An address that is listened on
 * is one by which the server is reached. */
static void take_names(struct vt_lab *lab, const struct vt_mdm_opts *opts)
{
    const char *listen = opts->listen ? opts->listen : LISTEN, *colon = strrchr(listen, ':');
    size_t n = colon ? (size_t)(colon - listen) : 0;
    bool bracketed = n > 2 && listen[0] == '[' && listen[n - 1] == ']';
    char *address = vt_strndup(listen + bracketed, n - 2 * (size_t)bracketed);
    for (size_t i = 0; opts->names && opts->names[i]; i++)
        add_name(lab, opts->names[i]);
    if (*address && strcmp(address, "0.0.0.0") != 0 && strcmp(address, "::") != 0)
        add_name(lab, address);
    for (size_t i = 0; i < STANDARD; i++)
        add_name(lab, standard_names[i]);
    vt_free(address);
}

char *vt__lab_url(const struct vt_lab *lab, const char *address, struct vt_error *err)
{
    struct vt_buf url = VT_BUF_INIT;
    if (address && !is_named(lab, address)) {
        vt_fail(err, VT_EINVAL, "mdm.enroll", "the server's certificate is not for \"%s\"",
                address);
        vt_hint(err, "give the name when the server is started");
        return NULL;
    }
    const char *name = address ? address : lab->names[0];
    bool v6 = strchr(name, ':') != NULL;
    vt_buf_printf(&url, "https://%s%s%s:%d", v6 ? "[" : "", name, v6 ? "]" : "", lab->port);
    return vt_buf_steal(&url);
}

/* --- the interface --- */

static bool supports(const struct vt_mdm *mdm, enum vt_mdm_capability cap, struct vt_error *why)
{
    (void)mdm;
    if (cap != VT_MDM_PUSH)
        return true;
    vt_fail(why, VT_EUNSUPPORTED, "mdm.push",
            "the lab server has no certificate of Apple's push service");
    vt_hint(why,
            "wake the device by other means: a stand-in device has a command for it, and a Mac "
            "asks at its start; for push to a Mac, use NanoMDM with a push certificate");
    return false;
}

static void tell(json_t *event, void *user)
{
    struct vt_lab *lab = user;
    vt__mdm_event(&lab->mdm, event);
}

static enum vt_code open_state(struct vt_lab *lab, const char *dir, struct vt_error *err)
{
    char *base = vt_home_dir("mdm", err);
    if (!base)
        return VT_EIO;
    if (dir) {
        lab->state_dir = vt_strdup(dir);
    } else {
        lab->state_dir = vt_path_join(base, "tmp-XXXXXX");
        lab->temporary = mkdtemp(lab->state_dir) != NULL;
    }
    char *ca = vt_path_join(base, "ca"), *lock = vt_path_join(lab->state_dir, "lock");
    char *path = vt_path_join(lab->state_dir, "lab.sqlite");
    enum vt_code code = vt_mkdirs(lab->state_dir, err);
    if (!code && vt_lock_file(lock, &lab->lock, err)) {
        code = VT_EBUSY;
        vt_hint(err, "another lab server uses this folder; give this one a folder of its own");
    }
    if (!code)
        code = vt_ca_open(ca, &lab->ca, err);
    if (!code)
        code = vt_store_open(path, &lab->store, err);
    vt_free(base);
    vt_free(ca);
    vt_free(lock);
    vt_free(path);
    return code;
}

static void close_lab(struct vt_mdm *mdm)
{
    struct vt_lab *lab = (struct vt_lab *)mdm;
    vt__lab_unlisten(lab);
    vt__lab_free_packages(lab);
    vt_store_close(lab->store);
    vt_ca_free(lab->ca);
    if (lab->temporary)
        vt_remove_tree(lab->state_dir, NULL);
    if (lab->lock >= 0)
        close(lab->lock);
    for (size_t i = 0; i < lab->name_count; i++)
        vt_free(lab->names[i]);
    vt_free(lab->names);
    vt_free(lab->state_dir);
    vt_free(lab);
}

static enum vt_code start(struct vt_lab *lab, const struct vt_mdm_opts *opts, struct vt_error *err)
{
    take_names(lab, opts);
    enum vt_code code = open_state(lab, opts->state_dir, err);
    if (code)
        return code;
    lab->mdm.ca_pem = vt_strdup(lab->ca->pem);
    lab->protocol = (struct vt_protocol){.store = lab->store, .event = tell, .user = lab};
    code = vt__lab_listen(lab, opts->listen ? opts->listen : LISTEN, opts->control, err);
    if (!code)
        lab->mdm.url = vt__lab_url(lab, NULL, err);
    return code;
}

struct open_op {
    struct vt_op op;
    struct vt_mdm *mdm;
};

/* A server that nobody was told of. */
static void free_open(struct vt_op *op)
{
    struct open_op *o = (struct open_op *)op;
    if (!op->done)
        vt_mdm_close(o->mdm);
}

static const struct vt_op_class open_class = {.name = OP, .free = free_open};

static struct vt_op *open_lab(struct vt_loop *loop, const struct vt_mdm_opts *opts, vt_op_fn done,
                              void *user, struct vt_error *err)
{
    struct vt_lab *lab = vt_calloc(1, sizeof *lab);
    lab->mdm = (struct vt_mdm){.cls = &vt_mdm_lab, .loop = loop};
    lab->lock = -1;
    if (opts->extra && json_object_size(opts->extra))
        vt_fail(err, VT_EINVAL, OP, "the lab server takes no extra options");
    if ((opts->extra && json_object_size(opts->extra)) || start(lab, opts, err)) {
        vt_mdm_close(&lab->mdm);
        return NULL;
    }
    struct open_op *o =
        vt_op_new(sizeof *o, &open_class, loop, opts->timeout > 0 ? opts->timeout : 30, done, user);
    o->mdm = &lab->mdm;
    vt_op_succeed(&o->op, o->mdm);
    return &o->op;
}

const struct vt_mdm_class vt_mdm_lab = {
    .kind = "lab",
    .open = open_lab,
    .close = close_lab,
    .supports = supports,
    .look = vt__lab_look,
    .drop = vt__lab_drop,
};
