/* GNUstep's headers ask for this file of another Objective-C runtime; blocks.m has what is in it.
 */
#ifndef VT_TESTS_SHIM_BLOCKS_RUNTIME_H
#define VT_TESTS_SHIM_BLOCKS_RUNTIME_H

void *_Block_copy(const void *block);
void _Block_release(const void *block);

#define Block_copy(block) ((__typeof__(block))_Block_copy((const void *)(block)))
#define Block_release(block) _Block_release((const void *)(block))

#endif
