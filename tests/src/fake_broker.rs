//! A broker's place taken by a recorder, for what is asserted byte by byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{wait, wire};

/// What the recorder does with a connection.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Sends these bytes as soon as anything has come, and reads on until the sender ends.
    Bytes(Vec<u8>),
    /// Reads, and never says a word.
    Silence,
    /// Closes as soon as anything has come.
    Close,
    /// Closes at once, before anything has come.
    CloseAtOnce,
    /// Accepts, and never reads: the sender's buffers fill.
    NeverRead,
    /// Resets as soon as anything has come.
    Reset,
    /// Does one after the other, then reads on until the sender ends.
    Script(Vec<Step>),
}

/// One step of a script.
#[derive(Clone, Debug)]
pub enum Step {
    /// Waits for a whole packet.
    Packet,
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits for so long.
    Pause(Duration),
    /// Closes, and the script ends.
    Close,
}

/// A TCP server on a free port that keeps what it receives.
#[derive(Debug)]
pub struct FakeBroker {
    address: SocketAddr,
    connections: Connections,
    stopped: Arc<AtomicBool>,
}

impl FakeBroker {
    /// Starts it; every connection is treated alike.
    pub fn start(answer: Answer) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), answer)
    }

    /// The same on a free port of this address.
    pub fn start_at(host: IpAddr, answer: Answer) -> Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let address = listener.local_addr()?;
        let connections = Connections::default();
        let stopped = Arc::new(AtomicBool::new(false));
        let (into, ended) = (Arc::clone(&connections), Arc::clone(&stopped));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                accept(stream, &answer, &into);
            }
        });
        Ok(Self { address, connections, stopped })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there were.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// What connection `index` (from 0, in the order of arrival) has sent until now; empty where there is none yet.
    pub fn received(&self, index: usize) -> Vec<u8> {
        self.lock().get(index).map(|connection| connection.received.clone()).unwrap_or_default()
    }

    /// Whether connection `index` was ended by its sender.
    pub fn ended(&self, index: usize) -> bool {
        self.lock().get(index).is_some_and(|connection| connection.ended)
    }

    /// Waits until there were `count` connections.
    pub fn wait_for_connections(&self, count: usize) -> Result<()> {
        wait::until(&format!("{count} connections at {}", self.address), wait::SOON, || {
            (self.count() >= count).then_some(())
        })
    }

    /// Waits until connection `index` has sent `count` bytes at least, and returns all that it has sent.
    pub fn wait_for_bytes(&self, index: usize, count: usize, within: Duration) -> Result<Vec<u8>> {
        wait::until(&format!("{count} bytes of connection {index} at {}", self.address), within, || {
            Some(self.received(index)).filter(|bytes| bytes.len() >= count)
        })
        .with_context(|| format!("there are {}", self.received(index).len()))
    }

    /// Waits until connection `index` was ended by its sender.
    pub fn wait_for_end(&self, index: usize, within: Duration) -> Result<()> {
        wait::until(&format!("the end of connection {index} at {}", self.address), within, || {
            self.ended(index).then_some(())
        })
    }

    /// Sends bytes on connection `index`.
    pub fn send(&self, index: usize, bytes: &[u8]) -> Result<()> {
        Ok(self.stream(index)?.write_all(bytes)?)
    }

    /// Ends the sending side of connection `index`; it reads on. Nothing is left to end where its sender has ended it.
    pub fn end_sending(&self, index: usize) -> Result<()> {
        let shutdown = self.stream(index).and_then(|stream| Ok(stream.shutdown(Shutdown::Write)?));
        match shutdown {
            Err(_) if self.ended(index) => Ok(()),
            // Its sender has ended it just now.
            Err(error) if error.downcast_ref::<io::Error>().map(io::Error::kind) == Some(ErrorKind::NotConnected) => {
                Ok(())
            }
            ended => ended,
        }
    }

    fn stream(&self, index: usize) -> Result<TcpStream> {
        let connections = self.lock();
        let connection = connections.get(index).with_context(|| format!("no connection {index}"))?;
        Ok(connection.stream.as_ref().context("it has ended")?.try_clone()?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, so that it sees the end and closes the port.
        let _ = TcpStream::connect(self.address);
        for connection in self.lock().iter() {
            if let Some(stream) = &connection.stream {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

#[derive(Debug)]
struct Connection {
    /// None once it has ended.
    stream: Option<TcpStream>,
    received: Vec<u8>,
    ended: bool,
}

type Connections = Arc<Mutex<Vec<Connection>>>;

fn accept(stream: TcpStream, answer: &Answer, connections: &Connections) {
    let Ok(kept) = stream.try_clone() else { return };
    if matches!(answer, Answer::CloseAtOnce) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    let index = {
        let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.push(Connection { stream: Some(kept), received: Vec::new(), ended: false });
        connections.len() - 1
    };
    if matches!(answer, Answer::NeverRead) {
        return;
    }
    let (connections, answer) = (Arc::clone(connections), answer.clone());
    thread::spawn(move || serve(stream, &answer, &Recorded { connections, index }));
}

/// One connection's place in the record.
struct Recorded {
    connections: Connections,
    index: usize,
}

impl Recorded {
    fn change(&self, change: impl FnOnce(&mut Connection)) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.get_mut(self.index).map(change);
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, recorded: &Recorded) {
    match answer {
        Answer::Reset => {
            // A socket that is closed while something is unread in it is reset; `kept` would hold it open otherwise.
            let _ = stream.peek(&mut [0]);
            recorded.change(|connection| connection.stream = None);
            return;
        }
        Answer::Script(steps) => {
            let played = steps.iter().try_for_each(|step| play(step, &mut stream, recorded));
            if played.is_err() {
                recorded.change(|connection| connection.ended = true);
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            let _ = stream.set_read_timeout(None);
        }
        _ => {}
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut answered = false;
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        recorded.change(|connection| {
            connection.received.extend_from_slice(&buffer[..count]);
            connection.ended = count == 0;
        });
        if count == 0 {
            // As a broker does; `kept` would hold it open otherwise.
            let _ = stream.shutdown(Shutdown::Both);
            recorded.change(|connection| connection.stream = None);
            return;
        }
        match answer {
            Answer::Bytes(bytes) if !answered => {
                // A peer that has left already doesn't want it.
                let _ = stream.write_all(bytes);
                answered = true;
            }
            Answer::Close => {
                let _ = stream.shutdown(Shutdown::Both);
            }
            _ => {}
        }
    }
}

/// Fails where the sender ends first.
fn play(step: &Step, stream: &mut TcpStream, recorded: &Recorded) -> Result<()> {
    match step {
        Step::Packet => {
            let packet = wire::read_packet(stream, wait::SOON)?;
            recorded.change(|connection| connection.received.extend_from_slice(&packet.bytes));
        }
        Step::Send(bytes) => stream.write_all(bytes)?,
        Step::Pause(time) => thread::sleep(*time),
        Step::Close => stream.shutdown(Shutdown::Both)?,
    }
    Ok(())
}
