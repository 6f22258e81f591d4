//! `GET /images/get` and `GET /images/{name}/get`.

use super::platform;
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, pipe};

/// Streams an archive of one image, or of those of the query.
pub(crate) async fn get(cx: &Cx, name: Option<String>) -> Result<Reply> {
    let platform = platform(cx, "platform", 48)?;
    let names: Vec<String> = match name {
        Some(name) => vec![name],
        None => cx.query.all("names").map(str::to_owned).collect(),
    };
    if names.iter().all(String::is_empty) {
        return Err(Failure::invalid("no image names were given"));
    }
    let engine = cx.app.engine.clone();
    pipe::answer("application/x-tar", |out| async move { engine.save(names, platform, Box::new(out)).await }).await
}
