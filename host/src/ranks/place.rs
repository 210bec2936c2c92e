//! Which rank this process is, by variables of the environment.

use std::env;

use super::error::RanksError;

/// A rank, and where the ranks meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 0.
    pub rank: usize,
    /// How many ranks there are, at least 2.
    pub size: usize,
    /// Its number among those on this machine.
    pub local_rank: usize,
    /// How many there are on this machine.
    pub local_size: usize,
    /// The address of rank 0, or of who hosts the store.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether who started the ranks hosts the store.
    pub hosted: bool,
    /// Which try it is, where who started the ranks starts them again.
    pub attempt: String,
}

impl Place {
    /// That of this process; `None` where it trains alone.
    ///
    /// torchrun and `lossmith launch` set `WORLD_SIZE`, `RANK`, `LOCAL_RANK`, `LOCAL_WORLD_SIZE`, `MASTER_ADDR` and
    /// `MASTER_PORT`. Of Slurm the variables of a step count, which `srun` sets; the address is that of the step's
    /// first machine, and the port depends on the job, where they are not set.
    ///
    /// # Errors
    /// A variable is missing, or makes no sense.
    pub fn from_environment() -> Result<Option<Self>, RanksError> {
        Self::by(|name| env::var(name).ok())
    }

    /// Whether all ranks are on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.starts_with("127.")
    }

    fn by(variable: impl Fn(&'static str) -> Option<String>) -> Result<Option<Self>, RanksError> {
        let number = |name: &'static str| -> Result<Option<usize>, RanksError> {
            let Some(value) = variable(name) else { return Ok(None) };
            let expected = || "a number".to_owned();
            let parsed =
                value.parse().map_err(|_| RanksError::Variable { variable: name, value, expected: expected() });
            parsed.map(Some)
        };
        let (names, job) = if variable("WORLD_SIZE").is_some() {
            (["WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"], None)
        } else if variable("SLURM_STEP_NUM_TASKS").is_some() {
            (["SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_TASKS_PER_NODE"], number("SLURM_JOB_ID")?)
        } else {
            return Ok(None);
        };
        let [of_size, of_rank, of_local, of_local_size] = names;
        let wanted = |name| number(name)?.ok_or(RanksError::NoVariable { variable: name, of: of_size });
        let size = wanted(of_size)?;
        if size == 0 {
            let expected = "1 or more".to_owned();
            return Err(RanksError::Variable { variable: of_size, value: "0".to_owned(), expected });
        }
        if size == 1 {
            return Ok(None);
        }
        let rank = wanted(of_rank)?;
        if rank >= size {
            let expected = format!("a number below {size}, the {of_size},");
            return Err(RanksError::Variable { variable: of_rank, value: rank.to_string(), expected });
        }
        let local_rank = wanted(of_local)?;
        // Slurm writes "4(x2),3".
        let local_size = variable(of_local_size)
            .and_then(|text| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse().ok()));
        let slurm = |name| of_size == "SLURM_STEP_NUM_TASKS" && variable(name).is_some();
        let host = match variable("MASTER_ADDR") {
            Some(host) => host,
            None if slurm("SLURM_STEP_NODELIST") => first_machine(&variable("SLURM_STEP_NODELIST").unwrap_or_default()),
            None => return Err(RanksError::NoVariable { variable: "MASTER_ADDR", of: of_size }),
        };
        let port = match (number("MASTER_PORT")?, job) {
            (Some(port), _) => port,
            (None, Some(job)) => 15_000 + job % 10_000,
            (None, None) => return Err(RanksError::NoVariable { variable: "MASTER_PORT", of: of_size }),
        };
        let port = u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| {
            let expected = "a port from 1 to 65535".to_owned();
            RanksError::Variable { variable: "MASTER_PORT", value: port.to_string(), expected }
        })?;
        Ok(Some(Self {
            rank,
            size,
            local_rank,
            local_size: local_size.unwrap_or(1).max(local_rank + 1),
            host,
            port,
            hosted: variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True"),
            attempt: variable("TORCHELASTIC_RESTART_COUNT").unwrap_or_else(|| "0".to_owned()),
        }))
    }
}

/// The first name of a list of Slurm: `node3` of `node[3-5,7],other`.
fn first_machine(list: &str) -> String {
    let Some((name, numbers)) = list.split_once('[') else {
        return list.split(',').next().unwrap_or_default().to_owned();
    };
    if let Some((first, _)) = name.split_once(',') {
        return first.to_owned();
    }
    let first: String = numbers.chars().take_while(char::is_ascii_digit).collect();
    let rest = numbers.split_once(']').map_or("", |(_, rest)| rest.split(',').next().unwrap_or_default());
    format!("{name}{first}{rest}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::collections::BTreeMap;

    use super::*;

    fn place(variables: &[(&str, &str)]) -> Result<Option<Place>, RanksError> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        Place::by(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    const TORCHRUN: [(&str, &str); 6] = [
        ("WORLD_SIZE", "4"),
        ("RANK", "3"),
        ("LOCAL_RANK", "1"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("MASTER_ADDR", "10.0.0.1"),
        ("MASTER_PORT", "29500"),
    ];

    #[test]
    fn without_variables_there_is_one_process() {
        assert_eq!(place(&[]).unwrap(), None);
        assert_eq!(place(&[("WORLD_SIZE", "1"), ("RANK", "0")]).unwrap(), None);
        // A batch script has these; only a step of srun is a rank.
        assert_eq!(place(&[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0")]).unwrap(), None);
    }

    #[test]
    fn torchrun_says_all_of_it() {
        let found = place(&TORCHRUN).unwrap().unwrap();
        assert_eq!((found.rank, found.size, found.local_rank, found.local_size), (3, 4, 1, 2));
        assert_eq!(
            (found.host.as_str(), found.port, found.hosted, found.is_loopback()),
            ("10.0.0.1", 29_500, false, false)
        );
    }

    #[test]
    fn slurm_says_where_by_its_machines_and_its_job() {
        let step = [
            ("SLURM_STEP_NUM_TASKS", "8"),
            ("SLURM_PROCID", "5"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_TASKS_PER_NODE", "4(x2)"),
            ("SLURM_STEP_NODELIST", "gpu-[007-009,12],other"),
            ("SLURM_JOB_ID", "1234567"),
        ];
        let found = place(&step).unwrap().unwrap();
        assert_eq!((found.rank, found.size, found.local_rank, found.local_size), (5, 8, 1, 4));
        assert_eq!((found.host.as_str(), found.port), ("gpu-007", 19_567));
        for (list, first) in [("a", "a"), ("a,b[1-2]", "a"), ("n[3,5]-ib", "n3-ib")] {
            assert_eq!(first_machine(list), first);
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let with = |name: &'static str, value: &'static str| {
            let changed = TORCHRUN.map(|(other, old)| (other, if other == name { value } else { old }));
            place(&changed).unwrap_err().to_string()
        };
        assert!(with("WORLD_SIZE", "0").contains("WORLD_SIZE is `0`: 1 or more"));
        assert!(with("RANK", "4").contains("RANK is `4`: a number below 4"));
        assert!(with("MASTER_PORT", "70000").contains("MASTER_PORT"));
        assert!(with("RANK", "one").contains("RANK is `one`: a number"));
        let missing = place(&TORCHRUN[..4]).unwrap_err().to_string();
        assert!(missing.contains("WORLD_SIZE is set and MASTER_ADDR is not"), "{missing}");
    }
}
