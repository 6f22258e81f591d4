//! dhow-api
