# C11 atomics of `memory.py`.
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include <stdatomic.h>
    #include <stdint.h>
    #define ap_load_acquire(memory, index) atomic_load_explicit((_Atomic uint64_t *)(memory) + (index), memory_order_acquire)
    #define ap_load_relaxed(memory, index) atomic_load_explicit((_Atomic uint64_t *)(memory) + (index), memory_order_relaxed)
    #define ap_store_release(memory, index, value) \
        atomic_store_explicit((_Atomic uint64_t *)(memory) + (index), (value), memory_order_release)
    #define ap_store_relaxed(memory, index, value) \
        atomic_store_explicit((_Atomic uint64_t *)(memory) + (index), (value), memory_order_relaxed)
    #define ap_acquire_fence() atomic_thread_fence(memory_order_acquire)
    #define ap_release_fence() atomic_thread_fence(memory_order_release)
    #define ap_full_fence() atomic_thread_fence(memory_order_seq_cst)
    """
    uint64_t load_acquire "ap_load_acquire"(uint64_t *memory, Py_ssize_t index) noexcept nogil
    uint64_t load_relaxed "ap_load_relaxed"(uint64_t *memory, Py_ssize_t index) noexcept nogil
    void store_release "ap_store_release"(uint64_t *memory, Py_ssize_t index, uint64_t value) noexcept nogil
    void store_relaxed "ap_store_relaxed"(uint64_t *memory, Py_ssize_t index, uint64_t value) noexcept nogil
    void acquire_fence "ap_acquire_fence"() noexcept nogil
    void release_fence "ap_release_fence"() noexcept nogil
    void full_fence "ap_full_fence"() noexcept nogil
