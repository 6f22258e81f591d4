//! Taking a connection over: attach and exec answer with a head and then leave HTTP.
//!
//! The handler puts a [`Takeover`] into the connection's slot and never finishes; the connection's loop then takes the socket out of
//! hyper, with whatever input was read too far, and hands both over with the head, which the engine writes once the client has its place. This serves both forms that Docker has:
//! `101 UPGRADED` and, for clients that do not ask for an upgrade, a `200` after which bytes flow raw.

use super::io::Socket;
use dhow_engine::client::Client;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// What happens with the connection once it is taken over: with its socket, and with input that was read too far.
type Then = Box<dyn FnOnce(Socket, Vec<u8>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A request to take the connection over.
pub(crate) struct Takeover {
    then: Then,
}

impl Takeover {
    /// `upgrade`: the client asked for it. `content_type` is that of the stream. `then` gets the client with the head that it is to be sent.
    pub(crate) fn new<F>(upgrade: bool, content_type: &str, then: impl FnOnce(Client) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with_header(upgrade, content_type, None, then)
    }

    /// The same with a header of its own in the head.
    pub(crate) fn with_header<F>(
        upgrade: bool,
        content_type: &str,
        header: Option<(&str, &str)>,
        then: impl FnOnce(Client) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let first = if upgrade { "101 UPGRADED" } else { "200 OK" };
        let mut head = format!("HTTP/1.1 {first}\r\nContent-Type: {content_type}\r\n");
        if upgrade {
            head.push_str("Connection: Upgrade\r\nUpgrade: tcp\r\n");
        }
        if let Some((name, value)) = header {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        finish_head(&mut head);
        Self::raw(move |socket, early| async move {
            match socket.into_fd() {
                Ok(socket) => then(Client { socket, early, head: head.into_bytes() }).await,
                Err(error) => tracing::warn!(%error, "a connection was not taken over"),
            }
        })
    }

    /// `then` writes its own head.
    pub(crate) fn raw<F>(then: impl FnOnce(Socket, Vec<u8>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { then: Box::new(move |socket, early| Box::pin(then(socket, early))) }
    }

    /// Gives the connection on.
    pub(crate) async fn run(self, socket: Socket, early: Vec<u8>) {
        (self.then)(socket, early).await;
    }
}

/// Adds the headers of every answer, and the end.
pub(crate) fn finish_head(head: &mut String) {
    for (name, value) in super::reply::STANDARD {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
}

/// What a connection has for its handlers: where they leave a [`Takeover`], and who is at the other end.
#[derive(Clone, Default)]
pub(crate) struct Slot {
    takeover: Arc<Mutex<Option<Takeover>>>,
    /// The client's process, where it is one of this machine that this one sees.
    pub(crate) peer: Option<i32>,
}

impl Slot {
    /// Of a connection with that process.
    pub(crate) fn of(peer: Option<i32>) -> Self {
        Self { peer, ..Self::default() }
    }
    pub(crate) fn put(&self, takeover: Takeover) {
        *self.takeover.lock().unwrap_or_else(PoisonError::into_inner) = Some(takeover);
    }
    pub(crate) fn take(&self) -> Option<Takeover> {
        self.takeover.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
