#include "../../../shim/nosdk/sys/vsock.h"
