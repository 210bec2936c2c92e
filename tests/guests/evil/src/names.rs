//! A strategy that misbehaves by what it writes: names that grow without end, and texts for a terminal.

use lossmith_sdk::prelude::*;

strategy! {
    /// Writes too much, or what no terminal should see.
    pub struct Names as "names" {
        /// What it writes.
        how: String = String::new();
        /// How many in each step.
        n: i64 = 1, range 0..;
        /// Letters of a name.
        m: i64 = 1, range 0..;
    }
}

impl Loss for Names {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let name = |k: i64| format!("{}{}", "n".repeat(self.m as usize), progress.step() as i64 * self.n + k);
        let empty = Tensor::zeros(&[0], Dtype::Float);
        match self.how.as_str() {
            "metrics" => (0..self.n).for_each(|k| report::metric(&name(k), 1.0)),
            "buffers" => (0..self.n).for_each(|k| state::set_buffer(&name(k), &empty)),
            "parameters" => {
                (0..self.n).for_each(|k| drop(state::parameter(&name(k), 1.0, || Tensor::zeros(&[0], Dtype::Float))))
            }
            "again" => (0..self.n).for_each(|_| state::set_buffer(&"n".repeat(self.m as usize), &empty)),
            "lines" => {
                report::info("fine\nepoch 9/9  loss 0.0001  1.0 s  best so far\r\nrun: /etc/passwd");
                report::warn("bidi \u{202e}gnp.exe\u{202c} zero\u{200b}width \u{2028}line \u{85}nel \u{9b}31mcsi\u{7}");
            }
            "fault" => report::metric("m\u{1b}[2J\u{1b}]0;owned\u{7}\nepoch 9/9", &Tensor::ones(&[2, 2], Dtype::Float)),
            "long" => return Err("a".repeat(self.n as usize).into()),
            "error" => return Err("line one\n\nerror: the run was saved\nepoch 1/1 \u{202e}abc \u{1b}[31m".into()),
            // What a page would act on.
            "page" => {
                let script = "<script>document.title='owned'</script>";
                return Err(format!("<img src=x onerror=\"document.title='owned'\">{script}\u{1b}[31m").into());
            }
            _ => {}
        }
        Ok(embeddings.square().mean(ALL))
    }
}
