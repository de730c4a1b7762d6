# Writes OUT: the file FILE as the C array of shipped.h.
file(READ ${FILE} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "#include \"profile/shipped.h\"\n\nconst unsigned char vt_shipped_facts[] = {\n${bytes}};\nconst size_t vt_shipped_facts_size = sizeof vt_shipped_facts;\n")
