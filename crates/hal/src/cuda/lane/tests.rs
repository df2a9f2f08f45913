//! On a card.

use anabranch_sync::Arc;

use crate::buffer::Slice;
use crate::command::{Command, Executable, Node, Operand, Operation, Submission};
use crate::cuda::compiler::Functions;
use crate::cuda::context::Context;
use crate::cuda::executor::Executor;
use crate::cuda::instances::Key;
use crate::cuda::kernels::Arithmetic;
use crate::cuda::shelf::Shelf;
use crate::device::{Completion, Help, Libraries, Priority, QueueId, Sink, Waiting};
use crate::engine::Engine;

struct Well;

impl Sink for Well {
    fn finished(&self, completion: Completion) {
        assert_eq!(completion.result, Ok(()));
    }
}

/// However many queues come and go, a graph is built once.
#[test]
fn a_queue_leaves_its_graphs_to_the_next() {
    crate::cuda::list().unwrap();
    let shelf = Shelf::find(Libraries::Off).unwrap();
    let context =
        Context::open(0, 1 << 20, Arithmetic::Tensor, shelf, &Functions::ahead()).unwrap();
    let executor = Executor::start(context, Waiting::Awake).unwrap();
    let bytes = 256;
    let operand = Operand { slot: 0, offset: 0, bytes };
    let node = Node { operation: Operation::Fill(1), operands: vec![operand] };
    let executable = Arc::new(Executable::new(vec![node], None));
    let memory = executor.allocate(bytes).unwrap();
    let table = vec![Slice { memory, offset: 0, bytes }];
    let key = Key::new(&executable, 0..1, &table).unwrap();
    for queue in 0..3 {
        let (slot, lane) =
            executor.create(QueueId(queue), Priority::Normal, Box::new(Well)).unwrap();
        let kept = lane.berth().workshop.lock().kept.take(&key);
        assert_eq!(kept.is_some(), 0 < queue, "queue {queue}");
        if let Some(instance) = kept {
            lane.berth().workshop.lock().kept.put(key.clone(), instance);
        }
        let launch = Command::Launch { executable: Arc::clone(&executable), table: table.clone() };
        let submission = Submission { value: 1, waits: Vec::new(), commands: vec![launch] };
        assert_eq!(executor.submit_and_help(slot, &lane, submission), Help::Reached);
        executor.release(slot);
    }
    executor.shutdown();
}
