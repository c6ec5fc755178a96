//! Tests of the places without a kernel.
