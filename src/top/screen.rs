//! The terminal, and the loop that waits for keys and for the node.

use std::io::{self, Stdout};
use std::panic;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, style};
use tokio::time::Instant;

use super::TopError;
use super::app::{App, Wish};
use super::draw::draw;
use super::reader::{self, Message};
use crate::ask::follow::Source;
use crate::signals::Stopping;

/// The least time between two pictures: ten a second. At half, a slow line sends what nobody can read; at double, moving the selection
/// feels slow.
const FRAME: Duration = Duration::from_millis(100);

/// The most messages that wait. The reader waits then, and at last the node, which sends a slow reader the newest view instead.
const WAITING: usize = 16;

/// Shows the node's view until the user quits.
pub(super) fn show(source: Source) -> Result<(), TopError> {
    let mut app = App::new(source.profile(), has_colours());
    let (to, messages) = mpsc::sync_channel(WAITING);
    // The first stream is opened before the terminal is taken, so that an error is an ordinary one.
    drop(source.open()?);
    stop_on_signals(to.clone()).map_err(TopError::Terminal)?;
    let mut screen = Screen::take().map_err(TopError::Terminal)?;
    let keys = to.clone();
    thread::spawn(move || read_keys(&keys));
    let (quit, quits) = mpsc::channel();
    thread::spawn(move || reader::follow(&source, &to, &quits));
    let result = follow(&mut app, &messages, &mut screen);
    drop(quit);
    result
}

fn follow(
    app: &mut App,
    messages: &Receiver<Message>,
    screen: &mut Screen,
) -> Result<(), TopError> {
    screen.draw(app)?;
    let mut drawn = Instant::now();
    let mut changed = false;
    loop {
        let message = if changed {
            match messages.recv_timeout(FRAME.saturating_sub(drawn.elapsed())) {
                Ok(message) => message,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    screen.draw(app)?;
                    (drawn, changed) = (Instant::now(), false);
                    continue;
                }
            }
        } else {
            match messages.recv() {
                Ok(message) => message,
                Err(mpsc::RecvError) => return Ok(()),
            }
        };
        changed = true;
        match message {
            Message::Begin(network) => app.begin(&network),
            Message::Entries(entries) => {
                for entry in entries {
                    app.take(entry)?;
                }
            }
            Message::Lost(why) => app.lose(&why),
            Message::Key(key) if app.press(key) == Wish::Quit => return Ok(()),
            // The next key acts on what this one has made of the view.
            Message::Key(_) => app.refresh()?,
            Message::Resized => {}
            Message::Stop => return Ok(()),
        }
        // Messages may come without a pause.
        if drawn.elapsed() >= FRAME {
            screen.draw(app)?;
            (drawn, changed) = (Instant::now(), false);
        }
    }
}

/// Sends keys until nobody listens or the terminal is gone.
fn read_keys(to: &SyncSender<Message>) {
    loop {
        let message = match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Message::Key(key),
            Ok(Event::Resize(..)) => Message::Resized,
            Ok(_) => continue,
            Err(_) => Message::Stop,
        };
        let is_over = matches!(message, Message::Stop);
        if to.send(message).is_err() || is_over {
            return;
        }
    }
}

/// Listens for the signals that ask a program to stop, on a thread of its own.
fn stop_on_signals(to: SyncSender<Message>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let mut stopping = {
        let _inside = runtime.enter();
        Stopping::listen()?
    };
    thread::spawn(move || {
        runtime.block_on(stopping.asked());
        let _ = to.send(Message::Stop);
    });
    Ok(())
}

/// Whether colours are wanted and known to this terminal: by `NO_COLOR`, and by its name.
fn has_colours() -> bool {
    let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let term = std::env::var("TERM").unwrap_or_default();
    let is_plain =
        term.is_empty() || term == "dumb" || term.starts_with("vt") || term.ends_with("-m");
    !is_set("NO_COLOR") && !is_plain
}

/// The terminal while it is ours. Dropping it gives it back.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn take() -> io::Result<Self> {
        // A panic is printed when the terminal is as it was. The release build aborts then, and nothing is dropped.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
        // From here on, an error gives the terminal back too.
        let given = GiveBack;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        std::mem::forget(given);
        Ok(Self(terminal))
    }

    fn draw(&mut self, app: &mut App) -> Result<(), TopError> {
        let size = self.0.size().map_err(TopError::Terminal)?;
        app.resize(size.height);
        app.refresh()?;
        let drawn = self.0.draw(|frame| draw(app, frame));
        drawn.map_err(TopError::Terminal)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // A terminal that is gone needs nothing.
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), style::ResetColor, LeaveAlternateScreen, Show);
}
