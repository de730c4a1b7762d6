# vt_room(core SOURCES a.c b.c DEPENDS other_room... LIBS target...)
#
# One static library `vt_<room>` per folder (`/` in a folder's name becomes `_`). Its headers are
# seen by others as "<room>/<header>.h", and only by rooms that depend on it: every room's include
# path is a folder of its own that holds one link, so an include against the layers does not compile.
function(vt_room room)
    cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBS" ${ARGN})
    string(REPLACE "/" "_" name ${room})
    set(door ${CMAKE_BINARY_DIR}/doors/${name})
    get_filename_component(parent ${room} DIRECTORY)
    file(MAKE_DIRECTORY ${door}/${parent})
    file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${door}/${room} SYMBOLIC)
    add_library(vt_${name} STATIC ${ARG_SOURCES})
    target_include_directories(vt_${name} PUBLIC ${door} ${CMAKE_SOURCE_DIR}/engine/include)
    foreach(dep IN LISTS ARG_DEPENDS)
        string(REPLACE "/" "_" dep ${dep})
        target_link_libraries(vt_${name} PUBLIC vt_${dep})
    endforeach()
    target_link_libraries(vt_${name} PUBLIC ${ARG_LIBS})
endfunction()
