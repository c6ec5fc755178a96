//! Sends what was made before.

use anyhow::Result;

use super::attacker::{Host, Member};

/// Sends frames as fast as the victim reads.
pub(super) async fn send_all(
    host: &Host,
    member: &mut Member,
    frames: &[(usize, Vec<u8>)],
) -> Result<()> {
    for (count, frame) in frames {
        member.send_frame(frame).await?;
        host.deeds().add("records", *count);
    }
    Ok(())
}
