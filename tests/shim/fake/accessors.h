/* Accessors of FakeObject's properties: what may be nil, what is copied and may not, numbers, and
 * what is only read. EMPTY is a class that adds nothing. */
#ifndef VT_TESTS_SHIM_ACCESSORS_H
#define VT_TESTS_SHIM_ACCESSORS_H

#define READS(type, name)                                                                          \
    -(type)name                                                                                    \
    {                                                                                              \
        return [self valueOf:@ #name];                                                             \
    }
#define HOLDS(type, name, setter)                                                                  \
    READS(type, name)                                                                              \
    -(void)setter : (type)value                                                                    \
    {                                                                                              \
        [self keep:value as:@ #name];                                                              \
    }
#define COPIES(type, name, setter)                                                                 \
    READS(type, name)                                                                              \
    -(void)setter : (type)value                                                                    \
    {                                                                                              \
        fake_need(value, _cmd);                                                                    \
        [self keep:[[value copy] autorelease] as:@ #name];                                         \
    }
#define COUNTS(type, name, setter)                                                                 \
    -(type)name                                                                                    \
    {                                                                                              \
        return (type)[[self valueOf:@ #name] unsignedLongLongValue];                               \
    }                                                                                              \
    -(void)setter : (type)value                                                                    \
    {                                                                                              \
        [self keep:@((unsigned long long)value) as:@ #name];                                       \
    }
#define EMPTY(name)                                                                                \
    @implementation name                                                                           \
    @end

#endif
