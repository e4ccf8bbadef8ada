# C form of `sigbus.py`: the one handler of SIGBUS and the list of guarded ranges. Only `mapping` may cimport this: each module that
# did would have a list of its own.
cdef extern from *:
    """
    #include <errno.h>
    #include <signal.h>
    #include <stdatomic.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <sys/mman.h>

    #ifndef MAP_ANONYMOUS
    #define MAP_ANONYMOUS MAP_ANON
    #endif

    typedef struct {
        _Atomic uintptr_t start; /* 0: free; set last, cleared first */
        _Atomic size_t size;
        _Atomic int is_cut;
    } ap_range;

    typedef struct ap_block { /* blocks are never given back: the handler may be walking through them */
        ap_range ranges[128];
        struct ap_block *_Atomic next;
    } ap_block;

    static ap_block ap_ranges;
    static struct sigaction ap_before;  /* handler before ours: it gets every fault outside the guarded ranges */
    static _Atomic int ap_handed_on;

    static ap_range *ap_find(uintptr_t at)
    {
        for (ap_block *block = &ap_ranges; block; block = atomic_load(&block->next))
            for (int i = 0; i < 128; i++) {
                uintptr_t start = atomic_load(&block->ranges[i].start);
                if (start ? at - start < atomic_load(&block->ranges[i].size) : at == 0)
                    return &block->ranges[i];
            }
        return NULL;
    }

    /* The kernel found no page of the file: zeros replace the whole mapping, and the access is repeated. Only functions that a signal
       handler may call are called here. A fault outside the ranges goes to the handler before ours; should it come back, to the default. */
    static void ap_on_sigbus(int number, siginfo_t *info, void *context)
    {
        int kept = errno;
        ap_range *range = info->si_code > 0 && info->si_addr ? ap_find((uintptr_t)info->si_addr) : NULL;
        (void)context;
        if (range) {
            atomic_store(&range->is_cut, 1);
            if (mmap((void *)atomic_load(&range->start), atomic_load(&range->size), PROT_READ | PROT_WRITE,
                     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
                errno = kept;
                return;
            }
        }
        if (atomic_exchange(&ap_handed_on, 1))
            signal(number, SIG_DFL);
        else
            sigaction(number, &ap_before, NULL);
        if (info->si_code <= 0) /* sent by a process: unlike a fault it does not repeat by itself */
            raise(number);
        errno = kept;
    }

    /* Called for each mapping, since other code may have replaced the handler meanwhile (faulthandler does). */
    static void ap_install(void)
    {
        struct sigaction now, ours;
        if (sigaction(SIGBUS, NULL, &now) || ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == ap_on_sigbus))
            return;
        ours.sa_sigaction = ap_on_sigbus;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&ours.sa_mask);
        ap_before = now;
        atomic_store(&ap_handed_on, 0);
        sigaction(SIGBUS, &ours, NULL);
    }

    static size_t ap_watch(const void *start, size_t size)
    {
        ap_range *range = ap_find(0); /* a free entry */
        ap_install();
        if (!range) {
            ap_block *last = &ap_ranges, *made = calloc(1, sizeof *made);
            if (!made)
                return 0;
            while (atomic_load(&last->next))
                last = atomic_load(&last->next);
            range = made->ranges;
            atomic_store(&last->next, made);
        }
        atomic_store(&range->is_cut, 0);
        atomic_store(&range->size, size);
        atomic_store(&range->start, (uintptr_t)start);
        return (size_t)range;
    }

    static void ap_forget(size_t place)
    {
        if (place)
            atomic_store(&((ap_range *)place)->start, 0);
    }

    static int ap_is_cut(size_t place)
    {
        return place && atomic_load(&((ap_range *)place)->is_cut);
    }
    """
    size_t watch "ap_watch"(const void *start, size_t size) noexcept nogil
    void forget "ap_forget"(size_t place) noexcept nogil
    bint is_cut "ap_is_cut"(size_t place) noexcept nogil
