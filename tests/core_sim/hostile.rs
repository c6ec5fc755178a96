//! A peer that lies, and the node that turns it away.
