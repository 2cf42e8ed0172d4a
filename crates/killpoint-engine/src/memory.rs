//! Memory that is freed and not needed again.

/// Gives it back to the system, where the allocator would keep it for later: pages within what is still
/// used, too.
#[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, from any thread, and moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
