#ifndef VT_NOSDK_AVAILABILITY_H
#define VT_NOSDK_AVAILABILITY_H

#define VT_AVAILABLE_(platform, version)                                                           \
    __attribute__((availability(platform, introduced = version)))
#define VT_AVAILABLE(...) VT_AVAILABLE_(__VA_ARGS__)
#define VT_PLATFORM_macos(version) macos, version
#define API_AVAILABLE(what) VT_AVAILABLE(VT_PLATFORM_##what)

#endif
