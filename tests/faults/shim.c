/* What a test cannot ask of a real machine: a disk whose fsync fails, and a wall clock that somebody sets.
 *
 * Preloaded into the program's processes. The harness writes to the control file, which all of them map:
 * bytes 0-7 how far the wall clock is moved (ns), bytes 8-11 whether fsync and fdatasync fail with EIO.
 * /proc/stat shows the time of booting moved by as much, as the kernel has it when the clock is set.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
  volatile int64_t clock_ns;
  volatile int32_t fsync_fails;
};

static struct control none;
static struct control *control = &none;

__attribute__((constructor)) static void map_control(void) {
  const char *path = getenv("FAULTS_CONTROL");
  int fd = path ? open(path, O_RDONLY) : -1;
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED) control = mapped;
  close(fd);
}

static int sync_or_fail(const char *name, int fd) {
  if (control->fsync_fails) {
    errno = EIO;
    return -1;
  }
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  return real(fd);
}

int fsync(int fd) { return sync_or_fail("fsync", fd); }
int fdatasync(int fd) { return sync_or_fail("fdatasync", fd); }

int clock_gettime(clockid_t clock, struct timespec *found) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(clock, found);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    int64_t ns = found->tv_sec * 1000000000LL + found->tv_nsec + control->clock_ns;
    found->tv_sec = ns / 1000000000LL;
    found->tv_nsec = ns % 1000000000LL;
  }
  return failed;
}

int gettimeofday(struct timeval *found, void *zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  found->tv_sec = now.tv_sec;
  found->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *found) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (found) *found = now.tv_sec;
  return now.tv_sec;
}

/* A copy of /proc/stat whose btime is moved. */
static int moved_stat(void) {
  FILE *real = fopen("/proc/stat", "r");
  int copy = memfd_create("stat", 0);
  char *line = NULL;
  size_t room = 0;
  long long booted;
  while (real && getline(&line, &room, real) > 0) {
    if (sscanf(line, "btime %lld", &booted) == 1)
      dprintf(copy, "btime %lld\n", booted + (long long)(control->clock_ns / 1000000000LL));
    else
      dprintf(copy, "%s", line);
  }
  free(line);
  if (real) fclose(real);
  lseek(copy, 0, SEEK_SET);
  return copy;
}

static int open_or_copy(const char *name, const char *path, int flags, mode_t mode) {
  if (control->clock_ns && strcmp(path, "/proc/stat") == 0) return moved_stat();
  int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
  return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return open_or_copy("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return open_or_copy("open64", path, flags, mode);
}
