//! One connection: requests in turn, until it ends or is taken over.

use super::body::Body;
use super::hijack::{Slot, Takeover};
use super::io::Socket;
use super::{Reply, limits, reply};
use crate::app::App;
use crate::route;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// Answers requests by the router. It never fails: errors are answers.
struct Answer {
    app: Arc<App>,
    slot: Slot,
}

impl Service<Request<Incoming>> for Answer {
    type Response = Reply;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.app.activity.notify_one();
        let (app, slot) = (self.app.clone(), self.slot.clone());
        let experimental = app.settings.experimental;
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let answer = route::dispatch(app, head, body.into(), slot).await;
            let mut answer = answer.unwrap_or_else(|failure| reply::failure(&failure.0));
            reply::add_standard(answer.headers_mut());
            if experimental {
                reply::add_experimental(answer.headers_mut());
            }
            Ok::<http::Response<Body>, Infallible>(answer)
        })
    }
}

enum Outcome {
    Ended(hyper::Result<()>),
    TakenOver(Takeover),
}

/// Serves a connection to its end.
pub(crate) async fn serve(app: Arc<App>, socket: Socket) {
    let slot = Slot::of(socket.peer());
    let service = Answer { app, slot: slot.clone() };
    let mut connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::IDLE)
        .max_buf_size(limits::HEAD)
        .max_headers(limits::HEADERS)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(socket), service);
    match drive(&mut connection, &slot).await {
        Outcome::TakenOver(takeover) => {
            let parts = connection.into_parts();
            takeover.run(parts.io.into_inner(), parts.read_buf.to_vec()).await;
        }
        Outcome::Ended(Ok(())) => {}
        Outcome::Ended(Err(error)) => tracing::debug!(%error, "a connection ended badly"),
    }
}

async fn drive(connection: &mut Connection<TokioIo<Socket>, Answer>, slot: &Slot) -> Outcome {
    poll_fn(|cx| {
        let polled = Pin::new(&mut *connection).poll(cx);
        // A handler that takes over never answers, so hyper has nothing more to write for this connection.
        match (slot.take(), polled) {
            (Some(takeover), Poll::Pending) => Poll::Ready(Outcome::TakenOver(takeover)),
            (_, Poll::Ready(result)) => Poll::Ready(Outcome::Ended(result)),
            (None, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}
