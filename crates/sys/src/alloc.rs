//! The allocator's memory, given back.

/// Gives the free memory of the heap back to the kernel: for a small process that has finished a large task.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: malloc_trim takes no pointer; it takes the allocator's own locks and touches only memory that is free.
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_in_use_stays() {
        let kept = vec![7u8; 100_000];
        drop(vec![1u8; 100_000]);
        super::trim();
        assert!(kept.iter().all(|&b| b == 7));
    }
}
