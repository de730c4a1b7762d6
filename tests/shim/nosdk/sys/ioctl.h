#ifndef VT_NOSDK_SYS_IOCTL_H
#define VT_NOSDK_SYS_IOCTL_H

struct winsize {
    unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel;
};
#define FIONREAD 0x4004667ful
#define TIOCSWINSZ 0x80087467ul
int ioctl(int fd, unsigned long request, ...);

#endif
