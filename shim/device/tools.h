/* What a Mac's command lines show, as far as suites look at it: `profiles` and `defaults`. Each
 * gets the arguments after the program's name and the root; returns an exit status. */
#ifndef VT_DEVICE_TOOLS_H
#define VT_DEVICE_TOOLS_H

int vtd_tool_profiles(const char *root, int argc, char **argv);
int vtd_tool_defaults(const char *root, int argc, char **argv);

/* `vmtest-device effects [--json]`: what became of each payload. */
int vtd_tool_effects(const char *root, int argc, char **argv);

#endif
