sb_base_files = base/buf.c base/buf.h base/mem.h base/slice.c base/slice.h
