#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "mscp/mscp.h"
#include "mscp/settings.h"
#include "plist/tree.h"

#define UUID_SIZE 37

/* Of a name, so that the same is made again (RFC 9562, version 8: our own digest). */
static void uuid_of(const char *name, char out[UUID_SIZE])
{
    unsigned char d[EVP_MAX_MD_SIZE];
    EVP_Digest(name, strlen(name), d, NULL, EVP_sha256(), NULL);
    d[6] = (unsigned char)((d[6] & 0x0f) | 0x80);
    d[8] = (unsigned char)((d[8] & 0x3f) | 0x80);
    snprintf(out, UUID_SIZE, "%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X",
             d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12], d[13],
             d[14], d[15]);
}

static void set_head(plist_t dict, const char *type, const char *identifier, const char *name)
{
    char uuid[UUID_SIZE];
    uuid_of(identifier, uuid);
    vt_plist_set_str(dict, "PayloadType", type);
    vt_plist_set_str(dict, "PayloadIdentifier", identifier);
    vt_plist_set_str(dict, "PayloadUUID", uuid);
    vt_plist_set_int(dict, "PayloadVersion", 1);
    vt_plist_set_str(dict, "PayloadDisplayName", name);
}

/* The settings as the payload holds them. */
static void set_content(plist_t payload, const struct vt_mscp_profile *p)
{
    if (strcmp(p->type, VT_MSCP_PREFERENCES) != 0) {
        vt_mscp_merge(payload, p->settings, "", NULL, NULL);
        return;
    }
    plist_t content = vt_plist_set_dict(payload, "PayloadContent");
    for (struct vt_plist_walk it = vt_plist_walk(p->settings); vt_plist_next(&it);) {
        plist_t forced = vt_plist_set_array(vt_plist_set_dict(content, it.key), "Forced");
        plist_dict_set_item(vt_plist_add_dict(forced), "mcx_preference_settings",
                            plist_copy(it.value));
    }
}

static enum vt_code write_profile(const struct vt_mscp_baseline *b, struct vt_mscp_profile *p,
                                  struct vt_error *err)
{
    struct vt_buf name = VT_BUF_INIT, inner = VT_BUF_INIT;
    vt_buf_printf(&name, "mSCP %s: %s", b->name, p->type);
    vt_buf_printf(&inner, "%s.payload", p->identifier);
    plist_t root = plist_new_dict();
    set_head(root, "Configuration", p->identifier, name.data);
    vt_plist_set_str(root, "PayloadScope", "System");
    plist_t payload = vt_plist_add_dict(vt_plist_set_array(root, "PayloadContent"));
    set_content(payload, p);
    set_head(payload, p->type, inner.data, name.data);
    enum vt_code code = vt_plist_write(root, VT_PLIST_XML, &p->mobileconfig, err);
    plist_free(root);
    vt_buf_free(&name);
    vt_buf_free(&inner);
    return code;
}

struct gathering {
    const struct vt_mscp_baseline *baseline;
    struct vt_mscp_profiles *out;
    const char *rule; /* whose settings are being taken */
};

static struct vt_mscp_profile *profile_of(const struct gathering *g, const char *type)
{
    struct vt_mscp_profiles *out = g->out;
    for (size_t i = 0; i < out->count; i++)
        if (!strcmp(out->v[i].type, type))
            return &out->v[i];
    struct vt_buf identifier = VT_BUF_INIT;
    vt_buf_printf(&identifier, "mscp.%s.%s", g->baseline->name, type);
    out->v = vt_realloc(out->v, (out->count + 1) * sizeof *out->v);
    struct vt_mscp_profile *p = &out->v[out->count++];
    *p = (struct vt_mscp_profile){.type = vt_strdup(type), .settings = plist_new_dict()};
    p->identifier = vt_buf_steal(&identifier);
    return p;
}

static void on_conflict(const char *path, void *user)
{
    struct gathering *g = user;
    struct vt_buf line = VT_BUF_INIT;
    vt_buf_printf(&line, "%s: %s was set to another value by a rule before it", g->rule, path);
    g->out->conflicts =
        vt_realloc(g->out->conflicts, (g->out->conflict_count + 1) * sizeof *g->out->conflicts);
    g->out->conflicts[g->out->conflict_count++] = vt_buf_steal(&line);
}

enum vt_code vt_mscp_make_profiles(const struct vt_mscp_baseline *b, struct vt_mscp_profiles *out,
                                   struct vt_error *err)
{
    struct gathering g = {.baseline = b, .out = out};
    enum vt_code code = VT_OK;
    *out = (struct vt_mscp_profiles){0};
    for (size_t i = 0; i < b->count; i++) {
        g.rule = b->rules[i].id;
        for (struct vt_plist_walk it = vt_plist_walk(b->rules[i].settings); vt_plist_next(&it);)
            if (vt_plist_is(it.value, PLIST_DICT))
                vt_mscp_merge(profile_of(&g, it.key)->settings, it.value, it.key, on_conflict, &g);
    }
    for (size_t i = 0; !code && i < out->count; i++)
        code = write_profile(b, &out->v[i], err);
    return code;
}

void vt_mscp_profiles_free(struct vt_mscp_profiles *profiles)
{
    for (size_t i = 0; i < profiles->count; i++) {
        vt_free(profiles->v[i].type);
        vt_free(profiles->v[i].identifier);
        plist_free(profiles->v[i].settings);
        vt_buf_free(&profiles->v[i].mobileconfig);
    }
    for (size_t i = 0; i < profiles->conflict_count; i++)
        vt_free(profiles->conflicts[i]);
    vt_free(profiles->v);
    vt_free(profiles->conflicts);
}
