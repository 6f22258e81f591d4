//! A container's files: what changed, what a path is, and the answer to a commit.

wire! {
    /// One changed path.
    pub struct FilesystemChange {
        /// 0 modified, 1 added, 2 deleted.
        kind: i64 = "Kind",
        path: String = "Path",
    }

    /// The id of what was made.
    pub struct IdAnswer {
        id: String = "Id",
    }

    /// What stands at a path of a container (base64 of this is the header `X-Docker-Container-Path-Stat`).
    pub struct PathStat {
        name: String = "name",
        size: i64 = "size",
        /// Go's bits: permissions as in Unix, kinds in the upper half.
        mode: u32 = "mode",
        /// RFC 3339.
        mtime: String = "mtime",
        /// Where a link leads to in the end, absolute within the container.
        link_target: String = "linkTarget",
    }
}
