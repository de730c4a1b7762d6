#include "driver/tart/ours.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/sys.h"
#include "core/text.h"
#include "driver/tart/command.h"
#include "vmtest/log.h"

#define PREFIX "vmtest-"
#define SUFFIX ".json"
#define LOCK ".lock"
#define FACTS "tart.json"
#define SHOWN_MAX 24 /* characters of the VM's own name */
#define RANDOM_DIGITS 12

void vt_tart_new_name(const char *vm, char out[VT_TART_NAME_SIZE])
{
    char random[RANDOM_DIGITS + 1];
    vt_random_hex(random, RANDOM_DIGITS);
    snprintf(out, VT_TART_NAME_SIZE, PREFIX "%.*s-%s", SHOWN_MAX, vm, random);
}

bool vt_tart_is_our_name(const char *name)
{
    return !strncmp(name, PREFIX, strlen(PREFIX)) && vt_is_plain_name(name) &&
           strlen(name) < VT_TART_NAME_SIZE;
}

static char *record_of(const char *name, const char *suffix, struct vt_error *err)
{
    char *home = vt_home_dir("tart", err), file[VT_TART_NAME_SIZE + 8];
    if (!home)
        return NULL;
    snprintf(file, sizeof file, "%s%s", name, suffix);
    char *path = vt_path_join(home, file);
    vt_free(home);
    return path;
}

enum vt_code vt_tart_own(const char *name, const char *lineage, const char *dir, bool kept,
                         struct vt_error *err)
{
    char *record = record_of(name, SUFFIX, err), *facts = vt_path_join(dir, FACTS);
    char *owner = kept ? vt_path_dir(dir) : vt_strdup(dir);
    json_t *own = json_pack("{s:s, s:s}", "name", name, "lineage", lineage);
    json_t *about =
        json_pack("{s:s, s:b, s:s}", "owner", owner, "kept", (int)kept, "lineage", lineage);
    enum vt_code code = record ? vt_json_save(facts, own, 0600, err) : VT_EIO;
    if (!code)
        code = vt_json_save(record, about, 0600, err);
    json_decref(own);
    json_decref(about);
    vt_free(owner);
    vt_free(record);
    vt_free(facts);
    return code;
}

bool vt_tart_owned(const char *dir, char *name, char *lineage)
{
    char *path = vt_path_join(dir, FACTS);
    json_t *facts = NULL;
    bool found = vt_is_file(path) && vt_json_load(path, &facts, NULL) == VT_OK &&
                 vt_tart_is_our_name(vt_json_str(facts, "name", "")) &&
                 vt_tart_is_our_name(vt_json_str(facts, "lineage", ""));
    if (found) {
        snprintf(name, VT_TART_NAME_SIZE, "%s", vt_json_str(facts, "name", ""));
        snprintf(lineage, VT_TART_NAME_SIZE, "%s", vt_json_str(facts, "lineage", ""));
    }
    json_decref(facts);
    vt_free(path);
    return found;
}

enum vt_code vt_tart_disown(const char *name, const char *dir, struct vt_error *err)
{
    enum vt_code code = vt_tart_delete_now(name, err);
    char *record = record_of(name, SUFFIX, NULL), *facts = dir ? vt_path_join(dir, FACTS) : NULL;
    if (!code && facts)
        unlink(facts);
    if (!code && record)
        unlink(record);
    vt_free(record);
    vt_free(facts);
    return code;
}

/* --- sweeping --- */

static bool has(const char *dir, const char *name)
{
    char own[VT_TART_NAME_SIZE], lineage[VT_TART_NAME_SIZE];
    return vt_tart_owned(dir, own, lineage) && !strcmp(own, name);
}

/* Whether one of the folders in it has it: snapshots, those in the making included. */
static bool one_has(const char *parent, const char *name)
{
    DIR *d = opendir(parent);
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        char *dir = vt_path_join(parent, e->d_name);
        found = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && has(dir, name);
        vt_free(dir);
    }
    if (d)
        closedir(d);
    return found;
}

/* The record of a clone of ours, or NULL; *name gets which. */
static json_t *read_record(const char *file, char name[VT_TART_NAME_SIZE])
{
    size_t n = strlen(file), tail = strlen(SUFFIX);
    json_t *about = NULL;
    if (n <= tail || n - tail >= VT_TART_NAME_SIZE || strcmp(file + n - tail, SUFFIX) != 0)
        return NULL;
    snprintf(name, VT_TART_NAME_SIZE, "%.*s", (int)(n - tail), file);
    char *record = vt_tart_is_our_name(name) ? record_of(name, SUFFIX, NULL) : NULL;
    if (record)
        vt_json_load(record, &about, NULL);
    vt_free(record);
    return about;
}

/* Whether it is still there, because it is in use or cannot be removed. */
static bool sweep_clone(const char *name, const json_t *about)
{
    const char *owner = vt_json_str(about, "owner", NULL);
    struct vt_error err = VT_ERROR_INIT;
    bool kept = vt_json_bool(about, "kept", false);
    if (!owner || (kept ? one_has(owner, name) : has(owner, name)))
        return true;
    if (kept && one_has(owner, name)) /* its folder may have got its last name while we looked */
        return true;
    if (vt_tart_disown(name, NULL, &err) == VT_OK)
        return false;
    vt_log(VT_LOG_WARNING, "%s is left in tart: %s", name, err.message);
    return true;
}

/* Locks of lineages of which there is nothing any more. Who takes one has a record first. */
static void sweep_locks(const char *home, const json_t *lineages)
{
    DIR *d = opendir(home);
    for (struct dirent *e; d && (e = readdir(d));) {
        char lineage[VT_TART_NAME_SIZE];
        size_t n = strlen(e->d_name), tail = strlen(LOCK);
        if (n <= tail || n - tail >= sizeof lineage || strcmp(e->d_name + n - tail, LOCK) != 0)
            continue;
        snprintf(lineage, sizeof lineage, "%.*s", (int)(n - tail), e->d_name);
        char *path = vt_path_join(home, e->d_name), *record = record_of(lineage, SUFFIX, NULL);
        int fd = -1;
        if (!json_object_get(lineages, lineage) && record && !vt_is_file(record) &&
            vt_lock_file(path, &fd, NULL) == VT_OK)
            unlink(path);
        if (fd >= 0)
            close(fd);
        vt_free(record);
        vt_free(path);
    }
    if (d)
        closedir(d);
}

void vt_tart_sweep(void)
{
    char *home = vt_home_dir("tart", NULL), name[VT_TART_NAME_SIZE];
    json_t *lineages = json_object();
    DIR *d = home ? opendir(home) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        json_t *about = read_record(e->d_name, name);
        if (about && sweep_clone(name, about))
            json_object_set_new(lineages, vt_json_str(about, "lineage", name), json_true());
        json_decref(about);
    }
    if (d)
        closedir(d);
    if (home)
        sweep_locks(home, lineages);
    json_decref(lineages);
    vt_free(home);
}

/* --- one at a time --- */

enum vt_code vt_tart_lineage_lock(const char *lineage, const char *vm, const char *op, int *fd,
                                  struct vt_error *err)
{
    struct vt_error own = VT_ERROR_INIT;
    char *path = record_of(lineage, LOCK, &own);
    *fd = -1;
    if (path && vt_lock_file(path, fd, &own) == VT_EBUSY) {
        own = (struct vt_error)VT_ERROR_INIT;
        vt_fail(
            &own, VT_EBUSY, op,
            "VM %s cannot run beside the VM that it is a copy of, or another copy of that: they "
            "have one MAC address, and tart would throw the saved state away",
            vm);
        vt_hint(&own, "end the other one first; VMs that are made anew each have their own");
    }
    vt_free(path);
    return vt_error_copy(err, &own);
}
