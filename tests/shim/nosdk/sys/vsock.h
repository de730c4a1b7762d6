/* Port and address in the host's byte order. The context 1 is reserved, where Linux has a loopback.
 */
#ifndef VT_NOSDK_SYS_VSOCK_H
#define VT_NOSDK_SYS_VSOCK_H

#include <sys/socket.h>

#define VMADDR_CID_ANY (-1U)
#define VMADDR_CID_HOST 2
struct sockaddr_vm {
    uint8_t svm_len; /* bind() and connect() insist on it */
    sa_family_t svm_family;
    uint16_t svm_reserved1;
    uint32_t svm_port;
    uint32_t svm_cid;
} __attribute__((__packed__));

#endif
