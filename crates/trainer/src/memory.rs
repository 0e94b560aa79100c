//! Which allocator the process uses, libtorch included: jemalloc, told to keep what is freed.
//!
//! Every training step allocates and frees the same activations. glibc gives large blocks back to
//! the kernel at once, and the page faults of taking them again cost 10 to 30 % of a step on a CPU.
//! Told to keep them, it fragments: its `posix_memalign` cannot use a freed block again for the same
//! size, and the peak grows by a third over the first steps. jemalloc does neither, and asks for
//! huge pages. Measured in docs/BENCHMARKS.md. Elsewhere the system's allocator is left as it is.

/// Linked unprefixed, jemalloc's `malloc`, `posix_memalign` and `free` take the place of libc's in
/// every library of the process.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A pointer to a C string.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[repr(transparent)]
struct Options(*const u8);

// SAFETY: it points to constant bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a pointer is not Sync by itself")]
unsafe impl Sync for Options {}

/// What jemalloc reads at its first allocation: keep freed pages for ever (-1), and ask for huge pages.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "jemalloc finds its options by the name of a symbol"
)]
#[unsafe(export_name = "malloc_conf")]
static OPTIONS: Options = Options(
    c"dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always"
        .as_ptr()
        .cast(),
);
