//! A write to a cgroup file, as data.

/// One thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// In whose hierarchy.
    pub(crate) controller: &'static str,
    /// `(file, value)`: the first file that exists takes its value.
    pub(crate) choices: Vec<(String, String)>,
    /// None of the files exists: fine, the kernel was built or booted without that feature.
    pub(crate) optional: bool,
    /// On `EINVAL` it is tried again after all others: two values depend on each other.
    pub(crate) retry: bool,
}

impl Write {
    pub(crate) fn new(controller: &'static str, file: impl Into<String>, value: impl ToString) -> Self {
        Self { controller, choices: vec![(file.into(), value.to_string())], optional: false, retry: false }
    }
    pub(crate) fn or(mut self, file: &str, value: impl ToString) -> Self {
        self.choices.push((file.to_owned(), value.to_string()));
        self
    }
    pub(crate) fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
    pub(crate) fn retried(mut self) -> Self {
        self.retry = true;
        self
    }
}

/// What the directory is like that the plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Just made: no limit but the parent's.
    Fresh,
    /// In use, with these limits.
    InUse(Present),
}

/// The limits in force with which others are written in one, or compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Present {
    /// Bytes, if there is a limit: memory is never above memory and swap.
    pub(crate) memory: Option<u64>,
    /// Of v2, microseconds in a period, if there is a limit.
    pub(crate) quota: Option<u64>,
    /// Of v2, microseconds.
    pub(crate) period: Option<u64>,
}

impl State {
    /// Nothing is in force in a directory that was just made.
    pub(crate) fn present(self) -> Present {
        match self {
            Self::Fresh => Present::default(),
            Self::InUse(present) => present,
        }
    }
}
