//! The losses that `plugin bench` has without a sandbox, against the components of their names.

use lossmith::bench::native::{NAMES, find};
use lossmith_plugin::{Input, Role};
use serde_json::json;
use tch::{Kind, Tensor};

use crate::fixture::{batch, epoch, numbers, setting, slot};

const SIZE: i64 = 24;

#[test]
fn a_native_loss_and_its_gradient_are_those_of_the_component() {
    let classes = [
        ("classes of three", (0..SIZE).map(|image| image / 3).collect::<Vec<i64>>()),
        ("classes of one to four", vec![0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 4, 5, 6, 6, 6, 6, 7, 7, 8, 9, 9, 9]),
        ("one class", vec![0; SIZE as usize]),
        ("each a class", (0..SIZE).collect()),
    ];
    for name in NAMES {
        let native = find(name).unwrap();
        let mut component = slot("lossmith-losses", Role::Loss, name, json!({}), setting());
        for (what, labels) in &classes {
            let input = || {
                let labels = Some(Tensor::from_slice(labels));
                Input { labels, class_count: SIZE, ..batch(SIZE, 8, Kind::Double) }
            };
            // The value and the gradient.
            let backward = |loss: &Tensor, input: &Input| {
                loss.backward();
                [numbers(loss), numbers(&input.embeddings.as_ref().unwrap().grad())].concat()
            };
            let of_component = input();
            let loss = component.loss(of_component.shallow_clone(), &epoch(0)).unwrap();
            let ours = backward(&loss, &of_component);
            let of_native = input();
            let loss = native(of_native.embeddings.as_ref().unwrap(), of_native.labels.as_ref().unwrap()).unwrap();
            let theirs = backward(&loss, &of_native);
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!((ours - theirs).abs() <= 1e-9, "{name}, {what}: {ours} as component, {theirs} natively");
            }
        }
    }
}
