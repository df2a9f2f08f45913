//! One model on several devices, as if it were one session.
//!
//! # What
//! [`Replicas`] gives each run to the device that is least busy with it. A device that is lost is
//! given nothing more: runs of a model have no effect but their results, so the run that met the
//! loss goes to another one.
//!
//! # State
//! [`Balance`]: the number of runs on each device, and which of them are lost.
//!
//! # Transitions
//! `taken → given back`, for each run; `well → lost`, once for each device.
//!
//! # Who may touch what
//! Any thread; nothing blocks.
//!
//! # Orderings
//! Relaxed: the numbers guard no data. A count is raised by comparison with the value that the
//! choice was made by, so two runs never both count on the same gap.
//!
//! # Invariants
//! A device has as many runs counted as are under way on it.
//!
//! # Checked by
//! `replicas::tests`.

use anabranch_rt::{Device, ErrorKind as Kind};
use anabranch_sync::Deadline;
use anabranch_sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::Error;
use crate::model::Model;
use crate::session::{Session, SessionOptions};
use crate::tensor::Tensor;

/// Sessions of one model on several devices, each with a copy of the weights of its own.
///
/// Thread-safe, and used like a [`Session`].
///
/// ```
/// use anabranch_nn::{Dim, ModelBuilder, Replicas, Session, SessionOptions, Tensor};
/// use anabranch_rt::{Device, Limits};
/// let session = || -> Result<Session, Box<dyn std::error::Error>> {
///     let mut model = ModelBuilder::new("double", 1);
///     let x = model.input("x", &[Dim::Known(2)]);
///     let doubled = model.add(x, x);
///     model.output("y", doubled);
///     let native = anabranch_hal::any::open("cpu", &Default::default())?;
///     let device = Device::open(native, Limits::default())?;
///     Ok(Session::from_model(&device, model.build()?, &SessionOptions::default())?)
/// };
/// let replicas = Replicas::new(vec![session()?, session()?])?;
/// let x = Tensor::from_f32(&[2], vec![1.5, -2.0])?;
/// assert_eq!(replicas.run(&[("x", &x)])?[0].1.as_f32(), Some(&[3.0, -4.0][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Replicas {
    sessions: Vec<Session>,
    balance: Balance,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Replicas>();
};

impl Replicas {
    /// Joins sessions of one model.
    ///
    /// # Errors
    /// `InvalidInput` for none at all, and for sessions whose inputs or outputs differ.
    pub fn new(sessions: Vec<Session>) -> Result<Self, Error> {
        let Some(first) = sessions.first() else {
            return Err(Error::input("there is no session to run on"));
        };
        let same = |other: &Session| {
            (other.inputs(), other.outputs()) == (first.inputs(), first.outputs())
        };
        if !sessions.iter().all(same) {
            return Err(Error::input("the sessions are of models with other inputs or outputs"));
        }
        let balance = Balance::new(sessions.len());
        Ok(Self { sessions, balance })
    }

    /// Brings a model's weights to every one of some devices.
    ///
    /// # Errors
    /// As for [`Session::from_model`], and `InvalidInput` without a device.
    pub fn from_model(
        devices: &[Device],
        model: Model,
        options: &SessionOptions,
    ) -> Result<Self, Error> {
        let Some((last, others)) = devices.split_last() else { return Self::new(Vec::new()) };
        let session = |device| Session::from_model(device, model.clone(), options);
        let mut sessions = others.iter().map(session).collect::<Result<Vec<_>, _>>()?;
        // The last one lets go of what lies on the device.
        sessions.push(Session::from_model(last, model, options)?);
        Self::new(sessions)
    }

    /// The sessions, in the order in which they were given.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// As [`Session::run`], on the least busy device.
    ///
    /// # Errors
    /// As for [`Session::run`]; `DeviceLost` once every device is lost.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        self.run_until(inputs, &Deadline::NEVER)
    }

    /// As [`run`](Self::run), and gives up at `deadline`.
    ///
    /// # Errors
    /// As for [`run`](Self::run), and `Timeout`.
    pub fn run_until(
        &self,
        inputs: &[(&str, &Tensor)],
        deadline: &Deadline,
    ) -> Result<Vec<(String, Tensor)>, Error> {
        self.run_somewhere(inputs, deadline).map(|(_, results)| results)
    }

    /// As [`run_until`](Self::run_until), and tells which of the [`sessions`](Self::sessions) made
    /// the results: what other kinds of devices make of the same inputs may differ in the last
    /// bits.
    ///
    /// # Errors
    /// As for [`run_until`](Self::run_until).
    pub fn run_somewhere(
        &self,
        inputs: &[(&str, &Tensor)],
        deadline: &Deadline,
    ) -> Result<(usize, Vec<(String, Tensor)>), Error> {
        loop {
            let place = self.balance.take();
            let result = self.sessions[place.index].run_until(inputs, deadline);
            match result {
                Err(error) if is_lost(&error) && place.lose() => {}
                result => return result.map(|results| (place.index, results)),
            }
        }
    }
}

fn is_lost(error: &Error) -> bool {
    error.runtime().is_some_and(|error| error.kind() == Kind::DeviceLost)
}

/// Who is how busy.
#[derive(Debug)]
struct Balance {
    shares: Vec<Share>,
    /// Where the next search begins, so that idle devices take turns.
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Share {
    running: AtomicUsize,
    is_lost: AtomicBool,
}

/// A run on one device, until it is dropped.
struct Taken<'a> {
    balance: &'a Balance,
    index: usize,
}

impl Balance {
    fn new(count: usize) -> Self {
        let shares = (0..count).map(|_| Share::default()).collect();
        Self { shares, next: AtomicUsize::new(0) }
    }

    /// Counts a run on the least busy device that is not lost, or on any when all are.
    fn take(&self) -> Taken<'_> {
        let count = self.shares.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        loop {
            let places = (0..count).map(|step| first.wrapping_add(step) % count);
            let busy = |&index: &usize| {
                let share = &self.shares[index];
                let is_lost = share.is_lost.load(Ordering::Relaxed);
                (is_lost, share.running.load(Ordering::Relaxed))
            };
            let least = places.map(|index| (busy(&index), index)).min_by_key(|(busy, _)| *busy);
            let ((_, running), index) = least.expect("there is at least one device");
            let raised = self.shares[index].running.compare_exchange(
                running,
                running + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if raised.is_ok() {
                return Taken { balance: self, index };
            }
        }
    }
}

impl Taken<'_> {
    /// Notes that the device is lost; whether there is another one.
    fn lose(&self) -> bool {
        let shares = &self.balance.shares;
        shares[self.index].is_lost.store(true, Ordering::Relaxed);
        shares.iter().any(|share| !share.is_lost.load(Ordering::Relaxed))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.balance.shares[self.index].running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
