//! Memory given back by a small process that has finished a large task and will now mostly wait, and memory that it does not take.

use std::io;

/// Gives back what is not needed while waiting: free memory of the heap, the unused part of the stack, and this process's share in the pages
/// of the program's code and constants, which come back from the file when they are touched. Nothing changes but the time of the next
/// touch. For the main thread of a single-threaded program; elsewhere the stack is left as it is.
pub fn shed() -> io::Result<()> {
    trim();
    drop_stack()?;
    advise_program(&Segments::all(libc::MADV_DONTNEED))
}

/// Never maps code and constants in huge pages, here or in a child: of a page that is touched all would count as the process's, and the kernel
/// makes such pages by itself where a file in memory may have them.
///
/// # Errors
/// `EINVAL` from a kernel without huge pages.
pub fn in_small_pages() -> io::Result<()> {
    advise_program(&Segments::all(libc::MADV_NOHUGEPAGE))
}

/// Bytes that a task is about to touch.
#[derive(Debug, Clone, Copy)]
pub struct Touched {
    /// Of the stack, below the caller's frame. For the main thread.
    pub stack: usize,
    /// At the end of the heap that the C library has taken from the kernel already.
    pub heap: usize,
    /// Of the program's code, from its first byte on: what a start uses lies there (`crates/dhow/build.rs`).
    pub code: usize,
}

/// Has the kernel map now, in a few calls, what it would map page by page, each with a fault, at the first touch.
///
/// # Errors
/// `ENOMEM` where the stack or the heap is smaller, `EINVAL` before Linux 5.14: then the pages come at the first touch, as ever.
pub fn take_ahead(touched: Touched) -> io::Result<()> {
    let here = 0u8;
    let of_stack = populate((&raw const here).addr(), touched.stack);
    // SAFETY: asked with 0 it tells where the heap ends and moves nothing.
    let end = unsafe { libc::sbrk(0) };
    let of_heap = populate(end.addr(), touched.heap);
    let of_code = advise_program(&Segments { advice: libc::MADV_POPULATE_READ, flags: libc::PF_X, longest: touched.code });
    of_stack.and(of_heap).and(of_code)
}

/// So many bytes up to the page in which `end` is.
fn populate(end: usize, bytes: usize) -> io::Result<()> {
    let end = end & !(page() - 1);
    let bytes = bytes.next_multiple_of(page()).min(end);
    // SAFETY: the kernel maps the pages of this range as a write to each would, but changes no byte of them: a page that is there stays, a new one
    // is zero. Where the range is not mapped, or not for writing, it says so.
    let ret = unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(end - bytes), bytes, libc::MADV_POPULATE_WRITE) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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

/// What is said of which of the program's read-only segments.
struct Segments {
    advice: libc::c_int,
    /// Those with all of these flags.
    flags: u32,
    /// Bytes of each, at most.
    longest: usize,
}

impl Segments {
    fn all(advice: libc::c_int) -> Self {
        Self { advice, flags: libc::PF_R, longest: usize::MAX }
    }
}

/// Only advice that leaves the bytes of a file's pages as they are.
fn advise_program(segments: &Segments) -> io::Result<()> {
    let mut of = (segments, 0i32);
    // SAFETY: the callback has the C library's signature, is called before this returns and only in this thread, and is given a pointer to
    // `of`, which lives as long.
    unsafe { libc::dl_iterate_phdr(Some(advise_segments), (&raw mut of).cast()) };
    if of.1 == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(of.1)) }
}

/// Called with the program itself first; its answer ends the iteration.
extern "C" fn advise_segments(info: *mut libc::dl_phdr_info, _size: libc::size_t, of: *mut libc::c_void) -> libc::c_int {
    // SAFETY: it is the pair of `advise_program`, which nobody else uses meanwhile.
    let (segments, result) = unsafe { &mut *of.cast::<(&Segments, i32)>() };
    // SAFETY: the C library passes a valid description whose header table has that many entries and lives as long as the program.
    let (base, headers) = unsafe { ((*info).dlpi_addr, std::slice::from_raw_parts((*info).dlpi_phdr, usize::from((*info).dlpi_phnum))) };
    let wanted = |h: &&libc::Elf64_Phdr| h.p_type == libc::PT_LOAD && h.p_flags & (segments.flags | libc::PF_W) == segments.flags;
    for header in headers.iter().filter(wanted) {
        let start = (base + header.p_vaddr) as usize & !(page() - 1);
        let end = (base + header.p_vaddr + header.p_memsz) as usize;
        let length = (end - start).min(segments.longest).next_multiple_of(page());
        // SAFETY: the range is in a loaded segment of this program, whole pages. It was never writable, so every page of it is as in the file that
        // is mapped; one that the advice gives up is read from there again when it is touched next, and other advice is about when pages come
        // and of what size. Running code in it is no hindrance: that is a touch.
        let ret = unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(start), length, segments.advice) };
        if ret != 0 {
            *result = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
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
        // Not the main thread: its stack may be another size, the code is there.
        let _ = take_ahead(Touched { stack: 8192, heap: 8192, code: 1 << 20 });
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
