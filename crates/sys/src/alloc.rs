//! Memory given back by a small process that has finished a large task and will now mostly wait, and memory that it does not take.

use std::io;

/// Gives back what is not needed while waiting: free memory of the heap, the unused part of the stack, and this process's share in the pages
/// of the program's code and constants, which come back from the file when they are touched. Nothing changes but the time of the next
/// touch. For the main thread of a single-threaded program; elsewhere the stack is left as it is.
pub fn shed() -> io::Result<()> {
    trim();
    drop_stack()?;
    advise_program(libc::MADV_DONTNEED)
}

/// Never maps code and constants in huge pages, here or in a child: of a page that is touched all would count as the process's, and the kernel
/// makes such pages by itself where a file in memory may have them.
///
/// # Errors
/// `EINVAL` from a kernel without huge pages.
pub fn in_small_pages() -> io::Result<()> {
    advise_program(libc::MADV_NOHUGEPAGE)
}

fn trim() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: malloc_trim takes no pointer; it takes the allocator's own locks and touches only memory that is free.
        unsafe { libc::malloc_trim(0) };
    }
}

fn page() -> usize {
    rustix::param::page_size()
}

/// Room left below this frame for what [`libc::madvise`] itself, and the kernel's signal frame, may use.
const STACK_MARGIN: usize = 4096;

fn drop_stack() -> io::Result<()> {
    let here = 0u8;
    let here = (&raw const here).addr();
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let Some((low, _)) = stack(&maps).filter(|&(low, high)| (low..high).contains(&here)) else { return Ok(()) };
    let top = here.saturating_sub(STACK_MARGIN) & !(page() - 1);
    if top <= low {
        return Ok(());
    }
    // SAFETY: the range lies in this thread's own stack mapping (checked above), whole pages, and ends well below the current frame: the stack
    // grows downwards, so no frame that is alive is in it, and no other thread runs on it. Its pages read as zero afterwards.
    let ret = unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(low), top - low, libc::MADV_DONTNEED) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The bounds of the main thread's stack, out of `/proc/self/maps`.
fn stack(maps: &str) -> Option<(usize, usize)> {
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    let (low, high) = line.split(' ').next()?.split_once('-')?;
    Some((usize::from_str_radix(low, 16).ok()?, usize::from_str_radix(high, 16).ok()?))
}

/// What is said of the program's read-only segments, and the last error.
struct Advice {
    advice: libc::c_int,
    result: i32,
}

/// Only advice that leaves the bytes of a file's pages as they are.
fn advise_program(advice: libc::c_int) -> io::Result<()> {
    let mut advice = Advice { advice, result: 0 };
    // SAFETY: the callback has the C library's signature, is called before this returns and only in this thread, and is given a pointer to
    // `advice`, which lives as long.
    unsafe { libc::dl_iterate_phdr(Some(advise_segments), (&raw mut advice).cast()) };
    if advice.result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(advice.result)) }
}

/// Called with the program itself first; its answer ends the iteration.
extern "C" fn advise_segments(info: *mut libc::dl_phdr_info, _size: libc::size_t, advice: *mut libc::c_void) -> libc::c_int {
    // SAFETY: it is the `Advice` of `advise_program`, which nobody else uses meanwhile.
    let advice = unsafe { &mut *advice.cast::<Advice>() };
    // SAFETY: the C library passes a valid description whose header table has that many entries and lives as long as the program.
    let (base, headers) = unsafe { ((*info).dlpi_addr, std::slice::from_raw_parts((*info).dlpi_phdr, usize::from((*info).dlpi_phnum))) };
    for header in headers.iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_W == 0) {
        let start = (base + header.p_vaddr) as usize & !(page() - 1);
        let end = (base + header.p_vaddr + header.p_memsz) as usize;
        let length = (end - start).next_multiple_of(page());
        // SAFETY: the range is a loaded segment of this program, whole pages. It was never writable, so every page of it is as in the file that is
        // mapped; one that the advice gives up is read from there again when it is touched next, and other advice is about the size of pages.
        // Running code in it is no hindrance: that is a touch.
        let ret = unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(start), length, advice.advice) };
        if ret != 0 {
            advice.result = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_use_stays() {
        let kept = vec![7u8; 100_000];
        drop(vec![1u8; 100_000]);
        let text = format!("{} {}", 1.5, "constant");
        shed().unwrap();
        // A kernel without them says so; nothing is lost either way.
        let _ = in_small_pages();
        shed().unwrap();
        assert!(kept.iter().all(|&b| b == 7));
        assert_eq!(text, "1.5 constant");
    }

    #[test]
    fn bounds_of_the_stack() {
        let maps = "00400000-00401000 r--p 00000000 08:01 5 /bin/x\n7ffd6af22000-7ffd6af43000 rw-p 00000000 00:00 0      [stack]\n";
        assert_eq!(stack(maps), Some((0x7ffd_6af2_2000, 0x7ffd_6af4_3000)));
        assert_eq!(stack("nothing"), None);
    }
}
