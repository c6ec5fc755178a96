//! Colours. The sixteen of the terminal are used, so that its user's palette counts; and nothing is told by colour alone.

use ratatui::style::{Color, Modifier, Style};

use crate::snapshot::NodeState;

/// How things look on this terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    colours: bool,
}

impl Look {
    pub(super) fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn coloured(self, color: Color) -> Style {
        if self.colours {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    pub(super) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn accent(self) -> Style {
        self.coloured(Color::Cyan)
    }

    pub(super) fn live(self) -> Style {
        self.coloured(Color::Green).add_modifier(Modifier::BOLD)
    }

    pub(super) fn past(self) -> Style {
        self.coloured(Color::Yellow)
            .add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    pub(super) fn alarm(self) -> Style {
        self.coloured(Color::Red)
            .add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    pub(super) fn warning(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub(super) fn state(self, state: NodeState) -> Style {
        match state {
            NodeState::Up => self.coloured(Color::Green),
            NodeState::Unreachable => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
            NodeState::Left => self.dim(),
        }
    }

    /// The level of an event.
    pub(super) fn level(self, level: &str) -> Style {
        match level {
            "error" => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
            "warn" => self.warning(),
            "info" => self.coloured(Color::Green),
            _ => self.dim(),
        }
    }

    pub(super) fn heat(self, rtt_us: u64) -> Style {
        self.coloured(self.heat_colour(rtt_us))
    }

    /// Green within a region, yellow across a continent, red across oceans: the bounds are round-trip times at which people begin to
    /// notice, and at which they complain.
    pub(super) fn heat_colour(self, rtt_us: u64) -> Color {
        match rtt_us {
            _ if !self.colours => Color::Reset,
            0..50_000 => Color::Green,
            50_000..150_000 => Color::Yellow,
            _ => Color::Red,
        }
    }
}
