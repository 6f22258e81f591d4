//! dhow-daemon
