# Compiled form of `runs.py`: a level is one 16-byte vector, so that a run costs little more than reading its memory.
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #include <string.h>
    #define AP_RUN_BLOCK 8 /* levels compared together */
    typedef uint64_t ap_level __attribute__((vector_size(16)));

    static inline ap_level ap_load_level(const void *from) {
        ap_level level;
        memcpy(&level, from, 16); /* the memory is aligned to 8 only */
        return level;
    }

    static inline Py_ssize_t ap_alike(const int64_t *ours, Py_ssize_t step, const uint64_t *theirs, uint64_t side_bit, Py_ssize_t most) {
        const ap_level side = {0, side_bit};
        Py_ssize_t done = 0;
        for (; most - done >= AP_RUN_BLOCK; done += AP_RUN_BLOCK) {
            ap_level other = {0, 0};
            for (int k = 0; k < AP_RUN_BLOCK; k++)
                other |= ap_load_level(ours + (done + k) * step) ^ side ^ ap_load_level(theirs + 2 * (done + k));
            if (other[0] | other[1])
                break;
        }
        return done;
    }

    static inline void ap_take_run(int64_t *ours, Py_ssize_t step, const uint64_t *theirs, uint64_t side_bit, Py_ssize_t count) {
        const ap_level side = {0, side_bit};
        for (Py_ssize_t k = 0; k < count; k++) {
            ap_level level = ap_load_level(theirs + 2 * k) ^ side;
            memcpy(ours + k * step, &level, 16);
        }
    }
    """
    Py_ssize_t ap_alike(const int64_t *ours, Py_ssize_t step, const uint64_t *theirs, uint64_t side_bit, Py_ssize_t most) noexcept nogil
    void ap_take_run(int64_t *ours, Py_ssize_t step, const uint64_t *theirs, uint64_t side_bit, Py_ssize_t count) noexcept nogil


cdef inline Py_ssize_t alike(
    const int64_t *ours, Py_ssize_t at, Py_ssize_t step, const uint64_t *theirs, Py_ssize_t i, uint64_t side_bit, Py_ssize_t most
) noexcept nogil:
    return ap_alike(ours + at, step, theirs + i, side_bit, most)


cdef inline void take(
    int64_t *ours, Py_ssize_t at, Py_ssize_t step, const uint64_t *theirs, Py_ssize_t i, uint64_t side_bit, Py_ssize_t count
) noexcept nogil:
    ap_take_run(ours + at, step, theirs + i, side_bit, count)
