/* Reads XML property lists by expat (see tree.h). */
#ifndef VT_PLIST_XML_H
#define VT_PLIST_XML_H

#include "plist/tree.h"

enum vt_code vt_plist_read_xml(const char *text, size_t n, const char *what, plist_t *out,
                               struct vt_plist_info *info, struct vt_error *err);

#endif
