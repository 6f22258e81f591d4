//! Between the image store's threads and the transfers.

use dhow_image::{Bring, Hand};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// So many bytes of a layer are unpacked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unpacked {
    pub(super) number: usize,
    pub(super) done: u64,
    pub(super) total: u64,
}

/// Which layers must be brought, and the hand that takes them.
pub(super) type Wanted = (Vec<bool>, Hand);

/// The blocking end.
pub(super) struct Bringer {
    wanted: Option<oneshot::Sender<Wanted>>,
    unpacked: mpsc::Sender<Unpacked>,
}

/// The other end. When the hand is dropped, the store gives up.
pub(super) struct Ends {
    pub(super) wanted: oneshot::Receiver<Wanted>,
    pub(super) unpacked: mpsc::Receiver<Unpacked>,
}

/// Both ends.
pub(super) fn ends() -> (Bringer, Ends) {
    let (tell_wanted, wanted) = oneshot::channel();
    let (tell_unpacked, unpacked) = mpsc::channel(16);
    (Bringer { wanted: Some(tell_wanted), unpacked: tell_unpacked }, Ends { wanted, unpacked })
}

impl Bring for Bringer {
    fn want(&mut self, needed: &[bool], hand: Hand) {
        if let Some(wanted) = self.wanted.take() {
            // Nobody there any more: the hand is dropped, which says so.
            let _gone = wanted.send((needed.to_vec(), hand));
        }
    }

    fn teller(&self) -> Arc<dyn Fn(usize, u64, u64) + Send + Sync> {
        let unpacked = self.unpacked.clone();
        Arc::new(move |number, done, total| {
            let step = Unpacked { number, done, total };
            if done >= total {
                let _gone = unpacked.blocking_send(step);
            } else {
                // One that is left out is followed by another.
                let _left_out = unpacked.try_send(step);
            }
        })
    }
}
