//! Between the image store's blocking thread and the transfers.

use dhow_image::{Arrived, Bring, Error, Result};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// So many bytes of a layer are unpacked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unpacked {
    pub(super) number: usize,
    pub(super) done: u64,
    pub(super) total: u64,
}

/// The blocking end. When the other end is dropped, the next call fails, and with it the whole.
pub(super) struct Bringer {
    wanted: Option<oneshot::Sender<Vec<bool>>>,
    layers: Vec<Option<oneshot::Receiver<Arc<Arrived>>>>,
    unpacked: mpsc::Sender<Unpacked>,
}

/// The other end.
pub(super) struct Ends {
    pub(super) wanted: oneshot::Receiver<Vec<bool>>,
    pub(super) layers: Vec<oneshot::Sender<Arc<Arrived>>>,
    pub(super) unpacked: mpsc::Receiver<Unpacked>,
}

/// Both ends, for so many layers.
pub(super) fn ends(layers: usize) -> (Bringer, Ends) {
    let (tell_wanted, wanted) = oneshot::channel();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..layers).map(|_| oneshot::channel()).unzip();
    let (tell_unpacked, unpacked) = mpsc::channel(16);
    let bringer = Bringer { wanted: Some(tell_wanted), layers: receivers.into_iter().map(Some).collect(), unpacked: tell_unpacked };
    (bringer, Ends { wanted, layers: senders, unpacked })
}

impl Bring for Bringer {
    fn want(&mut self, needed: &[bool]) {
        if let Some(wanted) = self.wanted.take() {
            // Nobody there any more: the next call says so.
            let _gone = wanted.send(needed.to_vec());
        }
    }

    fn bring(&mut self, number: usize) -> Result<Arc<Arrived>> {
        let layer = self.layers.get_mut(number).and_then(Option::take).ok_or(Error::Aborted)?;
        layer.blocking_recv().map_err(|_| Error::Aborted)
    }

    fn unpacked(&mut self, number: usize, done: u64, total: u64) {
        let step = Unpacked { number, done, total };
        if done >= total {
            let _gone = self.unpacked.blocking_send(step);
        } else {
            // One that is left out is followed by another.
            let _left_out = self.unpacked.try_send(step);
        }
    }
}
