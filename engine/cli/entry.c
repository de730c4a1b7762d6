#include "cli/options.h"

int main(int argc, char **argv)
{
    return vt_main(argc, argv);
}
