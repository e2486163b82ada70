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

int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
    int (*write_to_nobody)(void) = library ? (int (*)(void))dlsym(library, "write_to_nobody") : NULL;
    if (!write_to_nobody) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    if (write_to_nobody())
        return 3;

    signal(SIGPIPE, handler);
    if (write_to_nobody() || handled)
        return 4;

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
