# Segments and the block cache; paths are relative to host/. host/base/crc is
# here too, as the formats are what needs it.
sb_segment_files = \
	base/crc.c \
	base/crc.h \
	engine/block.c \
	engine/block.h \
	engine/bloom.c \
	engine/bloom.h \
	engine/cache.c \
	engine/cache.h \
	engine/segment.h \
	engine/segment_format.h \
	engine/segment_reader.c \
	engine/segment_tail.c \
	engine/segment_tail.h \
	engine/segment_writer.c \
	engine/separator.c \
	engine/separator.h
