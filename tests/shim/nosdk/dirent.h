#ifndef VT_NOSDK_DIRENT_H
#define VT_NOSDK_DIRENT_H

#include <sys/types.h>

typedef struct vt_dir DIR;
struct dirent {
    uint64_t d_ino, d_seekoff;
    uint16_t d_reclen, d_namlen;
    uint8_t d_type;
    char d_name[1024];
};
DIR *opendir(const char *path);
struct dirent *readdir(DIR *dir);
int closedir(DIR *dir);
int dirfd(DIR *dir);

#endif
