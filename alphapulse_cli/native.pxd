# What `native.py` says, for the compiler. Buffers become pointers: nothing checks an index, so callers check lengths first.
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memmove

cdef extern from "Python.h":
    bint _is_bytearray "PyByteArray_CheckExact"(object value) noexcept
    char *_bytearray_start "PyByteArray_AS_STRING"(object value) noexcept
    Py_ssize_t _bytearray_size "PyByteArray_GET_SIZE"(object value) noexcept
    bint _is_bytes "PyBytes_CheckExact"(object value) noexcept
    char *_bytes_start "PyBytes_AS_STRING"(object value) noexcept
    Py_ssize_t _bytes_size "PyBytes_GET_SIZE"(object value) noexcept

cdef extern from *:
    """
    #ifndef ALPHAPULSE_SOURCE_HASH
    #define ALPHAPULSE_SOURCE_HASH ""
    #endif
    #define AP_MASK64 UINT64_MAX
    """
    const char *ALPHAPULSE_SOURCE_HASH
    const uint64_t MASK64 "AP_MASK64"


cdef inline void *_address(object buffer) except NULL:
    # The export is given back at once: who calls keeps the buffer alive (and unresized) as long as the pointer.
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    cdef void *address = view.buf
    PyBuffer_Release(&view)
    if address == NULL:
        raise ValueError("the buffer has no memory")
    return address


cdef inline uint64_t *words(object buffer) except NULL:
    return <uint64_t *>_address(buffer)


cdef inline int64_t *signed(object buffer) except NULL:
    return <int64_t *>_address(buffer)


cdef inline uint64_t *new_words(Py_ssize_t count) except NULL:
    cdef uint64_t *memory = <uint64_t *>PyMem_Calloc(<size_t>count, 8)
    if memory == NULL:
        raise MemoryError
    return memory


cdef inline void free_words(uint64_t *memory) noexcept:
    PyMem_Free(memory)


cdef inline int64_t *as_signed(uint64_t *memory) noexcept nogil:
    return <int64_t *>memory


cdef inline bytes to_bytes(const uint64_t *memory, Py_ssize_t count):
    return PyBytes_FromStringAndSize(<const char *>memory, count * 8)


cdef inline uint8_t *octets(object buffer) except NULL:
    return <uint8_t *>_address(buffer)


cdef inline uint8_t *octets_of(object buffer, Py_ssize_t least) except NULL:
    cdef Py_buffer view
    cdef uint8_t *address
    cdef Py_ssize_t size
    if _is_bytearray(buffer):  # what a batch is, and
        address, size = <uint8_t *>_bytearray_start(buffer), _bytearray_size(buffer)
    elif _is_bytes(buffer):  # what a frame is: to ask for their buffer would cost as much as a publish
        address, size = <uint8_t *>_bytes_start(buffer), _bytes_size(buffer)
    else:
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
        address, size = <uint8_t *>view.buf, view.len
        PyBuffer_Release(&view)
    if address == NULL or size < least:
        raise ValueError("the buffer is too small")
    return address


cdef inline bint same_octets(const uint8_t *one, Py_ssize_t at, const uint8_t *other, Py_ssize_t start, Py_ssize_t count) noexcept nogil:
    return memcmp(one + at, other + start, <size_t>count) == 0


cdef inline uint64_t number(const uint8_t *octets, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    cdef uint64_t value = 0
    cdef Py_ssize_t at
    for at in range(start, end):
        if octets[at] < 48 or octets[at] > 57:
            return MASK64
        value = value * 10 + octets[at] - 48
    return value


cdef inline void write_number(uint8_t *octets, Py_ssize_t start, Py_ssize_t end, uint64_t value) noexcept nogil:
    while end > start:
        end -= 1
        octets[end] = <uint8_t>(48 + value % 10)
        value //= 10


cdef inline str text(const uint8_t *octets, Py_ssize_t start, Py_ssize_t end):
    return PyUnicode_DecodeASCII(<const char *>octets + start, end - start, NULL)


cdef inline void move_words(void *target, Py_ssize_t to, const void *source, Py_ssize_t start, Py_ssize_t count) noexcept nogil:
    memmove(<uint64_t *>target + to, <const uint64_t *>source + start, <size_t>count * 8)


cdef inline void move_octets(void *target, Py_ssize_t to, const void *source, Py_ssize_t start, Py_ssize_t count) noexcept nogil:
    memmove(<uint8_t *>target + to, <const uint8_t *>source + start, <size_t>count)


cdef inline str source_hash():
    return (<bytes>ALPHAPULSE_SOURCE_HASH).decode("ascii")
