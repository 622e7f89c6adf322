//! Up to four messages of one product, in every order, with every kind of delivery.

use activation::Activation;
use gristmill::Exported;

use crate::model::Delivery;
use crate::model::Event;
use crate::model::World;

/// What can happen to a product.
const EVENTS: [Event; 5] =
    [Event::Activation(0), Event::Information(0), Event::Poor(0), Event::Deletion(0), Event::Time];

/// Plays all sequences of up to so many events. Gives how many there were.
///
/// # Errors
/// The first sequence for which a plugin does something else than the model, and what.
pub(crate) fn check_every_order<P: Exported + 'static>(longest: usize) -> Result<usize, String> {
    let mut count = 0;
    let mut sequences = vec![Vec::new()];
    for _ in 0..longest {
        let longer = |sequence: &Vec<Event>| {
            let sequence = sequence.clone();
            EVENTS.map(move |event| [sequence.as_slice(), &[event]].concat())
        };
        sequences = sequences.iter().flat_map(longer).collect();
        for sequence in &sequences {
            for delivery in [Delivery::Together, Delivery::Alone] {
                World::<P>::new()
                    .play(sequence, delivery)
                    .map_err(|why| format!("{sequence:?}, {delivery:?}: {why}"))?;
                count += 1;
            }
        }
    }
    Ok(count)
}

#[test]
fn notifies_once_whatever_the_order() {
    let sequences = 5 + 25 + 125 + 625;

    assert_eq!(check_every_order::<Activation>(4), Ok(2 * sequences));
}
