/* Completion in shells: what may stand at the end of a command line. */
#ifndef VT_CLI_COMPLETION_H
#define VT_CLI_COMPLETION_H

/* `vmtest __complete WORD...`, hidden: words as typed so far, without the program's name, the last
 * one unfinished. Prints what it may become, one to a line; or a line ":files" where the shell is
 * to name files. */
int vt_complete_main(int argc, char **argv);

#endif
