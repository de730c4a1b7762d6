#include <fcntl.h>
#include <unistd.h>

#include "agent.h"

void fd_ready(int fd, bool waits)
{
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, waits ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

int fd_pipe(int pair[2])
{
    if (pipe(pair))
        return -1;
    for (int i = 0; i < 2; i++)
        fcntl(pair[i], F_SETFD, FD_CLOEXEC);
    return 0;
}
