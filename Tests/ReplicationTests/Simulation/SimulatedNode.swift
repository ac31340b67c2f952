import NIOCore
import ResultCache

@testable import Replication

/// One node of a simulation: the real cache, log and rights, and what its sessions are about.
final class SimulatedNode {
    struct Writer {
        enum State {
            /// Waits until followers know.
            case opened
            case sent
        }

        var number: Int
        var relation: Int
        var window: RegisteredWindow
        var state = State.opened
    }

    /// A read that has been found in memory, and is answered when the clock has been read.
    struct Hit {
        var relation: Int
        var reply: CachedReply
        var arrival: UInt64
        var seen: SimulatedWrite?
    }

    /// A miss that is answered by the database.
    struct Fill {
        var relation: Int
        var lease: FillLease
        var version: Int?
    }

    enum TakeOver {
        case none
        /// The database has given the lock, and the answer is on its way.
        case granted
        case waiting(acquired: UInt64, end: UInt64)
        case ended(acquired: UInt64, end: UInt64)
    }

    let process: SimulatedDatabase.Process
    let real: MirroredNode
    /// Nodes have clocks of their own, which need only run at about the same rate.
    let clock: (offset: UInt64, perThousand: UInt64)
    var pausedUntil: UInt64 = 0
    var upstream: SimulatedConnection?
    var followers: [SimulatedConnection] = []
    var isLeading = false
    var takeOver = TakeOver.none
    /// A question whether this node still leads, when it was asked, and what the answer will be.
    var question: (asked: UInt64, answer: Bool?)?
    var writers: [Writer] = []
    var hits: [Hit] = []
    var fills: [Fill] = []
    /// Found for a mirror, and about to be sent there once more.
    var noted: [CachedReply] = []

    init(
        process: SimulatedDatabase.Process, clock: (offset: UInt64, perThousand: UInt64),
        real: MirroredNode
    ) {
        self.process = process
        self.clock = clock
        self.real = real
    }

    func now(_ time: UInt64) -> UInt64 { clock.offset + time * clock.perThousand / 1000 }

    /// Whether there is something to mirror.
    var isReady: Bool { isLeading || upstream != nil }
}

/// A write that somebody was told of: up to where a log has to be applied to have seen it.
struct SimulatedWrite {
    var position: MirrorLog.Position
    var visibleAt: UInt64
    var relation: Int
}

/// One connection on a mirror port, with what is on its way in both directions.
final class SimulatedConnection {
    let source: SimulatedNode
    let mirror: SimulatedNode
    let number: UInt64
    var stream: MirrorStream
    var down: [ByteBuffer] = []
    var up: [ByteBuffer] = []
    /// As the source has heard it.
    var acknowledged: UInt64 = 0
    /// What the mirror acknowledges when its own followers know.
    var unacknowledged: [MirrorLog.Position] = []
    var isEnded = false

    init(source: SimulatedNode, mirror: SimulatedNode, number: UInt64) {
        self.source = source
        self.mirror = mirror
        self.number = number
        stream = MirrorStream(source.real.source, maximumEntry: .max) {}
    }

    /// What either side has sent is lost.
    func end() {
        guard !isEnded else { return }
        isEnded = true
        stream.end()
        source.followers.removeAll { $0 === self }
        if mirror.upstream === self { mirror.upstream = nil }
    }
}
