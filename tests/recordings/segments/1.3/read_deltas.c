/* Follows a ring of price-level deltas from its oldest record on, and prints every whole group. C11 on Linux, nothing else.
 *
 *     cc -std=c11 -O2 -o read_deltas read_deltas.c
 *     ./read_deltas /dev/shm/alphapulse-1000/kraken_orderbook_deltas [SECONDS]     SECONDS without a record end it
 *
 * All that it knows: the header page and the delta record (docs/reference/layouts.md), the ring's promise and the rules of a
 * restart (docs/explanation/shared-memory.md). The memory is mapped read-only: nothing here can disturb the collector or another reader. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RECORD = 256, HEADER = 4096, KIND_DELTAS = 1, MAX_CHANGES = 12, FIRST = 1 << 3, LAST = 1 << 4, RESYNCED = 1 << 5 };
/* Byte offsets in the header page. */
enum { MAGIC = 0, BYTE_ORDER_TAG = 8, LAYOUT_MAJOR = 16, HEADER_SIZE = 32, RECORD_SIZE = 40, CAPACITY = 48, FILE_SIZE = 56,
       KIND = 64, EPOCH = 72, CLAIMED = 256, PUBLISHED = 384, SEALED = 640, HEARTBEAT = 768 };
static const uint64_t ALIVE = UINT64_MAX; /* `sealed` of a ring that has no end yet */
enum { LIVE_LAYOUT = 1, REPLAY_LAYOUT = 1001 }; /* the second: a replay wrote it, its times are of the past */

typedef struct { uint64_t price_ticks, size_side; } Change; /* the price is signed; see print_group */
typedef struct {
    uint64_t timestamp_ns;
    char symbol[16], exchange[16];
    uint64_t version, prev_version;
    uint8_t change_count, flags, price_decimals, size_decimals;
    int32_t feed_delay_us;
    Change changes[MAX_CHANGES];
} Record;
_Static_assert(sizeof(Record) == RECORD, "the record is 256 bytes");

typedef struct { const unsigned char *at; size_t bytes; uint64_t capacity, epoch, layout; } Ring;

static uint64_t plain(const Ring *ring, int offset) { uint64_t word; memcpy(&word, ring->at + offset, 8); return word; }
static uint64_t acquire(const Ring *ring, int offset) {
    return atomic_load_explicit((const _Atomic uint64_t *)(const void *)(ring->at + offset), memory_order_acquire);
}
static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Map the file and believe nothing in its header. NULL, or why it cannot be read. */
static const char *attach(const char *path, Ring *ring) {
    struct stat found;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return "cannot be opened";
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size < HEADER) { close(fd); return "is no segment"; }
    ring->bytes = (size_t)found.st_size;
    void *mapped = mmap(NULL, ring->bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) return "cannot be mapped";
    ring->at = mapped;
    ring->capacity = plain(ring, CAPACITY);
    ring->epoch = plain(ring, EPOCH);
    ring->layout = plain(ring, LAYOUT_MAJOR);
    const char *wrong = NULL;
    if (acquire(ring, MAGIC) != 0x736c706168706c61u) wrong = "is no segment"; /* "alphapls" */
    else if (plain(ring, BYTE_ORDER_TAG) != 0x0102030405060708u) wrong = "is of another byte order";
    else if (ring->layout != LIVE_LAYOUT && ring->layout != REPLAY_LAYOUT) wrong = "has another layout";
    else if (plain(ring, KIND) != KIND_DELTAS || plain(ring, RECORD_SIZE) != RECORD) wrong = "is no ring of deltas";
    else if (plain(ring, HEADER_SIZE) != HEADER || ring->capacity == 0 || ring->capacity > UINT64_C(1) << 32
             || (ring->capacity & (ring->capacity - 1)) != 0 || plain(ring, FILE_SIZE) != ring->bytes
             || HEADER + ring->capacity * RECORD != ring->bytes) wrong = "is damaged or truncated";
    if (wrong) munmap(mapped, ring->bytes);
    return wrong;
}

/* ticks / 10^decimals as exact decimal text: no float, no rounding. */
static void print_decimal(int negative, uint64_t value, int decimals) {
    char digits[40];
    int count = snprintf(digits, sizeof digits, "%0*" PRIu64, decimals + 1, value);
    printf("%s%.*s%s%s", negative ? "-" : "", count - decimals, digits, decimals ? "." : "", digits + count - decimals);
}

/* One group: all changes of one message of the exchange, one version. The sizes are absolute; size 0 removes the level. */
static void print_group(const Record *record, size_t count) {
    static const char *const kinds[8] = {"DELTA", "RESET", "CHECK", "STATUS", "4", "5", "6", "7"};
    int kind = record->flags & 7;
    printf("%.16s %s %" PRIu64 " %" PRIu64 "%s", record->symbol, kinds[kind], record->prev_version, record->version,
           record->flags & RESYNCED ? " resynced" : "");
    for (size_t r = 0; r < count; r++)
        for (int c = 0; c < record[r].change_count && c < MAX_CHANGES && kind == 0; c++) {
            uint64_t ticks = record[r].changes[c].price_ticks, size_side = record[r].changes[c].size_side;
            int negative = (int)(ticks >> 63); /* two's complement */
            printf(size_side >> 63 ? " ask " : " bid ");
            print_decimal(negative, negative ? -ticks : ticks, least(record->price_decimals, 18));
            putchar(size_side >> 62 & 1 ? '+' : ' '); /* + the level is new */
            print_decimal(0, size_side & ((UINT64_C(1) << 62) - 1), least(record->size_decimals, 18));
        }
    if (kind == 2) printf(" hash %016" PRIx64, record->changes[0].price_ticks); /* a CHECK's payload lies where changes would */
    if (kind == 3) printf(" state %u reason %u trading %u", (unsigned)(record->changes[0].price_ticks & 255), /* see TradingStatus: */
                          (unsigned)(record->changes[0].price_ticks >> 8 & 255),  /* 1 TRADING and 3 LIMIT_ONLY let an order trade; */
                          (unsigned)(record->changes[0].price_ticks >> 16 & 255)); /* 0 of a layout before 1.2 is not told */
    putchar('\n');
}

int main(int argc, char **argv) {
    Ring ring, next;
    const char *wrong = argc > 1 ? attach(argv[1], &ring) : "is not given";
    if (wrong) { fprintf(stderr, "%s %s\n", argc > 1 ? argv[1] : "the segment's path", wrong); return 3; }
    if (ring.layout == REPLAY_LAYOUT) printf("REPLAY\n");
    const double patience_s = argc > 2 ? atof(argv[2]) : 1e9;
    uint64_t claimed = acquire(&ring, CLAIMED), heard_ns = monotonic_ns();
    uint64_t position = least(claimed > ring.capacity ? claimed - ring.capacity : 0, acquire(&ring, PUBLISHED));
    Record *held = NULL; /* records of groups whose LAST was not read yet, then what is copied behind them */
    size_t held_count = 0, room = 0;
    int skipping = 1, silent = 0; /* the oldest record may stand in the middle of a group */

    while ((double)(monotonic_ns() - heard_ns) < patience_s * 1e9) {
        const uint64_t sealed = acquire(&ring, SEALED), end = least(acquire(&ring, PUBLISHED), sealed);
        if (end <= position) { /* nothing new: perhaps for ever, perhaps there is a successor */
            if (sealed != ALIVE && position >= sealed && attach(argv[1], &next) == NULL) {
                if (next.epoch > ring.epoch && next.layout == ring.layout) { /* no replay takes a collector's place */
                    munmap((void *)(uintptr_t)ring.at, ring.bytes);
                    ring = next, position = 0, held_count = 0, skipping = 1;
                    printf("RESTARTED\n");
                    continue;
                }
                munmap((void *)(uintptr_t)next.at, next.bytes);
            }
            const int is_silent = (int64_t)(monotonic_ns() - acquire(&ring, HEARTBEAT)) > 2000000000;
            if (is_silent && !silent) fprintf(stderr, "the writer is silent: its books are not LIVE\n");
            silent = is_silent;
            fflush(stdout);
            nanosleep(&(struct timespec){0, 1000000}, NULL); /* or spin, or FUTEX_WAIT as shared-memory.md says */
            continue;
        }
        heard_ns = monotonic_ns();
        uint64_t missed = 0;
        if (end - position > ring.capacity) missed = end - ring.capacity - position; /* lapped before the copy */
        position += missed;
        if (missed) held_count = 0;
        const uint64_t count = least(end - position, 1024);
        if (held_count + count > room && !(held = realloc(held, (room = 2 * (held_count + count)) * RECORD))) return 1;
        for (uint64_t i = 0; i < count; i++)
            memcpy(&held[held_count + i], ring.at + HEADER + ((position + i) & (ring.capacity - 1)) * RECORD, RECORD);
        atomic_thread_fence(memory_order_acquire); /* the copies before the look at `claimed` */
        claimed = acquire(&ring, CLAIMED);
        uint64_t lost = 0; /* copied while the writer overwrote them: they may be torn */
        if (claimed > ring.capacity && claimed - ring.capacity > position) lost = least(claimed - ring.capacity - position, count);
        position += count;
        const size_t begin = lost ? held_count + lost : 0, have = held_count + count;
        if (missed + lost) printf("LAPPED %" PRIu64 "\n", missed + lost), skipping = 1;
        size_t first = begin;
        for (size_t i = begin; i < have; i++) {
            if (skipping && !(held[i].flags & FIRST)) continue;
            if (held[i].flags & FIRST) first = i, skipping = 0;
            if (held[i].flags & LAST) print_group(&held[first], i + 1 - first), first = i + 1;
        }
        held_count = skipping || have - first > ring.capacity ? 0 : have - first; /* no group is as large as the ring */
        skipping |= held_count != have - first;
        memmove(held, held + first, held_count * RECORD);
    }
    fflush(stdout);
    return 0;
}
