# Writes OUT: the Lua files FILES as C arrays and the table vtl_embedded. init.lua is the module
# "vmtest", NAME.lua is "vmtest.NAME".
set(text "#include \"host.h\"\n")
set(table "const struct vtl_embedded vtl_embedded[] = {\n")
foreach(file IN LISTS FILES)
    get_filename_component(name ${file} NAME_WE)
    if(name STREQUAL "init")
        set(module vmtest)
    else()
        set(module vmtest.${name})
    endif()
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
    string(APPEND text "static const unsigned char ${name}_lua[] = {\n${bytes}};\n")
    string(APPEND table
        "    {\"${module}\", \"=[vmtest] ${name}.lua\", ${name}_lua, sizeof ${name}_lua},\n")
endforeach()
file(WRITE ${OUT} "${text}\n${table}    {NULL, NULL, NULL, 0},\n};\n")
