/* A runtime of blocks for GCC's libobjc, which has none: the layout is that of clang's block ABI.
 * Blocks are objects, and retain the objects and blocks that they capture. */
#import <Foundation/Foundation.h>

#include <stdlib.h>
#include <string.h>

#include "objc/blocks_runtime.h"

enum {
    COUNT_MASK = 0xfffe, /* of the flags: twice the references */
    COUNT_ONE = 2,
    ON_HEAP = 1 << 24,
    HAS_HELPERS = 1 << 25,
    IS_GLOBAL = 1 << 28
};
enum { IS_OBJECT = 3, IS_BLOCK = 7, IS_BYREF = 8, FROM_BYREF = 128 };

struct descriptor {
    unsigned long reserved, size;
    void (*copy)(void *to, const void *from);
    void (*dispose)(const void *block);
};

struct block {
    void *isa;
    volatile int flags;
    int reserved;
    void (*invoke)(void);
    struct descriptor *descriptor;
};

struct byref { /* a variable marked __block */
    void *isa;
    struct byref *current; /* where it lives now */
    volatile int flags;
    int size;
    void (*keep)(struct byref *to, struct byref *from);
    void (*destroy)(struct byref *variable);
};

void *_NSConcreteStackBlock[32], *_NSConcreteGlobalBlock[32];
static Class heap_class;

static BOOL drop_reference(volatile int *flags)
{
    return (__sync_sub_and_fetch(flags, COUNT_ONE) & COUNT_MASK) == 0;
}

void *_Block_copy(const void *from)
{
    struct block *block = (struct block *)from, *copy;
    if (!block || (block->flags & IS_GLOBAL))
        return block;
    if (block->flags & ON_HEAP) {
        __sync_fetch_and_add(&block->flags, COUNT_ONE);
        return block;
    }
    copy = malloc(block->descriptor->size);
    memcpy(copy, block, block->descriptor->size);
    copy->isa = heap_class;
    copy->flags = (block->flags & ~(COUNT_MASK | 1)) | ON_HEAP | COUNT_ONE;
    if (copy->flags & HAS_HELPERS)
        copy->descriptor->copy(copy, block);
    return copy;
}

void _Block_release(const void *from)
{
    struct block *block = (struct block *)from;
    if (!block || !(block->flags & ON_HEAP) || !drop_reference(&block->flags))
        return;
    if (block->flags & HAS_HELPERS)
        block->descriptor->dispose(block);
    free(block);
}

static void *keep_byref(struct byref *variable)
{
    struct byref *copy = variable->current;
    if (copy->flags & ON_HEAP) {
        __sync_fetch_and_add(&copy->flags, COUNT_ONE);
        return copy;
    }
    copy = malloc((size_t)variable->size);
    memcpy(copy, variable, (size_t)variable->size);
    /* one reference of the block, one of the function whose variable it is */
    copy->flags = (variable->flags & ~(COUNT_MASK | 1)) | ON_HEAP | 2 * COUNT_ONE;
    copy->current = copy;
    variable->current = copy;
    if (variable->flags & HAS_HELPERS)
        copy->keep(copy, variable);
    return copy;
}

void _Block_object_assign(void *to, const void *object, const int kind);
void _Block_object_dispose(const void *object, const int kind);

void _Block_object_assign(void *to, const void *object, const int kind)
{
    void **slot = to;
    if (kind & FROM_BYREF)
        *slot = (void *)object; /* such a variable does not retain */
    else if ((kind & IS_BYREF) == IS_BYREF)
        *slot = keep_byref((struct byref *)object);
    else if ((kind & IS_BLOCK) == IS_BLOCK)
        *slot = _Block_copy(object);
    else if ((kind & IS_OBJECT) == IS_OBJECT)
        *slot = [(id)object retain];
}

void _Block_object_dispose(const void *object, const int kind)
{
    if (kind & FROM_BYREF)
        return;
    if ((kind & IS_BYREF) == IS_BYREF) {
        struct byref *variable = ((struct byref *)object)->current;
        if (!(variable->flags & ON_HEAP) || !drop_reference(&variable->flags))
            return;
        if (variable->flags & HAS_HELPERS)
            variable->destroy(variable);
        free(variable);
    } else if ((kind & IS_BLOCK) == IS_BLOCK) {
        _Block_release(object);
    } else if ((kind & IS_OBJECT) == IS_OBJECT) {
        [(id)object release];
    }
}

@interface FakeBlock : NSObject
@end

@implementation FakeBlock
+ (void)load
{
    heap_class = [FakeBlock class];
    memcpy(_NSConcreteStackBlock, heap_class, 16 * sizeof(void *));
    memcpy(_NSConcreteGlobalBlock, heap_class, 16 * sizeof(void *));
}

- (id)copy
{
    return _Block_copy(self);
}

- (id)copyWithZone:(NSZone *)zone
{
    (void)zone;
    return _Block_copy(self);
}

- (id)retain
{
    return _Block_copy(self);
}

- (oneway void)release
{
    _Block_release(self);
}
@end
