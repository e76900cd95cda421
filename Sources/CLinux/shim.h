/* Linux calls that Swift's Glibc module leaves out. */
#ifndef MARTLET_CLINUX_H
#define MARTLET_CLINUX_H

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

static inline int martlet_eventfd(void) {
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static inline int martlet_epoll(void) {
    return epoll_create1(EPOLL_CLOEXEC);
}

/* The number stands for the socket where that has something to read, or has ended. */
static inline int martlet_epoll_add(int epoll, int socket, uint64_t number) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = number}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
}

static inline int martlet_epoll_remove(int epoll, int socket) {
    return epoll_ctl(epoll, EPOLL_CTL_DEL, socket, NULL);
}

#define MARTLET_EPOLL_MOST 32

/* The numbers of those, MARTLET_EPOLL_MOST at most; waits for nothing. */
static inline int martlet_epoll_ready(int epoll, uint64_t *numbers) {
    struct epoll_event events[MARTLET_EPOLL_MOST];
    int count = epoll_wait(epoll, events, MARTLET_EPOLL_MOST, 0);
    for (int index = 0; index < count; index++) numbers[index] = events[index].data.u64;
    return count;
}

/* prctl is variadic, which Swift cannot call. The kernel keeps 15 bytes of the name. */
static inline int martlet_name_thread(const char *name) {
    return prctl(PR_SET_NAME, name, 0, 0, 0);
}

/* pipe2 with close-on-exec set from the start, so that no fork of another thread inherits the ends. */
extern int pipe2(int ends[2], int flags);
static inline int martlet_pipe(int ends[2]) {
    return pipe2(ends, O_CLOEXEC);
}

/* posix_spawn extensions of glibc (2.26, 2.29, 2.34) that need _GNU_SOURCE, which the importer does not set. */
#define MARTLET_SPAWN_SETSID 0x80
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path);
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);

/* The first place of some bytes in others (string.h, with _GNU_SOURCE). */
extern void *memmem(const void *haystack, size_t length, const void *needle, size_t needle_length);

/* Tells the processor that a thread waits for another one; it is no call of Linux, and has no name in Swift. */
static inline void martlet_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}

/* A file in memory without a name; close-on-exec (flag 1). */
extern int memfd_create(const char *name, unsigned int flags);

#endif
