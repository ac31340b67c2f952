import NIOCore
import Synchronization

/// What the mirror port of a node counts. Thread-safe.
final class PublisherFigures: Sendable {
    /// Now.
    let followers = Atomic(0)
    /// Connections that were not a follower's, since the start.
    let refused = Atomic<UInt64>(0)
    let bytesSent = Atomic<UInt64>(0)
    /// How often a follower was too slow and had to begin anew.
    let resyncs = Atomic<UInt64>(0)
    private let lastLogged = Atomic<UInt64>(0)

    /// Whether another refusal may be logged: whoever knocks without end must not fill the log.
    func mayLogRefusal() -> Bool {
        let now = NIODeadline.now().uptimeNanoseconds
        let last = lastLogged.load(ordering: .relaxed)
        guard last == 0 || now - last > 1_000_000_000 else { return false }
        return lastLogged.compareExchange(expected: last, desired: now, ordering: .relaxed).exchanged
    }
}
