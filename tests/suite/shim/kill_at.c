/* Ends a program, or fills its disk, at a chosen change of a file below a chosen folder; for LD_PRELOAD.
 *
 *   SHIM_FOLDER  only files below it count, by their real paths
 *   SHIM_PART    only paths that contain this text count; absent: all
 *   SHIM_MODE    count   nothing happens
 *                before  SIGKILL in place of change number SHIM_AT
 *                after   SIGKILL right after it
 *                torn    SIGKILL after one half of the bytes of it; as `before` where it has no bytes
 *                full    change number SHIM_AT writes one half of its bytes, and from then on nothing more fits
 *   SHIM_TRACE   a file that gets a line for every change that was reached: its number, the call, the path
 *
 * A file that exists only while the program runs (SQLite's shared memory) counts only for a full disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OFF, COUNT, BEFORE, AFTER, TORN, FULL };

static enum mode mode;
static char folder[PATH_MAX];
static const char *part;
static long at;
static int trace = -1;
static atomic_long count;

__attribute__((constructor)) static void begin(void) {
    const char *word = getenv("SHIM_MODE"), *top = getenv("SHIM_FOLDER"), *number = getenv("SHIM_AT");
    const char *names[] = {"", "count", "before", "after", "torn", "full"};
    for (int i = COUNT; word && top && i <= FULL; i++)
        if (strcmp(word, names[i]) == 0) mode = i;
    if (mode == OFF) return;
    snprintf(folder, sizeof folder, "%s/", top);
    part = getenv("SHIM_PART");
    at = number ? atol(number) : 0;
    const char *file = getenv("SHIM_TRACE");
    if (file) trace = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* What the program starts is not watched. */
    unsetenv("LD_PRELOAD");
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static int is_watched(const char *path) {
    size_t length = strlen(path);
    if (mode == OFF || strncmp(path, folder, strlen(folder)) != 0) return 0;
    if (part && !strstr(path, part)) return 0;
    /* Nothing rests on how far the work has come and on orders for its pace; how often both are looked at depends on the time it takes. */
    if (strstr(path, "/progress.json")) return 0;
    if (strstr(path, "/pace.")) return 0;
    return mode == FULL || length < 4 || strcmp(path + length - 4, "-shm") != 0;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return length > 0;
}

static void absolute(const char *path, char *out) {
    char here[PATH_MAX / 2];
    if (path[0] == '/' || !getcwd(here, sizeof here)) snprintf(out, PATH_MAX, "%s", path);
    else snprintf(out, PATH_MAX, "%s/%s", here, path[0] == '.' && path[1] == '/' ? path + 2 : path);
}

/* The number of this change, 0 when it is not watched; ends the program where it must end before it. */
static long reach(const char *call, const char *path, int has_bytes) {
    if (!is_watched(path)) return 0;
    long number = atomic_fetch_add(&count, 1) + 1;
    if (trace >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s %s\n", number, call, path + strlen(folder));
        syscall(SYS_write, trace, line, length);
    }
    if (number == at && (mode == BEFORE || (mode == TORN && !has_bytes))) die();
    return number;
}

static void done(long number) {
    if (number && number == at && (mode == AFTER || mode == TORN)) die();
}

static long reach_fd(const char *call, int fd, int has_bytes) {
    char path[PATH_MAX];
    return mode != OFF && path_of(fd, path) ? reach(call, path, has_bytes) : 0;
}

static long reach_path(const char *call, const char *path) {
    char whole[PATH_MAX];
    if (mode == OFF) return 0;
    absolute(path, whole);
    return reach(call, whole, 0);
}

static int is_full(long number) {
    return mode == FULL && number > 0 && number > at;
}

/* How many of the bytes of a write are written. */
static size_t fitting(long number, size_t bytes) {
    return (mode == TORN || mode == FULL) && number > 0 && number == at ? bytes / 2 : bytes;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t length) {
    long number = reach_fd("write", fd, 1);
    if (is_full(number) || (number && mode == FULL && fitting(number, length) == 0)) return errno = ENOSPC, -1;
    ssize_t written = syscall(SYS_write, fd, bytes, fitting(number, length));
    done(number);
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    long number = reach_fd("pwrite", fd, 1);
    if (is_full(number) || (number && mode == FULL && fitting(number, length) == 0)) return errno = ENOSPC, -1;
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, fitting(number, length), offset);
    done(number);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int many) {
    long number = reach_fd("writev", fd, 0);
    if (mode == FULL && number >= at && number > 0) return errno = ENOSPC, -1;
    ssize_t written = syscall(SYS_writev, fd, parts, many);
    done(number);
    return written;
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
    long number = reach_fd("copy", to, 0);
    if (mode == FULL && number >= at && number > 0) return errno = ENOSPC, -1;
    ssize_t copied = syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
    done(number);
    return copied;
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t length) {
    long number = reach_fd("copy", to, 0);
    if (mode == FULL && number >= at && number > 0) return errno = ENOSPC, -1;
    ssize_t copied = syscall(SYS_sendfile, to, from, offset, length);
    done(number);
    return copied;
}

int ftruncate64(int fd, off64_t length) {
    long number = reach_fd("truncate", fd, 0);
    /* Making a file shorter fits on a full disk; SQLite makes its shared memory longer. */
    if (is_full(number) && length > 0) return errno = ENOSPC, -1;
    int result = syscall(SYS_ftruncate, fd, length);
    done(number);
    return result;
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

int fsync(int fd) {
    long number = reach_fd("sync", fd, 0);
    int result = syscall(SYS_fsync, fd);
    done(number);
    return result;
}

int fdatasync(int fd) {
    long number = reach_fd("sync", fd, 0);
    int result = syscall(SYS_fdatasync, fd);
    done(number);
    return result;
}

int rename(const char *from, const char *to) {
    long number = reach_path("rename", to);
    int result = NEXT(rename)(from, to);
    done(number);
    return result;
}

int unlink(const char *path) {
    long number = reach_path("remove", path);
    int result = NEXT(unlink)(path);
    done(number);
    return result;
}

int unlinkat(int fd, const char *path, int flags) {
    char top[PATH_MAX], whole[2 * PATH_MAX];
    long number = 0;
    if (mode != OFF && path[0] != '/' && fd != AT_FDCWD && path_of(fd, top)) {
        snprintf(whole, sizeof whole, "%s/%s", top, path);
        number = reach("remove", whole, 0);
    } else {
        number = reach_path("remove", path);
    }
    int result = NEXT(unlinkat)(fd, path, flags);
    done(number);
    return result;
}

int rmdir(const char *path) {
    long number = reach_path("remove", path);
    int result = NEXT(rmdir)(path);
    done(number);
    return result;
}

int mkdir(const char *path, mode_t access) {
    long number = reach_path("mkdir", path);
    if (is_full(number)) return errno = ENOSPC, -1;
    int result = NEXT(mkdir)(path, access);
    done(number);
    return result;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t access = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int makes = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
    long number = makes || (flags & O_TRUNC) ? reach_path("open", path) : 0;
    if (makes && is_full(number)) return errno = ENOSPC, -1;
    int fd = syscall(SYS_openat, AT_FDCWD, path, flags, access);
    done(number);
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t access = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open64(path, flags, access);
}
