#include "ssh_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/unit.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/sys.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s failed: %s\n", __FILE__, __LINE__, #condition,              \
                    strerror(errno));                                                              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static bool want_dropbear(void)
{
    const char *kind = getenv("VMTEST_TEST_SERVER");
    return kind && !strcmp(kind, "dropbear");
}

/* sshd must be called by its absolute path; /usr/sbin often is not in a user's PATH. */
static const char *program(const char *name)
{
    static char path[2][128];
    static unsigned turn;
    static const char *const folders[] = {"/usr/sbin",          "/usr/local/sbin",
                                          "/usr/bin",           "/usr/local/bin",
                                          "/opt/homebrew/sbin", "/opt/homebrew/bin"};
    char *out = path[turn++ % 2];
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(out, sizeof path[0], "%s/%s", folders[i], name);
        if (!access(out, X_OK))
            return out;
    }
    return NULL;
}

const char *ssh_server_no_namespace(void)
{
    if (getuid())
        return "not root: no mount namespace with a password file of its own";
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid)
        _exit(unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status ? "mount namespaces are not permitted here" : NULL;
}

const char *ssh_server_missing(void)
{
    if (!program("ssh-keygen"))
        return "ssh-keygen is not installed (package openssh-client)";
    if (!want_dropbear())
        return program("sshd") ? NULL : "sshd is not installed (package openssh-server)";
    if (!program("dropbear") || !program("dropbearconvert"))
        return "dropbear is not installed (package dropbear-bin)";
    return ssh_server_no_namespace(); /* it reads keys only from the home of /etc/passwd */
}

int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&a, n) &&
          !getsockname(fd, (struct sockaddr *)&a, &n));
    close(fd);
    return ntohs(a.sin_port);
}

const char *ssh_server_path(const struct ssh_server *s, const char *name)
{
    static char path[4][512];
    static unsigned turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", s->dir, name);
    return out;
}

static void run_program(const char *const *argv)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        union {
            const char *const *from;
            char **to;
        } args = {.from = argv};
        execv(argv[0], args.to);
        _exit(127);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (status) {
        fprintf(stderr, "%s failed\n", argv[0]);
        exit(1);
    }
}

static void keygen(const char *path, const char *type, const char *passphrase)
{
    const char *const argv[] = {
        program("ssh-keygen"), "-q", "-t", type, "-N", passphrase, "-C", "test", "-f", path, NULL};
    run_program(argv);
}

static char *read_text(const char *path)
{
    struct vt_buf text = VT_BUF_INIT;
    CHECK(!vt_read_file(path, 1 << 20, &text, NULL));
    return vt_buf_steal(&text);
}

static void write_text(const char *path, const char *text)
{
    CHECK(!vt_write_file(path, text, strlen(text), 0600, NULL));
}

/* "TYPE BASE64" of NAME.pub */
static char *public_key(const struct ssh_server *s, const char *name)
{
    char pub[64];
    snprintf(pub, sizeof pub, "%s.pub", name);
    char *text = read_text(ssh_server_path(s, pub));
    char *second = strchr(text, ' ');
    CHECK(second);
    second[1 + strcspn(second + 1, " \n")] = '\0';
    return text;
}

void ssh_server_prepare(struct ssh_server *s)
{
    *s = (struct ssh_server){.dir = "/tmp/vmtest-ssh-XXXXXX", .dropbear = want_dropbear()};
    CHECK(mkdtemp(s->dir));
    const struct passwd *me = getpwuid(getuid());
    snprintf(s->user, sizeof s->user, "%s", s->dropbear ? SSH_SERVER_USER : me ? me->pw_name : "?");
    snprintf(s->key, sizeof s->key, "%s/id", s->dir);
    snprintf(s->key_locked, sizeof s->key_locked, "%s/id_locked", s->dir);
    snprintf(s->key_ecdsa, sizeof s->key_ecdsa, "%s/id_ecdsa", s->dir);
    snprintf(s->key_unknown, sizeof s->key_unknown, "%s/id_unknown", s->dir);
    keygen(s->key, "ed25519", "");
    keygen(s->key_locked, "ed25519", "secret");
    keygen(s->key_ecdsa, "ecdsa", "");
    keygen(s->key_unknown, "ed25519", "");
    keygen(ssh_server_path(s, "host"), "ed25519", "");
    keygen(ssh_server_path(s, "other"), "ed25519", "");
    s->host_key = public_key(s, "host");
    s->other_key = public_key(s, "other");
    struct vt_buf keys = VT_BUF_INIT;
    static const char *const accepted[] = {"id", "id_locked", "id_ecdsa"};
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        char *line = public_key(s, accepted[i]);
        vt_buf_printf(&keys, "%s\n", line);
        vt_free(line);
    }
    CHECK(!mkdir(ssh_server_path(s, ".ssh"), 0700));
    write_text(ssh_server_path(s, ".ssh/authorized_keys"), vt_buf_str(&keys));
    vt_buf_free(&keys);
    if (s->dropbear) {
        const char *const argv[] = {
            program("dropbearconvert"),          "openssh", "dropbear", ssh_server_path(s, "host"),
            ssh_server_path(s, "host.dropbear"), NULL};
        run_program(argv);
    }
    s->port = free_port();
}

static void write_config(const struct ssh_server *s, const char *config)
{
    struct vt_buf text = VT_BUF_INIT;
    vt_buf_printf(&text,
                  "%s\n"
                  "ListenAddress 127.0.0.1\nPort %d\nHostKey %s/host\nPidFile none\n"
                  "AuthorizedKeysFile %s/.ssh/authorized_keys\nStrictModes no\n"
                  "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                  "SetEnv HOME=%s\n" /* not this user's shell profile */
                  "PermitRootLogin yes\nMaxStartups 100\nLogLevel VERBOSE\nUseDNS no\n"
                  "%s\n",
                  config ? config : "", s->port, s->dir, s->dir, s->dir,
                  config && strstr(config, "Subsystem") ? "" : "Subsystem sftp internal-sftp");
    write_text(ssh_server_path(s, "sshd_config"), vt_buf_str(&text));
    vt_buf_free(&text);
}

static void bind_copy(const struct ssh_server *s, const char *system, const char *name,
                      const char *line)
{
    char *text = NULL;
    struct vt_buf out = VT_BUF_INIT;
    text = read_text(system);
    vt_buf_printf(&out, "%s\n%s", line, text);
    write_text(ssh_server_path(s, name), vt_buf_str(&out));
    CHECK(!chmod(ssh_server_path(s, name), 0644));
    CHECK(!mount(ssh_server_path(s, name), system, NULL, MS_BIND, NULL));
    vt_free(text);
    vt_buf_free(&out);
}

static void password_files(const struct ssh_server *s)
{
    CHECK(!unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    /* sha512-crypt of SSH_SERVER_PASSWORD */
    char line[512];
    snprintf(line, sizeof line, "%s:x:0:0:test:%s:/bin/sh", SSH_SERVER_USER, s->dir);
    bind_copy(s, "/etc/passwd", "passwd", line);
    FILE *hash = popen("openssl passwd -6 -stdin <<'EOT'\n" SSH_SERVER_PASSWORD "\nEOT\n", "r");
    char text[256] = "";
    CHECK(hash && fgets(text, sizeof text, hash) && !pclose(hash));
    text[strcspn(text, "\n")] = '\0';
    snprintf(line, sizeof line, "%s:%s:19000:0:99999:7:::", SSH_SERVER_USER, text);
    bind_copy(s, "/etc/shadow", "shadow", line);
}

static _Noreturn void child(const struct ssh_server *s, bool passwords)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (passwords || s->dropbear)
        password_files(s);
    int log = open(ssh_server_path(s, "log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    char port[32];
    if (s->dropbear) {
        snprintf(port, sizeof port, "127.0.0.1:%d", s->port);
        const char *path = program("dropbear");
        execl(path, path, "-F", "-E", "-r", ssh_server_path(s, "host.dropbear"), "-p", port,
              (char *)NULL);
    } else {
        const char *path = program("sshd");
        execl(path, path, "-D", "-e", "-f", ssh_server_path(s, "sshd_config"), (char *)NULL);
    }
    _exit(127);
}

static bool answers(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool yes = fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof a);
    close(fd);
    return yes;
}

static void start(struct ssh_server *s, const char *config, bool passwords)
{
    if (!getuid())
        mkdir("/run/sshd", 0755); /* what sshd asks for as root; its package makes it at boot */
    write_config(s, config);
    s->pid = fork();
    CHECK(s->pid >= 0);
    if (!s->pid)
        child(s, passwords);
    for (int i = 0; i < 2000 && !answers(s->port); i++) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            char *log = read_text(ssh_server_path(s, "log"));
            fprintf(stderr, "the server ended:\n%s\n", log);
            exit(1);
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

void ssh_server_listen(struct ssh_server *s, const char *config)
{
    start(s, config, false);
}

void ssh_server_listen_with_password(struct ssh_server *s, const char *config)
{
    start(s, config, true);
}

void ssh_server_start(struct ssh_server *s, const char *config)
{
    ssh_server_prepare(s);
    ssh_server_listen(s, config);
}

/* Kills a process and all that descend from it: each connection of sshd is a session of its own,
 * so a process group does not reach it. */
static void kill_tree(pid_t top)
{
    enum { most = 512 };
    long pids[most], parents[most];
    bool ours[most] = {false};
    size_t n = 0;
    FILE *ps = popen("ps -A -o pid= -o ppid=", "r");
    CHECK(ps);
    while (n < most && fscanf(ps, "%ld %ld", &pids[n], &parents[n]) == 2)
        n++;
    pclose(ps);
    for (bool found = true; found;) {
        found = false;
        for (size_t i = 0; i < n; i++) {
            bool child = parents[i] == top;
            for (size_t j = 0; j < n && !child; j++)
                child = ours[j] && parents[i] == pids[j];
            if (child && !ours[i])
                found = ours[i] = true;
        }
    }
    kill(top, SIGKILL);
    for (size_t i = 0; i < n; i++)
        if (ours[i])
            kill((pid_t)pids[i], SIGKILL);
}

void ssh_server_kill(struct ssh_server *s)
{
    if (s->pid <= 0)
        return;
    kill_tree(s->pid);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

void ssh_server_free(struct ssh_server *s)
{
    ssh_server_kill(s);
    if (getenv("VMTEST_TEST_KEEP"))
        fprintf(stderr, "kept: %s\n", s->dir);
    else
        CHECK(!vt_remove_tree(s->dir, NULL));
    vt_free(s->host_key);
    vt_free(s->other_key);
}

struct vt_ssh_config ssh_server_config(const struct ssh_server *s)
{
    return (struct vt_ssh_config){
        .host = "127.0.0.1", .port = s->port, .user = s->user, .key_file = s->key};
}
