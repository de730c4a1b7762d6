/* The table of facts built into the program, from facts/macos-15.1.facts. */
#ifndef VT_PROFILE_SHIPPED_H
#define VT_PROFILE_SHIPPED_H

#include <stddef.h>

extern const unsigned char vt_shipped_facts[];
extern const size_t vt_shipped_facts_size;

#endif
