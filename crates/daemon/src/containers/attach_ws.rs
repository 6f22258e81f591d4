//! `GET /containers/{id}/attach/ws`: attach over WebSocket, as browsers do.
//!
//! The shim speaks no WebSocket. It gets one end of a pair of sockets, and here bytes are carried between the other end and the client:
//! what the container says becomes frames, what frames hold becomes its input. Each direction holds one read, so whoever is slow holds the
//! other back, as with a plain attach.

use crate::error::Result;
use crate::http::hijack::Takeover;
use crate::http::io::Socket;
use crate::http::websocket::{self, Decoder, Event, NORMAL, Opcode, PROTOCOL_ERROR};
use crate::http::{Cx, Reply};
use dhow_engine::Engine;
use dhow_engine::client::{AttachRequest, Client};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

/// Carried at once.
const PIECE: usize = 32 << 10;

/// Checks what can be checked, then carries.
pub(crate) async fn get(cx: Cx, id: &str) -> Result<Reply> {
    let query = &cx.query;
    // Older clients get all streams.
    let wanted = |name: &str| !cx.since(42) || query.boolean(name);
    let request = AttachRequest {
        stdin: wanted("stdin"),
        stdout: wanted("stdout"),
        stderr: wanted("stderr"),
        logs: query.boolean("logs"),
        stream: query.boolean("stream"),
        detach_keys: query.find("detachKeys").filter(|keys| !keys.is_empty()).map(str::to_owned),
        raw: true,
    };
    let container = cx.app.engine.check_attach(id, &request)?;
    let head = websocket::accept(&cx.headers)?;
    let opcode = if cx.since(28) { Opcode::Binary } else { Opcode::Text };
    let engine = cx.app.engine.clone();
    let id = container.id.clone();
    let then = move |socket: Socket, early: Vec<u8>| async move {
        if let Err(error) = serve(&engine, &id, request, socket, early, head, opcode).await {
            tracing::debug!(container = id, %error, "an attach over WebSocket ended");
        }
    };
    Cx::take_over(cx.slot, Takeover::raw(then)).await
}

async fn serve(
    engine: &Engine,
    id: &str,
    request: AttachRequest,
    mut socket: Socket,
    early: Vec<u8>,
    head: String,
    opcode: Opcode,
) -> anyhow::Result<()> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    // Whoever has read the head may start the container: the client has its place before.
    let placed = engine.attach(id, request, Client { socket: theirs.into(), early: Vec::new(), head: Vec::new() }).await;
    socket.write_all(head.as_bytes()).await?;
    let (client_in, client_out) = tokio::io::split(socket);
    let client_out = Arc::new(Mutex::new(client_out));
    let status = match placed {
        Ok(()) => {
            let (output, input) = UnixStream::from_std(ours)?.into_split();
            carry(client_in, &client_out, early, input, output, opcode).await
        }
        Err(error) => {
            tracing::debug!(container = id, %error, "an attach failed");
            NORMAL
        }
    };
    let mut farewell = Vec::new();
    websocket::frame(&mut farewell, Opcode::Close, &status.to_be_bytes());
    let mut out = client_out.lock().await;
    out.write_all(&farewell).await?;
    out.shutdown().await?;
    Ok(())
}

/// Carries both ways until the container's side or the client's has ended. With which status to say farewell.
async fn carry(
    client_in: ReadHalf<Socket>,
    client_out: &Mutex<WriteHalf<Socket>>,
    early: Vec<u8>,
    input: OwnedWriteHalf,
    output: OwnedReadHalf,
    opcode: Opcode,
) -> u16 {
    tokio::select! {
        // What ended on both sides at once is whole on the container's first.
        biased;
        () = outwards(output, client_out, opcode) => NORMAL,
        status = inwards(client_in, client_out, early, input) => status,
    }
}

/// Output as frames, until there is no more or nobody takes them.
async fn outwards(mut output: OwnedReadHalf, client_out: &Mutex<WriteHalf<Socket>>, opcode: Opcode) {
    let mut piece = vec![0; PIECE];
    let mut frame = Vec::new();
    loop {
        let Ok(length @ 1..) = output.read(&mut piece).await else { return };
        frame.clear();
        websocket::frame(&mut frame, opcode, piece.get(..length).unwrap_or_default());
        if client_out.lock().await.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// What the client types, until it says farewell, is gone, or does not keep to the protocol.
async fn inwards(mut client_in: ReadHalf<Socket>, client_out: &Mutex<WriteHalf<Socket>>, early: Vec<u8>, mut input: OwnedWriteHalf) -> u16 {
    let mut decoder = Decoder::default();
    let mut piece = early;
    // The container takes no more input; its output goes on.
    let mut deaf = false;
    loop {
        let (mut typed, mut pongs, mut end) = (Vec::new(), Vec::new(), None);
        decoder.feed(&mut piece, |event| match event {
            Event::Data(bytes) => typed.extend_from_slice(bytes),
            Event::Ping(content) => websocket::frame(&mut pongs, Opcode::Pong, &content),
            Event::Close => end = Some(NORMAL),
            Event::Broken => end = Some(PROTOCOL_ERROR),
        });
        deaf |= !typed.is_empty() && !deaf && input.write_all(&typed).await.is_err();
        let answered = pongs.is_empty() || client_out.lock().await.write_all(&pongs).await.is_ok();
        if end.is_some() || !answered {
            return end.unwrap_or(NORMAL);
        }
        piece.resize(PIECE, 0);
        let Ok(length @ 1..) = client_in.read(&mut piece).await else { return NORMAL };
        piece.truncate(length);
    }
}
