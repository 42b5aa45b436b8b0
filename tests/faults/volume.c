/* What a volume does not offer, preloaded into the server: VOLUME is a list of
 *   squash   files and directories belong to user 65534, whoever makes them (NFS with root_squash)
 *   nosync   directories cannot be synced (EINVAL, as on CIFS and some FUSE file systems)
 *   nosocket no Unix socket can be made (EPERM)
 *   nolocks  nothing can be locked (ENOLCK, as where the kernel has no locks for a file system at all)
 *   nolockd  files cannot be locked, directories can (ENOLCK, as on NFS 3 without rpc.statd)
 *   ignorant files cannot be locked, directories can (EOPNOTSUPP: the server of the volume knows no locks)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <stdarg.h>

static int lacks(const char *what) {
    const char *volume = getenv("VOLUME");
    return volume && strstr(volume, what);
}

static int fail(int error) {
    errno = error;
    return -1;
}

int statx(int dir, const char *path, int flags, unsigned mask, struct statx *found) {
    int (*real)(int, const char *, int, unsigned, struct statx *) = dlsym(RTLD_NEXT, "statx");
    int done = real(dir, path, flags, mask, found);
    if (done == 0 && lacks("squash") && (S_ISREG(found->stx_mode) || S_ISDIR(found->stx_mode)))
        found->stx_uid = found->stx_gid = 65534;
    return done;
}

int fsync(int fd) {
    struct stat found;
    if (lacks("nosync") && fstat(fd, &found) == 0 && S_ISDIR(found.st_mode))
        return fail(EINVAL);
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return real(fd);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    if (lacks("nosocket") && address->sa_family == AF_UNIX)
        return fail(EPERM);
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    return real(fd, address, length);
}

static int cannot_lock(int fd) {
    struct stat found;
    if (fstat(fd, &found) != 0)
        return 0;
    if (lacks("nolocks") || (lacks("nolockd") && !S_ISDIR(found.st_mode)))
        return ENOLCK;
    return lacks("ignorant") && !S_ISDIR(found.st_mode) ? EOPNOTSUPP : 0;
}

int flock(int fd, int operation) {
    int error = cannot_lock(fd);
    if (error)
        return fail(error);
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    return real(fd, operation);
}

/* redb locks parts of its file by the system call itself. */
long syscall(long number, ...) {
    long given[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        given[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_fcntl && (given[1] == F_OFD_SETLK || given[1] == F_OFD_SETLKW || given[1] == F_OFD_GETLK)) {
        int error = cannot_lock((int)given[0]);
        if (error)
            return fail(error);
    }
    long (*real)(long, ...) = dlsym(RTLD_NEXT, "syscall");
    return real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
