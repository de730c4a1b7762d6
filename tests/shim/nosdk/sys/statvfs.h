/* Counts of blocks and files have 32 bits on macOS. */
#ifndef VT_NOSDK_SYS_STATVFS_H
#define VT_NOSDK_SYS_STATVFS_H

struct statvfs {
    unsigned long f_bsize, f_frsize;
    unsigned int f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_favail;
    unsigned long f_fsid, f_flag, f_namemax;
};
int statvfs(const char *restrict path, struct statvfs *restrict st);

#endif
