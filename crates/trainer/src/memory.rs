//! Keeps freed memory in the process. Every step allocates and frees the same activations; glibc's
//! default gives large ones back to the kernel at once, and the page faults of taking them again
//! cost 10 to 17 % of a step on a CPU.

/// Call before the first tensor is made.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "mallopt has no safe form; the environment variables are read before main"
)]
pub fn keep_freed() {
    // Older glibc refuses more than 32 MiB.
    const GIB: i32 = 1 << 30;
    const MIB_32: i32 = 1 << 25;
    // SAFETY: mallopt only sets parameters of the allocator, and no other thread runs yet.
    unsafe {
        if libc::mallopt(libc::M_MMAP_THRESHOLD, GIB) == 0 {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MIB_32);
        }
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_freed() {}
