/* What the commands about images share. */
#ifndef VT_CLI_IMAGE_COMMON_H
#define VT_CLI_IMAGE_COMMON_H

#include <jansson.h>

#include "cli/options.h"
#include "vmtest/store.h"

/* Reports the error and returns its exit code: 2 where the words of the command are wrong, else 3.
 */
int vt_image_failed(const struct vt_command *self, const struct vt_error *err);

/* Words of a command: NAME stands for all versions of an image, NAME@VERSION for one, none for all.
 * An error for what is not in the store, with the nearest that is. */
bool vt_image_is_named(const struct vt_image_version *version, char *const *names);
enum vt_code vt_image_check_names(char *const *names, struct vt_error *err);

/* Prints text that may come from elsewhere: without control characters, cut to `width` columns (0:
 * not cut). */
void vt_print_text(const char *text, int width);

/* What `ls` and `show` tell of a version. A new reference. */
json_t *vt_image_json(const struct vt_image_version *version);

/* Shows how far a transfer is, on a terminal's standard error; `user` is its title. */
void vt_image_progress(uint64_t done, uint64_t total, void *user);
void vt_image_progress_end(void);

#endif
