#import "vz/apple.h"

int main(int argc, char **argv)
{
    @autoreleasepool {
        return vtz_main(argc, argv, &vtz_apple_backend);
    }
}
