//! The conformance suite on every device.

use anabranch_hal::cpu::{self, CpuConfig};
#[cfg(feature = "cuda")]
use anabranch_hal::cuda::CudaConfig;
use anabranch_hal::device::Device;
#[cfg(feature = "cuda")]
use anabranch_hal::device::{Libraries, Waiting};
use anabranch_hal::null;
use anabranch_hal::sim::{self, Config};
use verify::conformance::Obligation::{self, *};
use verify::conformance::{Lose, Subject, Verdict};

struct Null;

impl Subject for Null {
    fn open(&self, memory_bytes: usize) -> Box<dyn Device> {
        null::open(memory_bytes)
    }

    fn computes(&self) -> bool {
        false
    }

    fn has_threads(&self) -> bool {
        false
    }
}

struct Sim(fn(u64) -> Config);

/// Like a card, whose memory the host does not address.
fn staging(seed: u64) -> Config {
    Config { stages: true, ..Config::automatic(seed) }
}

impl Subject for Sim {
    fn open(&self, memory_bytes: usize) -> Box<dyn Device> {
        sim::open(&Config { memory_bytes, ..self.0(7) }).0
    }

    fn open_to_lose(&self) -> Option<(Box<dyn Device>, Lose)> {
        let (device, control) = sim::open(&Config::manual());
        Some((device, Box::new(move || control.lose("for the check"))))
    }

    fn has_threads(&self) -> bool {
        false
    }
}

struct Cpu {
    workers: usize,
}

impl Subject for Cpu {
    fn open(&self, memory_bytes: usize) -> Box<dyn Device> {
        let config = CpuConfig { workers: self.workers, memory_bytes, ..CpuConfig::default() };
        cpu::open(&config).expect("the system has a thread left")
    }
}

/// With the libraries that `ANABRANCH_LIBRARIES` names; without any where it is not set.
#[cfg(feature = "cuda")]
struct Cuda(Waiting);

#[cfg(feature = "cuda")]
impl Subject for Cuda {
    fn open(&self, memory_bytes: usize) -> Box<dyn Device> {
        let wanted = std::env::var("ANABRANCH_LIBRARIES").ok();
        let config = CudaConfig {
            memory_bytes: Some(memory_bytes),
            waiting: self.0,
            libraries: wanted.map_or(Libraries::Off, |wanted| wanted.parse().expect("it is known")),
            ..CudaConfig::default()
        };
        anabranch_hal::cuda::open(0, &config).expect("there is a card")
    }
}

/// Checks one obligation, which the device has to show unless it is among the `unsupported`.
fn check(subject: &dyn Subject, obligation: Obligation, unsupported: &[Obligation]) {
    let verdict = obligation.check(subject);
    if unsupported.contains(&obligation) {
        assert!(matches!(verdict, Verdict::Unsupported(_)), "{obligation:?} {verdict}");
    } else {
        assert_eq!(verdict, Verdict::Held, "{obligation:?}");
    }
}

macro_rules! suite {
    ($($device:ident: $subject:expr, unsupported $unsupported:expr;)*) => {$(
        mod $device {
            use super::*;

            suite!(@tests $subject, $unsupported,
                d1_memory D1Memory, d2_limit D2Limit, d3_order D3Order, d4_waits D4Waits,
                d5_told_once D5ToldOnce, d6_failure D6Failure, d7_loss D7Loss,
                d8_no_wait D8NoWait, d9_resources D9Resources, d10_shutdown D10Shutdown,
                d11_clock D11Clock, d12_results D12Results, d14_panics D14Panics,
                help_never_runs_host_functions HelpNeverRunsHostFunctions,
            );
        }
    )*};
    (@tests $subject:expr, $unsupported:expr, $($name:ident $obligation:ident,)*) => {
        $(
            #[test]
            fn $name() {
                check(&$subject, $obligation, &$unsupported);
            }
        )*

        #[test]
        fn nothing_is_left_out() {
            assert_eq!([$($obligation),*], Obligation::ALL);
        }
    };
}

suite! {
    null_device: Null, unsupported [D7Loss, D12Results, HelpNeverRunsHostFunctions];
    sim_automatic: Sim(Config::automatic), unsupported [HelpNeverRunsHostFunctions];
    sim_staging: Sim(staging), unsupported [HelpNeverRunsHostFunctions];
    sim_lazy: Sim(Config::lazy), unsupported [HelpNeverRunsHostFunctions];
    cpu_one_core: Cpu { workers: 1 }, unsupported [D7Loss];
    cpu_two_cores: Cpu { workers: 2 }, unsupported [D7Loss];
    cpu_many_cores: Cpu { workers: 5 }, unsupported [D7Loss];
}

#[cfg(feature = "cuda")]
suite! {
    cuda: Cuda(Waiting::Awake), unsupported [D7Loss];
    cuda_asleep: Cuda(Waiting::Asleep), unsupported [D7Loss];
}
