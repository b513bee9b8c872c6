# Tests of segments and the block cache.
check_PROGRAMS += test_segment test_segment_damage test_block test_cache
test_segment_SOURCES = test_segment.c segment_fixture.c segment_fixture.h
test_segment_damage_SOURCES = test_segment_damage.c segment_fixture.c \
	segment_fixture.h
test_block_SOURCES = test_block.c segment_fixture.c segment_fixture.h
test_cache_SOURCES = test_cache.c segment_fixture.c segment_fixture.h
EXTRA_DIST += golden/segment-v1
