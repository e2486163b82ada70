/* A program that leaves SIGPIPE as it is, which is deadly, or handles it itself. */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t handled;

static void handler(int signal)
{
    (void)signal;
    handled = 1;
}

static void make_deadly(void)
{
    signal(SIGPIPE, SIG_DFL);
}

int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
    int (*write_to_nobody)(void) = library ? (int (*)(void))dlsym(library, "write_to_nobody") : NULL;
    int (*after)(void (*)(void)) =
        library ? (int (*)(void (*)(void)))dlsym(library, "write_to_nobody_after") : NULL;
    if (!write_to_nobody || !after) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    if (write_to_nobody())
        return 3;

    signal(SIGPIPE, handler);
    if (write_to_nobody() || handled)
        return 4;

    /* It may become deadly when the pipe is open. */
    signal(SIGPIPE, SIG_IGN);
    if (after(make_deadly))
        return 7;
    signal(SIGPIPE, handler);

    /* One that was pending before stays pending. */
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    if (write_to_nobody())
        return 5;
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) && !handled ? 0 : 6;
}
