/* What the two parts of the QEMU guest agent's files share. */
#ifndef VT_GUEST_QGA_FILES_H
#define VT_GUEST_QGA_FILES_H

#include "agent/frame.h"
#include "guest/qga_internal.h"
#include "guest/sftp.h"

struct vt__qga_handle {
    struct vt__qga_handle *next;
    uint32_t id;       /* as the transfer knows it */
    json_int_t number; /* as the agent knows it */
    char *path;
    bool folder;
    struct vt_buf names; /* of a folder: what is still to be told, as find printed it */
    size_t told;
    uint64_t position;
};

struct vt__qga_files {
    struct vt__qga_member member; /* first */
    struct vt_loop *loop;
    struct vt__sftp *sftp;
    struct vt_timer timer;
    void (*work)(struct vt_timer *timer);
    struct vt__qga_handle *handles;
    uint32_t last_handle;

    /* the request under way */
    bool busy;
    uint32_t id;
    struct vt_buf request;
    char *path; /* that it is about */
    struct vt__qga_handle *at;
    bool writing;
    uint64_t offset;
    uint32_t wanted;
    struct vt_buf data;
    struct vt__qga_run *run;
    void (*judge)(struct vt__qga_files *f, const struct vt__qga_result *result);
};

/* Each ends the request; f may be gone then. */
void vt__qga_answer(struct vt__qga_files *f, enum vt__sftp_type type, const struct vt_buf *fields);
void vt__qga_answer_status(struct vt__qga_files *f, enum vt__sftp_status status, const char *text);
void vt__qga_answer_problem(struct vt__qga_files *f, const char *words);
void vt__qga_files_lost(struct vt__qga_files *f, const struct vt_error *why);

/* Soon: the next request. */
void vt__qga_files_go_on(struct vt__qga_files *f);

char *vt__qga_take_path(struct vt__fields *in); /* "" where malformed; for vt_free() */
struct vt__qga_handle *vt__qga_take_handle(struct vt__qga_files *f, struct vt__fields *in);
void vt__qga_drop_handle(struct vt__qga_files *f, struct vt__qga_handle *h);

/* Requests that the guest's own commands answer. */
void vt__qga_by_command(struct vt__qga_files *f, unsigned type, struct vt__fields *in);

/* Takes "MODE SIZE" (hexadecimal, decimal) off a line of stat. False where it is none. */
bool vt__qga_read_stat(const char *text, size_t n, struct vt__sftp_attrs *attrs);

#endif
