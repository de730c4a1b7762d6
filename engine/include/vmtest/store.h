/* The image store: HOME/images/NAME/VERSION/, one folder for each version of an image, written once
 * and never changed. Beside the recipe's own files and image.json each has `version.json`: what the
 * store knows of it (format: docs/images.md). The latest is the newest that is not deprecated;
 * `HOME/images/NAME/latest` is a symbolic link to it, for people and scripts. Half-made versions
 * are folders whose names begin with a dot; a lock tells whether their maker still lives. All calls
 * block. */
#ifndef VMTEST_STORE_H
#define VMTEST_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtest/error.h"

/* VT_ROLE_KEEP: as it was (the version before hands its role on). */
enum vt_image_role { VT_ROLE_KEEP, VT_ROLE_LEGACY, VT_ROLE_CURRENT, VT_ROLE_BETA, VT_ROLE_NONE };

/* "legacy", "current", "beta"; "" for the others. */
const char *vt_image_role_name(enum vt_image_role role);
/* VT_EINVAL for anything but these and "none". */
enum vt_code vt_image_role_parse(const char *text, enum vt_image_role *role, struct vt_error *err);

struct vt_image_version {
    char *name, *version; /* "bookworm", "20261122.1": the day it was made (UTC) and a count */
    char *dir;            /* absolute path of its folder */
    char *broken;         /* why its version.json cannot be read, else NULL; with it, all below is
                             empty but `latest` */
    char *created;        /* RFC 3339 */
    char *description, *os, *arch; /* description may be NULL */
    enum vt_image_role role;       /* never VT_ROLE_KEEP; one version of an image has a role */
    char *deprecated;              /* why, or NULL */
    char *recipe, *recipe_sha256;  /* what made it: a recipe's path, "import FILE", "refresh OF"; or
                                      NULL */
    char *parent;                  /* "NAME@VERSION" a refresh started from, or NULL */
    char *sha256;                  /* over the names, sizes and digests of its files */
    uint64_t bytes;                /* on disk */
    bool latest;
    json_t
        *contents; /* what is in it, as the recipe told: {"packages": {…}, "kernel": …}; or NULL */
    json_t *files; /* [{"name", "size", "mode", "sha256"}], sorted by name */
};

/* Every version in the store, by name and version, the oldest first. vt_image_versions_free() frees
 * them. */
enum vt_code vt_image_versions(struct vt_image_version **out, size_t *count, struct vt_error *err);
void vt_image_versions_free(struct vt_image_version *versions, size_t count);

/* The version that "NAME" (the latest) or "NAME@VERSION" names; vt_image_versions_free(v, 1) frees
 * it. VT_ENOTFOUND says what there is; VT_EIMAGE: its version.json cannot be read. */
enum vt_code vt_image_version_find(const char *name, struct vt_image_version **out,
                                   struct vt_error *err);

/* Begins a version: makes an empty private folder in the store, held by this process. *stage is
 * freed by commit or abandon. */
struct vt_image_stage;
enum vt_code vt_image_stage_begin(const char *name, struct vt_image_stage **stage,
                                  struct vt_error *err);
const char *vt_image_stage_dir(const struct vt_image_stage *stage);

struct vt_image_made { /* all may be NULL */
    const char *recipe, *recipe_sha256, *parent;
    const json_t *contents;
    enum vt_image_role role; /* VT_ROLE_KEEP: the version before hands its role on */
    const char *version;     /* NULL: today's next. VT_ESTATE where it is there already */
    const char *created;     /* NULL: now */
    const char *sha256;      /* VT_EIMAGE where the files' digest is another; NULL: any */
};

/* Checks the folder as vt_image_open() does, computes the digests, writes version.json, flushes and
 * renames it into place, and makes it the latest. The folder holds plain files only (no folder, no
 * link, no name that begins with a dot), all that image.json names among them. *version is
 * vt_free()d by the caller. Frees the stage in any case; on failure nothing is left of it. */
enum vt_code vt_image_stage_commit(struct vt_image_stage *stage, const struct vt_image_made *made,
                                   char **version, struct vt_error *err);
void vt_image_stage_abandon(struct vt_image_stage *stage);

/* Marks a version as used by this process till *fd is closed (a shared kernel lock on its folder,
 * which processes that inherit *fd hold too): rm and gc leave it alone. `dir`: its folder, wherever
 * it is. VT_ENOTFOUND where it is gone, or just being removed. */
enum vt_code vt_image_use(const char *dir, int *fd, struct vt_error *err);

/* Recomputes the digests. VT_EIMAGE names the first file that is missing, changed or too many. */
enum vt_code vt_image_verify(const struct vt_image_version *version, struct vt_error *err);

/* Gives a version of an image ("NAME" is the latest) a role; the version that had it loses it.
 * VT_ROLE_NONE takes it away. */
enum vt_code vt_image_set_role(const char *name, enum vt_image_role role, struct vt_error *err);

/* Deprecates a version, with the reason; NULL undoes it. `latest` then leads to the newest that is
 * not deprecated, or, where all are, to the newest. */
enum vt_code vt_image_deprecate(const char *name, const char *reason, struct vt_error *err);

/* Removes a version, or, for a "NAME" alone, all versions of that image. VT_EBUSY where one is in
 * use: by a process that has it open, by a VM, by a saved snapshot or a named VM that is made of
 * it. VT_ESTATE where a version is the latest among others, or has a role, and not `force`. Then
 * nothing is removed. *freed (may be NULL): bytes on disk. */
enum vt_code vt_image_remove(const char *name, bool force, uint64_t *freed, struct vt_error *err);

/* Removes what nobody needs: what dead makers left, and versions that are none of these: the
 * latest, one of the newest `keep` that are not deprecated, with a role, in use, damaged. */
struct vt_image_gc {
    size_t keep;
    bool dry_run; /* only tells */
    /* May be NULL. `what`: "an old version", …; bytes on disk. */
    void (*tell)(const char *what, const char *path, uint64_t bytes, void *user);
    void *user;

    /* What came of it. */
    size_t removed;
    uint64_t freed;
    bool making; /* another process is making an image */
};
enum vt_code vt_image_gc(struct vt_image_gc *gc, struct vt_error *err);

/* One version as one file (format: docs/images.md), to another store and back. */
struct vt_image_transfer {
    /* May be NULL; called now and then, with bytes of the image's data. */
    void (*progress)(uint64_t done, uint64_t total, void *user);
    void *user;

    /* What came of it; the caller vt_free()s `name`. */
    char *name;       /* "NAME@VERSION" */
    uint64_t data;    /* bytes of the image's data, without holes */
    uint64_t resumed; /* so many of them were there from an attempt that was interrupted */
    uint64_t bytes;   /* of an export: size of the archive */
    bool present;     /* of an import: the very same version was in the store already */
};

/* Writes a version to the file `path`, or to standard output ("-"). The file appears when it is
 * whole; till then it is PATH.part, with which an export that was interrupted goes on. VT_EIMAGE
 * where the version is damaged; VT_EBUSY where another process exports to there. */
enum vt_code vt_image_export(const char *name, const char *path, struct vt_image_transfer *transfer,
                             struct vt_error *err);

/* True where a file begins as an archive does. */
bool vt_image_is_archive(const char *path);

/* Adds the version in the archive `path` ("-": standard input) to the store, as an image called
 * `as` (NULL: as it was called). An import that was interrupted, or whose file was cut off, goes on
 * when it is begun again. VT_EIMAGE where the archive is damaged; VT_ESTATE where the store has
 * another version of that number. */
enum vt_code vt_image_import(const char *path, const char *as, struct vt_image_transfer *transfer,
                             struct vt_error *err);

/* The same of a folder with an image.json: its files are copied. */
enum vt_code vt_image_import_folder(const char *path, const char *as,
                                    struct vt_image_transfer *transfer, struct vt_error *err);

#endif
