//! Devices that work offline, a desk that is always online, a network that loses requests and answers, a
//! server that is killed: at the end all of them have the same, and nothing is lost.

mod check;
mod desk;
mod dice;
mod host;
mod proxy;
mod user;

use std::{path::Path, time::Duration};

use clap::Args;
use tokio::{sync::watch, task::JoinSet};

pub(crate) use self::{check::Wrong, dice::Dice, host::Run};
use self::{desk::Desk, host::Host, proxy::Proxy};
use super::{
    Kept, Result,
    device::{Device, Place, Server, SyncError},
};

/// How long a device may try to sync at the end before it is said to hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is simulated.
#[derive(Clone, Debug, Args)]
pub(crate) struct Simulate {
    /// How many devices there are.
    #[arg(long, default_value_t = 2)]
    pub(crate) devices: u64,
    /// How many things are done on each.
    #[arg(long, default_value_t = 100)]
    pub(crate) operations: u64,
    /// What is done, lost and cut follows from it.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// How often the server is killed and started again.
    #[arg(long, default_value_t = 2)]
    pub(crate) kills: u64,
    /// Where devices keep their stores: file or memory.
    #[arg(long, default_value = "file")]
    pub(crate) device_adapter: String,
    #[command(flatten)]
    pub(crate) kept: Kept,
}

/// What has come of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) events: usize,
    pub(crate) made: usize,
    pub(crate) dropped: usize,
    pub(crate) wrong: Wrong,
    /// Requests and answers that were lost.
    pub(crate) lost: (u64, u64),
}

/// Runs it, and tells what is wrong at the end.
pub(crate) async fn run(simulate: &Simulate, run: Run, directory: &Path) -> Result<Report> {
    let mut kept = simulate.kept.clone();
    if kept.connection.is_empty() {
        let path = directory.join("server").display().to_string();
        kept.connection = match kept.adapter.as_str() {
            "blob" => format!("file://{path}"),
            _ => path,
        };
    }
    let mut host = Host::start(&kept, run).await?;
    let proxy = Proxy::start(Dice::of(simulate.seed, "network")).await?;
    proxy.lead_to(Some(host.address));
    let server = Server::at(format!("http://{}", proxy.address))?;
    let (progress, _) = watch::channel(0);
    let mut working = JoinSet::new();
    for number in 0..simulate.devices {
        let one = OneDevice::new(simulate, number, directory, &server);
        let progress = progress.clone();
        working.spawn(async move { one.work(&progress).await });
    }
    let desk = Desk::new(server.clone(), simulate.seed);
    let desk = tokio::spawn(desk.work(simulate.operations / 2));
    let working = async {
        let mut devices = Vec::new();
        while let Some(worked) = working.join_next().await {
            devices.push(worked??);
        }
        devices.sort_by(|one: &Device, other| one.name.cmp(&other.name));
        Ok((devices, desk.await??))
    };
    let killing = kill(simulate, &progress, &proxy, &mut host);
    let ((mut devices, desk), ()) = tokio::try_join!(working, killing)?;
    proxy.calm();
    settle(&mut devices).await?;
    let mut report = Report {
        lost: proxy.lost(),
        made: devices.iter().map(|device| device.made().len()).sum(),
        dropped: devices.iter().map(|device| device.dropped().len()).sum(),
        ..Report::default()
    };
    let wrong = &mut report.wrong;
    let log = check::read_log(&server).await?;
    check::check_log(&log, wrong);
    check::check_states(&server, &devices, &log, wrong).await?;
    check::check_fates(&devices, &desk.recorded, &desk.refused, &log, wrong);
    report.events = log.len();
    for device in devices {
        device.close().await?;
    }
    host.kill().await?;
    Ok(report)
}

/// Kills the server and starts it again, each time that a part of the work is done.
async fn kill(
    simulate: &Simulate,
    progress: &watch::Sender<u64>,
    proxy: &Proxy,
    host: &mut Host,
) -> Result<()> {
    let all = simulate.operations * simulate.devices;
    let mut progress = progress.subscribe();
    for kill in 1..=simulate.kills {
        let part = all * kill / (simulate.kills + 1);
        progress.wait_for(|done| *done >= part).await?;
        proxy.lead_to(None);
        host.kill().await?;
        host.start_again().await?;
        proxy.lead_to(Some(host.address));
    }
    Ok(())
}

/// Has all devices sync until all of them know everything.
async fn settle(devices: &mut [Device]) -> Result<()> {
    let settling = async {
        // The first one does not know yet what the last one hands in.
        for _ in 0..2 {
            for device in &mut *devices {
                while let Err(error) = device.sync(true).await {
                    go_on_after(error)?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                if !device.is_settled() {
                    return Err(format!("{} has not handed in everything", device.name).into());
                }
            }
        }
        Ok(())
    };
    match tokio::time::timeout(PATIENCE, settling).await {
        Ok(settled) => settled,
        Err(_) => Err("the devices do not come to an end".into()),
    }
}

/// Whether it is only that the server is away.
fn go_on_after(error: SyncError) -> Result<()> {
    match error {
        SyncError::Offline(_) => Ok(()),
        error => Err(error.into()),
    }
}

/// A device with its user.
struct OneDevice {
    name: String,
    place: Place,
    server: Server,
    dice: Dice,
    operations: u64,
}

impl OneDevice {
    fn new(simulate: &Simulate, number: u64, directory: &Path, server: &Server) -> Self {
        let name = format!("device {number}");
        let mut dice = Dice::of(simulate.seed, &name);
        // Up to eleven days wrong, either way.
        let seconds = dice.below(2_000_000).cast_signed() - 1_000_000;
        let path = directory.join(format!("device-{number}"));
        Self {
            place: Place {
                adapter: simulate.device_adapter.clone(),
                connection: path.display().to_string(),
                clock_ahead_micros: seconds * 1_000_000,
            },
            name,
            server: server.clone(),
            dice,
            operations: simulate.operations,
        }
    }

    async fn open(&self) -> Result<Device> {
        Device::open(&self.name, &self.place, self.server.clone()).await
    }

    async fn work(mut self, progress: &watch::Sender<u64>) -> Result<Device> {
        let mut device = self.open().await?;
        let mut offline_for = 0;
        for number in 0..self.operations {
            let (entity, wish) = user::wish(&mut self.dice, &device.view());
            // What is refused here is what the user is told at once.
            device.make(entity, &wish).await?.ok();
            progress.send_modify(|done| *done += 1);
            if offline_for > 0 {
                offline_for -= 1;
                continue;
            }
            if let Err(error) = device.sync(self.dice.percent(20)).await {
                go_on_after(error)?;
            }
            offline_for = self.dice.below(8);
            // Often, and once for certain.
            let off = self.dice.percent(10) || number * 4 / 3 > self.operations;
            if self.place.adapter != "memory" && off {
                device = self.start_again(device).await?;
            }
        }
        Ok(device)
    }

    /// Switches the device off and on: it knows what it knew.
    async fn start_again(&self, device: Device) -> Result<Device> {
        let known = |device: &Device| {
            let dropped = device.dropped().clone();
            (
                device.mirror().clone(),
                device.view(),
                dropped,
                device.is_settled(),
            )
        };
        let before = known(&device);
        device.close().await?;
        let device = self.open().await?;
        if known(&device) != before {
            return Err(format!("{} has forgotten something", self.name).into());
        }
        Ok(device)
    }
}
