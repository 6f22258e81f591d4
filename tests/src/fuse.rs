//! A filesystem that hangs: mounted, greeted, and from then on silent. Whoever asks it anything waits until it is let go.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The first request of a connection, the only one that is answered.
const INIT: u32 = 26;

/// A hung mount. Dropping it lets everybody go, with errors, and takes it off.
#[derive(Debug)]
pub struct Hung {
    target: PathBuf,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    server: Option<std::thread::JoinHandle<()>>,
}

impl Hung {
    /// Mounts one there, where the kernel knows FUSE; otherwise it is counted as skipped.
    #[track_caller]
    pub fn mount(target: &Path) -> Option<Self> {
        let device = match File::options().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open("/dev/fuse") {
            Ok(device) => device,
            Err(error) => {
                crate::skip(&format!("/dev/fuse: {error}"));
                return None;
            }
        };
        let data = std::ffi::CString::new(format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd()))
            .expect("no zero byte");
        rustix::mount::mount("dhow-test", target, "fuse", MountFlags::NODEV | MountFlags::NOSUID, Some(data.as_c_str()))
            .expect("mount a fuse filesystem");
        let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let server = std::thread::spawn({
            let (asked, stop) = (asked.clone(), stop.clone());
            move || serve(device, &asked, &stop)
        });
        Some(Self { target: target.to_path_buf(), asked, stop, server: Some(server) })
    }

    /// Requests so far that got no answer.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // With its end the device is closed, which aborts what waits.
        let _joined = self.server.take().map(std::thread::JoinHandle::join);
        let _unmounted = rustix::mount::unmount(&self.target, UnmountFlags::DETACH);
    }
}

/// Takes every request and answers the first.
fn serve(mut device: File, asked: &AtomicUsize, stop: &AtomicBool) {
    let mut request = vec![0_u8; 1 << 20];
    let pause = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    while !stop.load(Ordering::SeqCst) {
        let mut fds = [PollFd::new(&device, PollFlags::IN)];
        if poll(&mut fds, Some(&pause)).unwrap_or(0) == 0 {
            continue;
        }
        match device.read(&mut request) {
            Ok(count) if count >= 40 => {
                if u32::from_ne_bytes(request[4..8].try_into().expect("four bytes")) == INIT {
                    device.write_all(&greeting(&request[8..16])).expect("answer the first request");
                } else {
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            }
            // Taken off from under us.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => return,
            _ => {}
        }
    }
}

/// The answer to the first request: header (length, error, number of the request) and version 7.31 without any feature.
fn greeting(unique: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    answer.extend_from_slice(&80_u32.to_ne_bytes());
    answer.extend_from_slice(&0_i32.to_ne_bytes());
    answer.extend_from_slice(unique);
    for word in [7_u32, 31, 65536, 0, 0, 65536, 1] {
        answer.extend_from_slice(&word.to_ne_bytes());
    }
    answer.resize(80, 0);
    answer
}
