//! Looks at paths of the host that may never be answered, such as those on a network or FUSE filesystem whose server hangs: each on a
//! thread of its own and for a limited time, so that neither the executor nor its pool of threads waits with it.

use crate::error::{Error, Kind, Result};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest wait for a filesystem.
const DEADLINE: Duration = Duration::from_secs(10);
/// A look needs next to nothing.
const STACK: usize = 64 * 1024;

/// The first of these paths that is not there. No paths, no thread.
pub(crate) async fn missing(paths: Vec<PathBuf>) -> Result<Option<PathBuf>> {
    let Some(first) = paths.first().map(|path| path.display().to_string()) else { return Ok(None) };
    let (sender, answer) = oneshot::channel();
    let look = move || drop(sender.send(paths.into_iter().find(|path| !path.exists())));
    let thread = std::thread::Builder::new().name("paths".into()).stack_size(STACK).spawn(look);
    thread.map_err(|e| Error::internal("start a thread to look at", &first, e))?;
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(Ok(missing)) => Ok(missing),
        Ok(Err(e)) => Err(Error::internal("look at", &first, e)),
        Err(_) => Err(Error::new(Kind::Internal, format!("{first}: its filesystem did not answer within {} s", DEADLINE.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_that_is_missing() {
        assert_eq!(missing(vec![]).await.unwrap(), None);
        assert_eq!(missing(vec!["/proc".into(), "/dev/null".into()]).await.unwrap(), None);
        assert_eq!(missing(vec!["/proc".into(), "/nowhere/at/all".into(), "/no".into()]).await.unwrap(), Some("/nowhere/at/all".into()));
    }
}
