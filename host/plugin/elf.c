/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at a file before dlopen gets it: the dynamic linker may die of a
 * file that is cut short, and says little about one that is no shared object.
 */
#include "config.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "host/plugin/plugin.h"

#define ELF_SEGMENTS_MAX 256u

#if defined(__x86_64__)
#define ELF_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#elif defined(__i386__)
#define ELF_MACHINE EM_386
#endif

static int
elf_read(int fd, void *data, size_t len, uint64_t offset)
{
  char *p = data;

  while (len > 0) {
    ssize_t n = pread(fd, p, len, (off_t)offset);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return -1;
    p += n;
    len -= (size_t)n;
    offset += (uint64_t)n;
  }
  return 0;
}

static const char *
elf_check_header(const ElfW(Ehdr) *header)
{
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
    return "it is not a shared object";
  if (header->e_ident[EI_CLASS] !=
      (sizeof (void *) == 8 ? ELFCLASS64 : ELFCLASS32))
    return "it was built for another word size";
#ifdef ELF_MACHINE
  if (header->e_machine != ELF_MACHINE)
    return "it was built for another processor";
#endif
  if (header->e_type != ET_DYN)
    return "it is not a shared object";
  if (header->e_phentsize != sizeof (ElfW(Phdr)) || header->e_phnum == 0 ||
      header->e_phnum > ELF_SEGMENTS_MAX)
    return "its headers are damaged";
  return NULL;
}

/* Every segment that will be mapped must be in the file. */
static const char *
elf_check_segments(int fd, const ElfW(Ehdr) *header, uint64_t size)
{
  unsigned i;

  for (i = 0; i < header->e_phnum; i++) {
    ElfW(Phdr) segment;
    uint64_t offset = header->e_phoff + (uint64_t)i * sizeof segment;

    if (offset > size || elf_read(fd, &segment, sizeof segment, offset) != 0)
      return "it is cut short";
    if (segment.p_type == PT_LOAD &&
        (segment.p_offset > size ||
         segment.p_filesz > size - segment.p_offset))
      return "it is cut short";
  }
  return NULL;
}

static const char *
elf_check(int fd, uint64_t size)
{
  ElfW(Ehdr) header;
  char magic[SELFMAG];
  const char *problem;

  if (elf_read(fd, magic, sizeof magic, 0) != 0 ||
      memcmp(magic, ELFMAG, SELFMAG) != 0)
    return "it is not a shared object";
  if (elf_read(fd, &header, sizeof header, 0) != 0)
    return "it is cut short";
  problem = elf_check_header(&header);
  return problem != NULL ? problem : elf_check_segments(fd, &header, size);
}

const char *
elf_problem(const char *path)
{
  /* Opening a FIFO would otherwise wait for its other end. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const char *problem;
  struct stat st;

  if (fd < 0)
    return errno == ENOENT || errno == ENOTDIR ? "there is no such file"
         : errno == EACCES ? "it may not be read" : "it cannot be opened";
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
    problem = "it is not a regular file";
  else
    problem = elf_check(fd, (uint64_t)st.st_size);
  (void)close(fd);
  return problem;
}
