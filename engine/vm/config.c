/* A VM's configuration as JSON, both ways: suites, saved VMs and snapshots all speak it. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "vm/internal.h"
#include "vmtest/units.h"

#define OP "vm.config"
#define LIST_MAX 32

static const char *const buses[] = {
    [VT_DISK_VIRTIO] = "virtio", [VT_DISK_NVME] = "nvme", [VT_DISK_USB] = "usb"};
static const char *const nic_kinds[] = {
    [VT_NIC_NAT] = "nat", [VT_NIC_ISOLATED] = "isolated", [VT_NIC_BRIDGED] = "bridged"};

const char *vt_disk_bus_name(enum vt_disk_bus bus)
{
    return buses[bus];
}

enum kind { TEXT, SIZE, COUNT, PORT, FLAG, BUS, NIC_KIND, LIST, IMAGE, OBJECT };

struct key {
    const char *name;
    enum kind kind;
    size_t offset;       /* of the member; of LIST: of its pointer */
    size_t count_offset; /* of LIST */
    const struct key *members;
    size_t member_size;
};

#define KEY(of, field, how)                                                                        \
    {                                                                                              \
        .name = #field, .kind = (how), .offset = offsetof(struct of, field)                        \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

static const struct key forward_keys[] = {
    {.name = "host", .kind = PORT, .offset = offsetof(struct vt_forward, host_port)},
    {.name = "guest", .kind = PORT, .offset = offsetof(struct vt_forward, guest_port)},
    END,
};

static const struct key disk_keys[] = {
    KEY(vt_disk, name, TEXT),      KEY(vt_disk, bus, BUS),     KEY(vt_disk, size, SIZE),
    KEY(vt_disk, path, TEXT),      KEY(vt_disk, format, TEXT), KEY(vt_disk, url, TEXT),
    KEY(vt_disk, read_only, FLAG), KEY(vt_disk, direct, FLAG), END,
};

static const struct key nic_keys[] = {KEY(vt_nic, kind, NIC_KIND), KEY(vt_nic, network, TEXT),
                                      KEY(vt_nic, mac, TEXT), END};

static const struct key share_keys[] = {KEY(vt_share, name, TEXT), KEY(vt_share, path, TEXT),
                                        KEY(vt_share, read_only, FLAG), END};

#define LIST_KEY(field, of, keys)                                                                  \
    {                                                                                              \
        .name = #field "s", .kind = LIST, .offset = offsetof(struct vt_vm_config, field##s),       \
        .count_offset = offsetof(struct vt_vm_config, field##_count), .members = (keys),           \
        .member_size = sizeof(struct of)                                                           \
    }

static const struct key config_keys[] = {
    KEY(vt_vm_config, name, TEXT),         KEY(vt_vm_config, driver, TEXT),
    KEY(vt_vm_config, image, IMAGE),       KEY(vt_vm_config, memory, SIZE),
    KEY(vt_vm_config, cpus, COUNT),        KEY(vt_vm_config, accel, TEXT),
    KEY(vt_vm_config, channel, TEXT),      LIST_KEY(forward, vt_forward, forward_keys),
    LIST_KEY(disk, vt_disk, disk_keys),    LIST_KEY(nic, vt_nic, nic_keys),
    LIST_KEY(share, vt_share, share_keys), KEY(vt_vm_config, screen, FLAG),
    KEY(vt_vm_config, vnc, FLAG),          KEY(vt_vm_config, sim, OBJECT),
    KEY(vt_vm_config, ssh, OBJECT),        KEY(vt_vm_config, tart, OBJECT),
    KEY(vt_vm_config, vz, OBJECT),         END,
};

/* jansson iterates over objects it will not change, and counts references to values that nobody
 * changes, by pointers that are not const. */
static json_t *mutable(const json_t *value)
{
    union {
        const json_t *from;
        json_t *to;
    } u = {.from = value};
    return u.to;
}

/* --- writing --- */

static void write_members(json_t *out, const void *from, const struct key *keys);

static json_t *write_list(const char *items, size_t count, const struct key *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *member = json_object();
        write_members(member, items + i * list->member_size, list->members);
        json_array_append_new(array, member);
    }
    return array;
}

static json_t *write_image(const struct vt_image *image)
{
    if (!image)
        return NULL;
    return image->version ? json_sprintf("%s@%s", image->name, image->version)
                          : json_string(image->dir);
}

static json_t *write_value(const void *from, const struct key *key)
{
    const char *field = (const char *)from + key->offset;
    const void *pointer = NULL;
    size_t count = 0;
    switch (key->kind) {
    case TEXT:
        memcpy(&pointer, field, sizeof pointer);
        return pointer ? json_string(pointer) : NULL;
    case IMAGE:
        memcpy(&pointer, field, sizeof pointer);
        return write_image(pointer);
    case OBJECT:
        memcpy(&pointer, field, sizeof pointer);
        return pointer ? json_deep_copy(pointer) : NULL;
    case LIST:
        memcpy(&pointer, field, sizeof pointer);
        memcpy(&count, (const char *)from + key->count_offset, sizeof count);
        return pointer && (count || key->members == nic_keys) ? write_list(pointer, count, key)
                                                              : NULL;
    case SIZE: {
        uint64_t n = *(const uint64_t *)(const void *)field;
        return n ? json_integer((json_int_t)n) : NULL;
    }
    case COUNT:
    case PORT: {
        int n = *(const int *)(const void *)field;
        return n ? json_integer(n) : NULL;
    }
    case FLAG:
        return *(const bool *)(const void *)field ? json_true() : NULL;
    case BUS:
        return json_string(vt_disk_bus_name(*(const enum vt_disk_bus *)(const void *)field));
    case NIC_KIND:
        return json_string(nic_kinds[*(const enum vt_nic_kind *)(const void *)field]);
    }
    return NULL;
}

static void write_members(json_t *out, const void *from, const struct key *keys)
{
    for (; keys->name; keys++) {
        json_t *value = write_value(from, keys);
        if (value)
            json_object_set_new(out, keys->name, value);
    }
}

json_t *vt_vm_config_to_json(const struct vt_vm_config *config)
{
    json_t *object = json_object();
    write_members(object, config, config_keys);
    return object;
}

/* --- reading --- */

struct reader {
    bool open_image;
    struct vt_error *err;
};

static enum vt_code read_members(struct reader *r, const json_t *object, void *to,
                                 const struct key *keys, const char *where);

static enum vt_code wrong(struct reader *r, const char *where, const char *key, const char *wanted)
{
    return vt_fail(r->err, VT_EINVAL, OP, "%s\"%s\" is to be %s", where, key, wanted);
}

static enum vt_code read_size(struct reader *r, const json_t *value, const char *where,
                              const struct key *key, uint64_t *out)
{
    json_int_t n = json_integer_value(value);
    if (json_is_string(value) && vt_parse_size(json_string_value(value), out, NULL) == VT_OK)
        return VT_OK;
    if (!json_is_integer(value) || n < 0)
        return wrong(r, where, key->name, "a size: bytes, or text like \"4G\"");
    *out = (uint64_t)n;
    return VT_OK;
}

static enum vt_code read_int(struct reader *r, const json_t *value, const char *where,
                             const struct key *key, int *out)
{
    json_int_t n = json_integer_value(value), most = key->kind == PORT ? 65535 : 4096;
    if (!json_is_integer(value) || n < 0 || n > most)
        return wrong(r, where, key->name,
                     key->kind == PORT ? "a port, 0 to 65535" : "a whole number");
    *out = (int)n;
    return VT_OK;
}

static enum vt_code read_choice(struct reader *r, const json_t *value, const char *where,
                                const struct key *key, const char *const *names, size_t count,
                                int *out)
{
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < count; i++) {
        if (!strcmp(names[i], text)) {
            *out = (int)i;
            return VT_OK;
        }
    }
    struct vt_buf list = VT_BUF_INIT;
    for (size_t i = 0; i < count; i++)
        vt_buf_printf(&list, "%s\"%s\"", i ? ", " : "one of ", names[i]);
    enum vt_code code = wrong(r, where, key->name, list.data);
    vt_buf_free(&list);
    return code;
}

static enum vt_code read_list(struct reader *r, const json_t *value, char *to,
                              const struct key *key)
{
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > LIST_MAX)
        return wrong(r, "", key->name, "a list of at most 32");
    char *items = vt_calloc(count + 1, key->member_size);
    memcpy(to + key->offset, &items, sizeof items);
    memcpy(to + key->count_offset, &count, sizeof count);
    for (size_t i = 0; i < count; i++) {
        char where[64];
        snprintf(where, sizeof where, "%s[%zu]: ", key->name, i + 1);
        const json_t *member = json_array_get(value, i);
        if (!json_is_object(member))
            return vt_fail(r->err, VT_EINVAL, OP, "%sis to be an object", where);
        enum vt_code code =
            read_members(r, member, items + i * key->member_size, key->members, where);
        if (code)
            return code;
    }
    return VT_OK;
}

static enum vt_code read_image(struct reader *r, const json_t *value, void *field)
{
    struct vt_image *image = NULL;
    if (!json_is_string(value))
        return wrong(r, "", "image", "a name");
    if (!r->open_image)
        return VT_OK;
    enum vt_code code = vt_image_open(json_string_value(value), &image, r->err);
    memcpy(field, &image, sizeof image);
    return code;
}

static enum vt_code read_value(struct reader *r, const json_t *value, char *to,
                               const struct key *key, const char *where)
{
    void *field = to + key->offset;
    switch (key->kind) {
    case TEXT:
        if (!json_is_string(value) || !*json_string_value(value) ||
            strlen(json_string_value(value)) != json_string_length(value))
            return wrong(r, where, key->name, "text that is not empty");
        *(char **)field = vt_strdup(json_string_value(value));
        return VT_OK;
    case IMAGE:
        return read_image(r, value, field);
    case OBJECT:
        if (!json_is_object(value))
            return wrong(r, where, key->name, "an object");
        *(json_t **)field = json_incref(mutable(value));
        return VT_OK;
    case LIST:
        return read_list(r, value, to, key);
    case SIZE:
        return read_size(r, value, where, key, field);
    case COUNT:
    case PORT:
        return read_int(r, value, where, key, field);
    case FLAG:
        if (!json_is_boolean(value))
            return wrong(r, where, key->name, "true or false");
        *(bool *)field = json_is_true(value);
        return VT_OK;
    case BUS:
        return read_choice(r, value, where, key, buses, sizeof buses / sizeof *buses, field);
    case NIC_KIND:
        return read_choice(r, value, where, key, nic_kinds, sizeof nic_kinds / sizeof *nic_kinds,
                           field);
    }
    return VT_OK;
}

static enum vt_code unknown(struct reader *r, const struct key *keys, const char *name,
                            const char *where)
{
    const char *names[LIST_MAX];
    size_t n = 0;
    for (; keys[n].name; n++)
        names[n] = keys[n].name;
    enum vt_code code = vt_fail(r->err, VT_EINVAL, OP, "%sthere is no option \"%s\"", where, name);
    const char *near = vt_nearest(name, names, n);
    if (near)
        vt_hint(r->err, "did you mean \"%s\"?", near);
    return code;
}

static enum vt_code read_members(struct reader *r, const json_t *object, void *to,
                                 const struct key *keys, const char *where)
{
    json_t *from = mutable(object);
    for (void *at = json_object_iter(from); at; at = json_object_iter_next(from, at)) {
        const char *name = json_object_iter_key(at);
        const struct key *key = keys;
        while (key->name && strcmp(key->name, name) != 0)
            key++;
        enum vt_code code = key->name ? read_value(r, json_object_iter_value(at), to, key, where)
                                      : unknown(r, keys, name, where);
        if (code)
            return code;
    }
    return VT_OK;
}

enum vt_code vt_vm_config_from_json(const json_t *object, bool open_image,
                                    struct vt_vm_config *config, struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    struct reader reader = {.open_image = open_image, .err = &own};
    *config = (struct vt_vm_config){0};
    if (!json_is_object(object))
        return vt_fail(err, VT_EINVAL, OP, "a VM's configuration is to be an object");
    if (!read_members(&reader, object, config, config_keys, ""))
        return VT_OK;
    vt_vm_config_clear(config);
    return vt_error_copy(err, &own);
}

static void clear_members(char *from, const struct key *keys)
{
    for (; keys->name; keys++) {
        void *pointer = NULL;
        size_t count = 0;
        if (keys->kind != TEXT && keys->kind != OBJECT && keys->kind != LIST && keys->kind != IMAGE)
            continue;
        memcpy(&pointer, from + keys->offset, sizeof pointer);
        if (keys->kind == LIST) {
            memcpy(&count, from + keys->count_offset, sizeof count);
            for (size_t i = 0; i < count; i++)
                clear_members((char *)pointer + i * keys->member_size, keys->members);
        }
        if (keys->kind == OBJECT)
            json_decref(pointer);
        else if (keys->kind == IMAGE)
            vt_image_free(pointer);
        else
            vt_free(pointer);
    }
}

void vt_vm_config_clear(struct vt_vm_config *config)
{
    clear_members((char *)(void *)config, config_keys);
    *config = (struct vt_vm_config){0};
}
