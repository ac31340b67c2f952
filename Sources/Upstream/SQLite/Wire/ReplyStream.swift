import Foundation
import NIOCore

/// Carries reply bytes from the thread that runs a statement to the session's event loop, and
/// makes that thread wait while too many are on their way.
final class ReplyStream: @unchecked Sendable {
    // Sendable: `inFlight` and `isClosed` are guarded by `condition`.
    private let condition = NSCondition()
    private var inFlight = 0
    private var isClosed = false
    private let limit: Int
    private let eventLoop: any EventLoop
    private let deliver: @Sendable (ByteBuffer) -> Void

    /// - Parameter deliver: called on `eventLoop`, in order; what it passes on it acknowledges.
    init(limit: Int, eventLoop: any EventLoop, deliver: @escaping @Sendable (ByteBuffer) -> Void) {
        self.limit = limit
        self.eventLoop = eventLoop
        self.deliver = deliver
    }

    /// Whether `send` would wait now.
    var isFull: Bool {
        condition.lock()
        defer { condition.unlock() }
        return inFlight > limit && !isClosed
    }

    /// Sends `bytes`, after waiting for room. False when the link is closed: stop.
    func send(_ bytes: ByteBuffer) -> Bool {
        condition.lock()
        while inFlight > limit, !isClosed { condition.wait() }
        let isOpen = !isClosed
        if isOpen { inFlight += bytes.readableBytes }
        condition.unlock()
        guard isOpen else { return false }
        eventLoop.execute { [deliver] in deliver(bytes) }
        return true
    }

    /// `count` bytes have been handed to the session.
    func acknowledge(_ count: Int) {
        condition.lock()
        inFlight -= count
        condition.broadcast()
        condition.unlock()
    }

    /// Ends all waiting; nothing is sent from here on.
    func close() {
        condition.lock()
        isClosed = true
        condition.broadcast()
        condition.unlock()
    }
}
