/* Between those who read events and those who look at them. */
#ifndef VT_EVENT_VIEW_H
#define VT_EVENT_VIEW_H

#include "vmtest/event.h"

/* What its member "type" says; VT_EVENT_TYPE_COUNT_ where that is no string. */
enum vt_event_type vt__event_type(const struct vt_event *e);

#endif
