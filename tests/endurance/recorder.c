/*
 * Writes down what a program asks of the disk, in order, so that a test can play what a power cut leaves of it. Loaded with LD_PRELOAD
 * into the real program by tests/endurance/power.rs, which compiles it with cc; nothing of it is in the program.
 *
 * POWER_ROOT   only files under this directory (an absolute path) count
 * POWER_LOG    the log; every record is appended by one write
 * POWER_SYNC_MILLIS  a sync takes at least this long, as on a real disk: what is answered before its end is then seen to be
 *
 * SIGUSR2 ends the program at once, as SIGKILL does, but never between a change and its record; it may have to be sent again.
 *
 * A record is a head (below) and `size` bytes: a path, two paths with a zero between, or what was written. Answers on local sockets are
 * written down before they leave. A change and its record are made under one lock, so that the log has the order of the disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct head {
    uint64_t kind;   /* a letter */
    uint64_t micros; /* since 1970 */
    uint64_t inode;
    uint64_t at; /* offset, new length, or the number of a sync */
    uint64_t size;
};

#define MANY 4096
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ino_t known[MANY]; /* inodes of files under the root */
static int logfd = -1;
static char root[PATH_MAX];
static size_t root_length;
static dev_t root_device;
static uint64_t syncs;
static volatile sig_atomic_t dying;
static long sync_millis;

#define REAL(name) ((__typeof__(name) *)real(#name))
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void leave_if_dying(void) {
    if (dying) syscall(SYS_exit_group, 137);
}
static void take(void) {
    pthread_mutex_lock(&lock);
    leave_if_dying();
}
static void let_go(void) {
    leave_if_dying();
    pthread_mutex_unlock(&lock);
}
static void die(int signal) {
    (void)signal;
    dying = 1;
    if (pthread_mutex_trylock(&lock) == 0) leave_if_dying();
}

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("POWER_LOG"), *under = getenv("POWER_ROOT"), *millis = getenv("POWER_SYNC_MILLIS");
    if (!log || !under) return;
    root_length = (size_t)snprintf(root, sizeof root, "%s", under);
    sync_millis = millis ? atol(millis) : 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* Far away from the numbers that programs expect to be next. */
    logfd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 900);
    if (logfd < 0) abort();
    syscall(SYS_close, fd);
    struct stat st;
    if (stat(root, &st) != 0) abort();
    root_device = st.st_dev;
    struct sigaction action = {.sa_handler = die, .sa_flags = SA_RESTART};
    sigaction(SIGUSR2, &action, NULL);
}

static void put(char kind, ino_t inode, uint64_t at, const void *bytes, size_t size) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct head head = {(uint64_t)kind, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000, inode, at, size};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)bytes, size}};
    if (syscall(SYS_writev, logfd, parts, 2) != (long)(sizeof head + size)) abort();
}

static int under_root(const char *path) {
    return logfd >= 0 && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

/* The absolute path; programs give absolute ones nearly always. */
static const char *whole(int dir, const char *path, char *buffer) {
    if (path[0] == '/') return path;
    char from[64], base[PATH_MAX];
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return path;
    } else {
        snprintf(from, sizeof from, "/proc/self/fd/%d", dir);
        ssize_t n = readlink(from, base, sizeof base - 1);
        if (n < 0) return path;
        base[n] = 0;
    }
    if (snprintf(buffer, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) abort();
    return buffer;
}

static void remember(ino_t inode, int keep) {
    int empty = -1;
    for (int i = 0; i < MANY; i++) {
        if (known[i] == inode) {
            if (!keep) known[i] = 0;
            return;
        }
        if (!known[i] && empty < 0) empty = i;
    }
    if (!keep) return;
    if (empty < 0) abort();
    known[empty] = inode;
}

/* The inode of a file or directory under the root, or 0. */
static ino_t inode_of(int fd) {
    struct stat st;
    if (logfd < 0 || fstat(fd, &st) != 0 || st.st_dev != root_device || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) return 0;
    for (int i = 0; i < MANY; i++)
        if (known[i] == st.st_ino) return st.st_ino;
    return 0;
}

static int is_local_socket(int fd) {
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    return logfd >= 0 && getsockname(fd, (struct sockaddr *)&address, &length) == 0 && address.sun_family == AF_UNIX;
}

static int opened(int dir, const char *path, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *full = whole(dir, path, buffer);
    take();
    int fd = (int)syscall(SYS_openat, dir, path, flags | O_LARGEFILE, mode);
    int error = errno;
    struct stat st;
    if (fd >= 0 && logfd >= 0 && fstat(fd, &st) == 0 && st.st_dev == root_device && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
        int ours = under_root(full);
        remember(st.st_ino, ours);
        if (ours) put(S_ISDIR(st.st_mode) ? 'd' : 'O', st.st_ino, (flags & O_TRUNC) != 0, full, strlen(full));
    }
    let_go();
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list rest) { return (flags & (O_CREAT | O_TMPFILE)) ? (mode_t)va_arg(rest, int) : 0; }
#define OPEN(name, dir, ...)                           \
    int name(__VA_ARGS__ const char *path, int flags, ...) { \
        va_list rest;                                  \
        va_start(rest, flags);                         \
        mode_t mode = mode_of(flags, rest);            \
        va_end(rest);                                  \
        return opened(dir, path, flags, mode);         \
    }
#define DIR_ARGUMENT int dir,
OPEN(open, AT_FDCWD, )
OPEN(open64, AT_FDCWD, )
OPEN(openat, dir, DIR_ARGUMENT)
OPEN(openat64, dir, DIR_ARGUMENT)
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static ssize_t answered(int fd, const void *bytes, size_t size) {
    if (is_local_socket(fd)) {
        take();
        put('A', (ino_t)fd, 0, bytes, size);
        let_go();
    }
    return 0;
}

/* `at` < 0: where the file stands. */
static ssize_t written(int fd, const void *bytes, size_t size, off_t at) {
    ino_t inode = inode_of(fd);
    if (!inode) {
        if (at < 0) answered(fd, bytes, size);
        return at < 0 ? syscall(SYS_write, fd, bytes, size) : syscall(SYS_pwrite64, fd, bytes, size, at);
    }
    take();
    off_t begin = at;
    if (at < 0) {
        struct stat st;
        begin = (fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &st) == 0 ? st.st_size : lseek(fd, 0, SEEK_CUR);
    }
    ssize_t done = at < 0 ? syscall(SYS_write, fd, bytes, size) : syscall(SYS_pwrite64, fd, bytes, size, at);
    int error = errno;
    if (done > 0) put('W', inode, (uint64_t)begin, bytes, (size_t)done);
    let_go();
    errno = error;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t size) { return written(fd, bytes, size, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return written(fd, bytes, size, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) { return written(fd, bytes, size, at); }

static ssize_t gathered(int fd, const struct iovec *parts, int count) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        if (!parts[i].iov_len) continue;
        ssize_t done = written(fd, parts[i].iov_base, parts[i].iov_len, -1);
        if (done < 0) return total ? total : -1;
        total += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return total;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (inode_of(fd) || is_local_socket(fd)) return gathered(fd, parts, count);
    return syscall(SYS_writev, fd, parts, count);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    if (inode_of(fd)) abort(); /* nobody does; if somebody begins to, this must be written down */
    return REAL(pwritev)(fd, parts, count, at);
}
ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    answered(fd, bytes, size);
    return syscall(SYS_sendto, fd, bytes, size, flags, NULL, 0);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (is_local_socket(fd))
        for (size_t i = 0; i < message->msg_iovlen; i++)
            answered(fd, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* Whoever would let the kernel copy is told to copy by himself. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    (void)in, (void)from, (void)out, (void)to, (void)size, (void)flags;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile(int out, int in, off_t *at, size_t size) {
    (void)out, (void)in, (void)at, (void)size;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) { return sendfile(out, in, at, size); }

static int cut(int fd, off_t length) {
    ino_t inode = inode_of(fd);
    if (!inode) return (int)syscall(SYS_ftruncate, fd, length);
    take();
    int failed = (int)syscall(SYS_ftruncate, fd, length), error = errno;
    if (!failed) put('T', inode, (uint64_t)length, NULL, 0);
    let_go();
    errno = error;
    return failed;
}
int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

static int synced(int fd, long call) {
    ino_t inode = inode_of(fd);
    if (!inode) return (int)syscall(call, fd);
    take();
    uint64_t number = ((uint64_t)getpid() << 32) | ++syncs;
    put('b', inode, number, NULL, 0);
    let_go();
    int failed = (int)syscall(call, fd), error = errno;
    if (sync_millis) {
        struct timespec pause = {sync_millis / 1000, (sync_millis % 1000) * 1000000};
        nanosleep(&pause, NULL);
    }
    take();
    if (!failed) put('s', inode, number, NULL, 0);
    let_go();
    errno = error;
    return failed;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int named(char kind, int from_dir, const char *from, int to_dir, const char *to, long failed_call) {
    char one[PATH_MAX], two[PATH_MAX], both[2 * PATH_MAX];
    const char *a = whole(from_dir, from, one), *b = to ? whole(to_dir, to, two) : NULL;
    size_t size = strlen(a);
    memcpy(both, a, size);
    if (b) {
        both[size++] = 0;
        memcpy(both + size, b, strlen(b));
        size += strlen(b);
    }
    if (failed_call == 0 && (under_root(a) || (b && under_root(b)))) put(kind, 0, 0, both, size);
    return (int)failed_call;
}
#define UNDER_LOCK(call)               \
    take();         \
    int result = call, error = errno;  \
    let_go();       \
    errno = error;                     \
    return result;
int rename(const char *from, const char *to) {
    UNDER_LOCK(named('R', AT_FDCWD, from, AT_FDCWD, to, syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to)))
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    UNDER_LOCK(named('R', from_dir, from, to_dir, to, syscall(SYS_renameat, from_dir, from, to_dir, to)))
}
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    UNDER_LOCK(named('R', from_dir, from, to_dir, to, syscall(SYS_renameat2, from_dir, from, to_dir, to, flags)))
}
int link(const char *from, const char *to) {
    UNDER_LOCK(named('L', AT_FDCWD, from, AT_FDCWD, to, syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0)))
}
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    UNDER_LOCK(named('L', from_dir, from, to_dir, to, syscall(SYS_linkat, from_dir, from, to_dir, to, flags)))
}
int unlink(const char *path) { UNDER_LOCK(named('U', AT_FDCWD, path, 0, NULL, syscall(SYS_unlinkat, AT_FDCWD, path, 0))) }
int unlinkat(int dir, const char *path, int flags) {
    UNDER_LOCK(named('U', dir, path, 0, NULL, syscall(SYS_unlinkat, dir, path, flags)))
}
int rmdir(const char *path) { UNDER_LOCK(named('U', AT_FDCWD, path, 0, NULL, syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR))) }
int mkdir(const char *path, mode_t mode) { UNDER_LOCK(named('M', AT_FDCWD, path, 0, NULL, syscall(SYS_mkdirat, AT_FDCWD, path, mode))) }
int mkdirat(int dir, const char *path, mode_t mode) { UNDER_LOCK(named('M', dir, path, 0, NULL, syscall(SYS_mkdirat, dir, path, mode))) }
