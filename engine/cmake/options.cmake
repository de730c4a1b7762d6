# Compiler settings for every target of the project.

set(VT_SANITIZE "" CACHE STRING "Sanitizers, comma separated (address,undefined)")
option(VT_COVERAGE "Instrument for gcov" OFF)
option(VT_FUZZ "Build the libFuzzer targets (clang only)" OFF)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# POSIX 2008 and the handful of extensions that Linux and macOS share or that are guarded.
add_compile_definitions(_GNU_SOURCE $<$<PLATFORM_ID:Darwin>:_DARWIN_C_SOURCE>)

add_compile_options(
    -Wall -Wextra -Werror -Wshadow -Wconversion -Wsign-conversion -Wpedantic
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla
    -Wformat=2 -Wundef -Wpointer-arith -Wcast-qual -Wwrite-strings -Wnull-dereference
    -Wimplicit-fallthrough -fno-common -fstack-protector-strong)

if(CMAKE_BUILD_TYPE STREQUAL "Release")
    add_compile_options(-O2)
    add_compile_definitions(_FORTIFY_SOURCE=2)
else()
    add_compile_options(-g)
    if(NOT VT_COVERAGE)
        add_compile_options(-O1)
    endif()
endif()

if(VT_SANITIZE)
    add_compile_options(-fsanitize=${VT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${VT_SANITIZE})
    # gcc reports false positives of this warning in sanitized code
    add_compile_options(-Wno-null-dereference)
endif()
if(VT_COVERAGE)
    add_compile_options(--coverage -O0)
    add_link_options(--coverage)
endif()
if(VT_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
