#include "driver/vz/options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "vm/driver.h"
#include "vm/own_options.h"

#define OP "vm.new"
#define TAG_MAX 35 /* bytes of a virtiofs tag, as the framework takes it */
#define PIXELS_MAX 16384
#define PPI_MAX 1000

static const char *const modes[] = {"shared", "host", NULL};
static const char *const cachings[] = {"automatic", "cached", "uncached", NULL};
static const char *const syncs[] = {"full", "fsync", "none", NULL};

#define OPTION(field, how)                                                                         \
    .name = #field, .kind = (how), .offset = offsetof(struct vt_vz_options, field)
#define PIXELS .wanted = "a number of pixels, 1 to 16384", .min = 1, .max = PIXELS_MAX

static const struct vt_own_option screen_members[] = {
    {OPTION(width, VT_OWN_NUMBER), PIXELS},
    {OPTION(height, VT_OWN_NUMBER), PIXELS},
    {OPTION(ppi, VT_OWN_NUMBER), .wanted = "pixels per inch, 1 to 1000", .min = 1, .max = PPI_MAX},
    {.name = NULL},
};

static const struct vt_own_option vmnet_members[] = {
    {.name = "mode",
     .kind = VT_OWN_CHOICE,
     .offset = offsetof(struct vt_vz_options, vmnet_mode),
     .wanted = "\"shared\" or \"host\"",
     .choices = modes},
    {OPTION(subnet, VT_OWN_TEXT)},
    {.name = NULL},
};

/* "1920x1200" */
static bool size_from_text(const char *text, void *out)
{
    struct vt_vz_options *o = out;
    int used = 0;
    return sscanf(text, "%5dx%5d%n", &o->width, &o->height, &used) == 2 && !text[used] &&
           o->width >= 1 && o->width <= PIXELS_MAX && o->height >= 1 && o->height <= PIXELS_MAX;
}

/* "host", or "shared" */
static bool mode_from_text(const char *text, void *out)
{
    struct vt_vz_options *o = out;
    size_t i = 0;
    while (modes[i] && strcmp(modes[i], text) != 0)
        i++;
    if (modes[i])
        o->vmnet_mode = vt_strdup(text);
    return modes[i] != NULL;
}

static const struct vt_own_option table[] = {
    {OPTION(rosetta, VT_OWN_USUAL), .wanted = "true, or the tag to mount it by",
     .usual = "rosetta"},
    {OPTION(nested, VT_OWN_FLAG)},
    {OPTION(clipboard, VT_OWN_FLAG)},
    {OPTION(screen, VT_OWN_GROUP),
     .wanted = "a table with \"width\" and \"height\", or text like \"1920x1200\"",
     .members = screen_members, .from_text = size_from_text},
    {OPTION(vmnet, VT_OWN_GROUP),
     .wanted = "a table with \"mode\" and \"subnet\", or \"shared\" or \"host\"",
     .members = vmnet_members, .from_text = mode_from_text},
    {OPTION(automount, VT_OWN_FLAG)},
    {OPTION(recovery, VT_OWN_FLAG)},
    {OPTION(disk_caching, VT_OWN_CHOICE), .wanted = "\"automatic\", \"cached\" or \"uncached\"",
     .choices = cachings},
    {OPTION(disk_sync, VT_OWN_CHOICE), .wanted = "\"full\", \"fsync\" or \"none\"",
     .choices = syncs},
    {.name = NULL},
};

/* --- what goes together --- */

static bool is_share(const struct vt_vm_config *c, const char *tag)
{
    size_t i = 0;
    while (i < c->share_count && strcmp(c->shares[i].name, tag) != 0)
        i++;
    return i < c->share_count;
}

static enum vt_code check_rosetta(const struct vt_vz_options *o, const struct vt_vm_config *c,
                                  struct vt_error *err)
{
    if (!o->rosetta)
        return VT_OK;
    if (!vt_is_plain_name(o->rosetta) || strlen(o->rosetta) > TAG_MAX)
        return vt_fail(err, VT_EINVAL, OP,
                       "VM %s: \"%s\" cannot be the tag of Rosetta: a plain name of at most %d "
                       "characters",
                       c->name, o->rosetta, TAG_MAX);
    if (is_share(c, o->rosetta))
        return vt_fail(err, VT_EINVAL, OP,
                       "VM %s: \"%s\" is the tag of Rosetta and the name of a share", c->name,
                       o->rosetta);
    return VT_OK;
}

static enum vt_code check_network(const struct vt_vz_options *o, const struct vt_vm_config *c,
                                  struct vt_error *err)
{
    uint32_t address, mask;
    if (o->vmnet && !vt_vm_has_nat(c))
        return vt_fail(err, VT_EINVAL, OP,
                       "VM %s: \"vmnet\" is for interfaces with NAT, and there is none", c->name);
    if (o->subnet && !vt_parse_subnet(o->subnet, &address, &mask))
        return vt_fail(err, VT_EINVAL, OP,
                       "VM %s: \"subnet\" of \"vmnet\" is to be a network like "
                       "\"192.168.77.0/24\", of 8 to 29 bits",
                       c->name);
    return VT_OK;
}

enum vt_code vt_vz_options_read(const struct vt_vm_config *config, struct vt_vz_options *out,
                                struct vt_error *err)
{
    *out = (struct vt_vz_options){.rosetta = NULL};
    enum vt_code code =
        config->vz ? vt_own_options_read(config->vz, "vz", config->name, table, out, err) : VT_OK;
    if (!code && out->screen && (!out->width || !out->height))
        code = vt_fail(err, VT_EINVAL, OP, "VM %s: \"screen\" of \"vz\" has no \"%s\"",
                       config->name, out->width ? "height" : "width");
    if (!code)
        code = check_rosetta(out, config, err);
    if (!code)
        code = check_network(out, config, err);
    if (!code && out->automount && !config->share_count)
        code = vt_fail(err, VT_EINVAL, OP, "VM %s: \"automount\" is for shares, and there are none",
                       config->name);
    return code;
}

void vt_vz_options_clear(struct vt_vz_options *o)
{
    vt_own_options_clear(table, o);
}
