//! `einsum`: what an equation asks for, before libtorch computes it.

use std::collections::BTreeMap;

use tch::TchError;

use crate::operation::refuse;

/// The product of what came before with one more tensor.
pub(super) struct Product {
    /// Elements that are multiplied.
    pub(super) work: u64,
    /// Elements of the result.
    pub(super) result: u64,
}

/// The products in which libtorch computes an equation: from the left to the right, each summed over the letters that
/// nobody needs any more.
pub(super) fn products(equation: &str, shapes: &[Vec<i64>]) -> Result<Vec<Product>, TchError> {
    refuse(shapes.is_empty(), "there is no tensor")?;
    let (inputs, output) =
        equation.split_once("->").ok_or_else(|| wrong("the equation has no `->`, as in `bi,bj->bij`"))?;
    let letters = |part: &str| -> Result<Vec<char>, TchError> {
        let letters: Vec<char> = part.chars().filter(|c| *c != ' ').collect();
        match letters.iter().find(|c| !c.is_ascii_alphabetic()) {
            Some(c) => Err(wrong(&format!("`{c}` is no letter: each dimension has one, from a to z or A to Z"))),
            None => Ok(letters),
        }
    };
    let inputs = inputs.split(',').map(letters).collect::<Result<Vec<_>, _>>()?;
    let output = letters(output)?;
    if inputs.len() != shapes.len() {
        return Err(wrong(&format!("the equation is of {} tensors, {} are given", inputs.len(), shapes.len())));
    }
    let mut sizes: BTreeMap<char, u64> = BTreeMap::new();
    for (letters, shape) in inputs.iter().zip(shapes) {
        if letters.len() != shape.len() {
            let text = format!("{} letters for a tensor of {} dimensions", letters.len(), shape.len());
            return Err(wrong(&text));
        }
        for (letter, size) in letters.iter().zip(shape) {
            let size = size.unsigned_abs();
            let known = *sizes.entry(*letter).or_insert(size);
            if known != size {
                return Err(wrong(&format!("`{letter}` is {known} and {size}")));
            }
        }
    }
    for (place, letter) in output.iter().enumerate() {
        let twice = output.iter().take(place).any(|before| before == letter);
        if twice || !sizes.contains_key(letter) {
            return Err(wrong(&format!("`{letter}` of the result is in no tensor, or there twice")));
        }
    }
    let elements = |letters: &[char]| {
        letters.iter().filter_map(|letter| sizes.get(letter)).fold(1_u64, |product, size| product.saturating_mul(*size))
    };
    let mut held: Vec<char> = Vec::new();
    let mut products = Vec::new();
    for (place, letters) in inputs.iter().enumerate() {
        held.extend(letters);
        held.sort_unstable();
        held.dedup();
        let work = elements(&held);
        let later = inputs.iter().skip(place + 1).flatten();
        let needed: Vec<char> = output.iter().chain(later).copied().collect();
        held.retain(|letter| needed.contains(letter));
        products.push(Product { work, result: elements(&held) });
    }
    Ok(products)
}

fn wrong(message: &str) -> TchError {
    TchError::Torch(message.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn products_are_counted_from_the_left_to_the_right() {
        let found = products("bi, ij, bj -> b", &[vec![5, 2], vec![2, 3], vec![5, 3]]).unwrap();
        let found: Vec<_> = found.iter().map(|product| (product.work, product.result)).collect();
        // b and i; b, i and j, of which i is summed; b and j, of which j is.
        assert_eq!(found, [(10, 10), (30, 15), (15, 5)]);
        let [trace] = products("ii->", &[vec![4, 4]]).unwrap().try_into().ok().unwrap();
        assert_eq!((trace.work, trace.result), (4, 1));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let text = |equation: &str, shapes: &[&[i64]]| {
            let shapes: Vec<Vec<i64>> = shapes.iter().map(|shape| shape.to_vec()).collect();
            products(equation, &shapes).err().unwrap().to_string()
        };
        for (equation, shapes, word) in [
            ("ij,jk", &[&[2, 3][..], &[3, 4]][..], "no `->`"),
            ("ij,jk->ik", &[&[2, 3], &[4, 4]], "`j` is 3 and 4"),
            ("ij,jk->ik", &[&[2, 3]], "of 2 tensors, 1 are given"),
            ("ij->i", &[&[2]], "2 letters for a tensor of 1 dimensions"),
            ("...j->j", &[&[2, 3]], "`.` is no letter"),
            ("ij->ii", &[&[2, 3]], "or there twice"),
            ("ij->k", &[&[2, 3]], "`k` of the result"),
        ] {
            assert!(text(equation, shapes).contains(word), "{equation}: {}", text(equation, shapes));
        }
    }
}
