/* A property list as JSON, for handlers and reports: data is {"$data": "BASE64"}, a date is
 * {"$date": "2026-01-31T12:00:00Z"}; all else as its like. And JSON as a property list. */
#ifndef VT_DEVICE_CONVERT_H
#define VT_DEVICE_CONVERT_H

#include <jansson.h>
#include <plist/plist.h>

json_t *vtd_to_json(plist_t node);    /* a new reference */
plist_t vtd_from_json(json_t *value); /* null becomes "" */

#endif
