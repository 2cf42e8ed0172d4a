// The least that a supervisor by seccomp notification costs, without anything of Killpoint's:
//   cc -O2 -o /tmp/floor crates/killpoint-engine/benches/floor.c && /tmp/floor
// A child makes 50,000 writes of 512 bytes into a file in /dev/shm, both on one processor. Printed are
// microseconds per write, by what the supervisor does with each:
//   native    there is no supervisor
//   bare      it lets the call go on: two switches, RECV and SEND
//   perform   it copies the descriptor, looks at what it is, reads the bytes, writes and answers
//   record    it also asks for the descriptor's flags and offset and keeps the bytes in a log
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COUNT = 50000, SIZE = 512, LOG_BYTES = 1 << 18 };
enum mode { NATIVE, BARE, PERFORM, RECORD, MODES };
static const char *NAMES[] = {"native", "bare", "perform", "record"};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void check(int is_good, const char *what) {
    if (!is_good) {
        perror(what);
        exit(1);
    }
}

static void send_descriptor(int way, int descriptor) {
    char control[CMSG_SPACE(sizeof descriptor)] = {0};
    struct iovec byte = {"l", 1};
    struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    check(sendmsg(way, &message, 0) == 1, "sendmsg");
}

static int receive_descriptor(int way) {
    char control[CMSG_SPACE(sizeof(int))], letter;
    struct iovec byte = {&letter, 1};
    struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    check(recvmsg(way, &message, 0) == 1, "recvmsg");
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
    return descriptor;
}

static int listen_for_writes(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    unsigned long flags =
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void target(enum mode mode, int way, double *microseconds) {
    int file = open("/dev/shm/killpoint-floor", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    check(file >= 0 && unlink("/dev/shm/killpoint-floor") == 0, "a file in /dev/shm");
    char bytes[SIZE];
    memset(bytes, '.', SIZE);
    if (mode != NATIVE) {
        int listener = listen_for_writes();
        check(listener >= 0, "seccomp");
        send_descriptor(way, listener);
        close(listener);
    }
    double begin = now();
    for (int i = 0; i < COUNT; i++)
        if (write(file, bytes, SIZE) != SIZE) _exit(1);
    *microseconds = (now() - begin) / COUNT * 1e6;
    _exit(0);
}

// Does what the recorder cannot do without; gives what write returned.
static long perform(enum mode mode, pid_t child, int handle, const struct seccomp_data *call, int log) {
    static char bytes[SIZE], kept[LOG_BYTES];
    static size_t filled;
    struct stat status;
    int copy = syscall(SYS_pidfd_getfd, handle, (int)call->args[0], 0);
    check(copy >= 0 && fstat(copy, &status) == 0, "pidfd_getfd");
    if (mode == RECORD) check(fcntl(copy, F_GETFL) >= 0, "fcntl");
    struct iovec local = {bytes, SIZE}, remote = {(void *)call->args[1], SIZE};
    check(process_vm_readv(child, &local, 1, &remote, 1, 0) == SIZE, "process_vm_readv");
    long result = write(copy, bytes, SIZE);
    if (mode == RECORD) {
        check(lseek(copy, 0, SEEK_CUR) >= 0, "lseek");
        memcpy(kept + filled, bytes, SIZE);
        filled += SIZE + 64; // about as much as the operation itself takes
        if (filled + SIZE + 64 > LOG_BYTES) {
            check(write(log, kept, filled) == (long)filled, "write");
            filled = 0;
        }
    }
    close(copy);
    return result;
}

static double measure(enum mode mode) {
    double *microseconds =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int way[2];
    check(microseconds != MAP_FAILED && socketpair(AF_UNIX, SOCK_STREAM, 0, way) == 0, "set-up");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) target(mode, way[1], microseconds);
    int listener = mode == NATIVE ? -1 : receive_descriptor(way[0]);
    int handle = syscall(SYS_pidfd_open, child, 0), log = memfd_create("log", 0);
    for (int i = 0; i < COUNT && mode != NATIVE; i++) {
        struct seccomp_notif asked = {0};
        check(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) == 0, "RECV");
        struct seccomp_notif_resp answer = {.id = asked.id};
        if (mode == BARE) answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        else answer.val = perform(mode, child, handle, &asked.data, log);
        check(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0, "SEND");
    }
    int status;
    check(waitpid(child, &status, 0) == child && status == 0, "the child");
    close(listener), close(handle), close(log), close(way[0]), close(way[1]);
    return *microseconds;
}

int main(void) {
    cpu_set_t last;
    CPU_ZERO(&last);
    CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &last);
    check(sched_setaffinity(0, sizeof last, &last) == 0, "sched_setaffinity");
    for (enum mode mode = NATIVE; mode < MODES; mode++)
        printf("%-8s %.2f us\n", NAMES[mode], measure(mode));
}
