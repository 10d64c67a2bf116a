//! A value that one side changes and others watch: as `tokio::sync::watch`, whose names it has, but those
//! that wait are woken in the order in which they began to wait. Tokio draws that order from a generator of
//! the whole process, and no run of the simulator would repeat.
//!
//! Bounds: one value; a change that is followed by another before a watcher looks is not seen by it.

use core::fmt;
use core::ops::Deref;
use core::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::Notify;

/// The side that changes the value is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nobody is left who could change the value")]
pub struct Over;

struct Shared<T> {
    state: Mutex<State<T>>,
    changes: Notify,
    is_over: AtomicBool,
}

struct State<T> {
    value: T,
    /// Counts changes.
    version: u64,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

/// The value, held still while it is looked at.
pub struct Ref<'a, T>(MutexGuard<'a, State<T>>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// The side that changes the value.
pub struct Sender<T>(Arc<Shared<T>>);

/// A side that watches it.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// Both sides.
#[must_use]
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    /// The side that changes a value, which nobody watches yet.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State { value, version: 0 }),
            changes: Notify::new(),
            is_over: AtomicBool::new(false),
        }))
    }

    /// A side that watches from here on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver {
            seen: self.0.lock().version,
            shared: Arc::clone(&self.0),
        }
    }

    /// The value as it is.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.0.lock())
    }

    /// Another value; what was before.
    pub fn send_replace(&self, value: T) -> T {
        let mut value = value;
        self.send_modify(|old| core::mem::swap(old, &mut value));
        value
    }

    /// Changes the value.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// Changes the value perhaps: those that wait are woken if `change` says that it did.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut state = self.0.lock();
        if change(&mut state.value) {
            state.version += 1;
            drop(state);
            self.0.changes.notify_waiters();
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.changes.notify_waiters();
    }
}

impl<T> Receiver<T> {
    /// The value as it is; a change is still to be seen.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.lock())
    }

    /// The value as it is, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let state = self.shared.lock();
        self.seen = state.version;
        Ref(state)
    }

    /// Waits for a change that was not seen.
    ///
    /// # Errors
    /// [`Over`]
    pub async fn changed(&mut self) -> Result<(), Over> {
        loop {
            let mut change = pin!(self.shared.changes.notified());
            // A change from here on is not missed.
            change.as_mut().enable();
            let version = self.shared.lock().version;
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.shared.is_over() {
                return Err(Over);
            }
            change.await;
        }
    }

    /// Waits until the value is as wanted; not at all if it is. When this returns it may have changed again.
    ///
    /// # Errors
    /// [`Over`]
    pub async fn wait_for(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> Result<(), Over> {
        while !is_wanted(&self.borrow_and_update()) {
            self.changed().await?;
        }
        Ok(())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            seen: self.seen,
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watch::Sender(version {})", self.0.lock().version)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watch::Receiver(version {})", self.seen)
    }
}

#[cfg(all(test, feature = "daemon"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_seen_once_and_the_end_is_told() {
        let (sender, mut receiver) = channel(1);
        let mut later = receiver.clone();
        sender.send_replace(2);
        sender.send_if_modified(|_| false);
        receiver.changed().await.unwrap();
        assert_eq!(*receiver.borrow_and_update(), 2);
        sender.send_modify(|value| *value += 1);
        assert_eq!(receiver.wait_for(|value| *value == 3).await, Ok(()));
        drop(sender);
        assert_eq!(receiver.changed().await, Err(Over));
        assert_eq!(later.changed().await, Ok(()), "it has not seen them yet");
        assert_eq!(later.changed().await, Err(Over));
        assert_eq!(later.wait_for(|value| *value == 9).await, Err(Over));
    }

    #[tokio::test]
    async fn those_that_wait_are_woken_in_their_order() {
        let (sender, receiver) = channel(false);
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..40 {
            let (mut receiver, told) = (receiver.clone(), told.clone());
            tokio::spawn(async move {
                receiver.wait_for(|value| *value).await.unwrap();
                told.send(number).unwrap();
            });
        }
        tokio::task::yield_now().await;
        sender.send_replace(true);
        drop(told);
        let mut order = Vec::new();
        while let Some(number) = heard.recv().await {
            order.push(number);
        }
        assert_eq!(order, (0..40).collect::<Vec<_>>());
    }
}
