//! Inputs that stay on the device.

use anabranch_sync::thread;

use super::*;
use crate::ErrorKind;

fn session(device: &Device) -> Session {
    let mut model = ModelBuilder::new("bound", 3);
    let x = model.input("x", &[Dim::Symbol("batch".into()), Dim::Known(3), Dim::Any, Dim::Any]);
    let y = model.conv2d(x, 3, 5, 3, 1);
    let y = model.relu(y);
    model.output("y", y);
    Session::from_model(device, model.build().unwrap(), &SessionOptions::default()).unwrap()
}

fn image(seed: f32) -> Tensor {
    let pixels = (0_u16..2 * 3 * 4 * 4).map(|index| (f32::from(index) * seed).sin()).collect();
    Tensor::from_f32(&[2, 3, 4, 4], pixels).unwrap()
}

#[test]
fn bound_runs_are_those_of_the_session_bit_for_bit() {
    let device = device();
    let session = Arc::new(session(&device));
    let callers = (0_u8..4).map(|caller| {
        let session = Arc::clone(&session);
        thread::spawn(move || {
            let first = image(f32::from(caller) + 0.5);
            let mut binding = session.bind(&[("x", &first)], &Deadline::NEVER).unwrap();
            for pass in 0_u8..8 {
                let x = image(f32::from(caller) + f32::from(pass));
                binding.write("x", &x).unwrap();
                binding.run(&Deadline::NEVER).unwrap();
                let expected = session.run(&[("x", &x)]).unwrap();
                for _ in 0..2 {
                    assert_eq!(binding.results().unwrap(), expected, "caller {caller}");
                }
            }
        })
    });
    callers.collect::<Vec<_>>().into_iter().for_each(|caller| caller.join().unwrap());
}

#[test]
fn what_does_not_fit_a_binding_is_refused() {
    let device = device();
    let session = session(&device);
    let never = Deadline::NEVER;
    let kind = |error: Error| error.kind();
    let empty = Tensor::zeros(DType::F32, &[0, 3, 4, 4]).unwrap();
    assert_eq!(kind(session.bind(&[], &never).unwrap_err()), ErrorKind::InvalidInput);
    assert_eq!(kind(session.bind(&[("x", &empty)], &never).unwrap_err()), ErrorKind::Unsupported);

    let mut binding = session.bind(&[("x", &image(1.0))], &never).unwrap();
    assert_eq!(kind(binding.results().unwrap_err()), ErrorKind::InvalidInput);
    let other = Tensor::zeros(DType::F32, &[1, 3, 4, 4]).unwrap();
    for (name, tensor) in [("y", &image(1.0)), ("x", &other)] {
        assert_eq!(kind(binding.write(name, tensor).unwrap_err()), ErrorKind::InvalidInput);
    }
    binding.run(&never).unwrap();
    assert_eq!(binding.results().unwrap(), session.run(&[("x", &image(1.0))]).unwrap());
}

#[test]
fn an_input_that_decides_about_shapes_stays() {
    let device = device();
    let mut model = ModelBuilder::new("spread", 1);
    let x = model.input("x", &[Dim::Known(1), Dim::Known(3)]);
    let shape = model.input("shape", &[Dim::Known(2)]);
    let shape = model.cast(shape, DType::I64);
    let y = model.push("Expand", Op::Expand, &[x, shape]);
    model.output("y", y);
    let session =
        Session::from_model(&device, model.build().unwrap(), &SessionOptions::default()).unwrap();
    let x = Tensor::from_f32(&[1, 3], vec![1.0, 2.0, 3.0]).unwrap();
    let to = |rows| Tensor::from_f32(&[2], vec![rows, 3.0]).unwrap();
    let mut binding = session.bind(&[("x", &x), ("shape", &to(2.0))], &Deadline::NEVER).unwrap();
    assert_eq!(binding.write("shape", &to(4.0)).unwrap_err().kind(), ErrorKind::InvalidInput);
    binding.run(&Deadline::NEVER).unwrap();
    assert_eq!(binding.results().unwrap()[0].1.shape(), [2, 3]);
}
