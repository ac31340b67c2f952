import NIOCore
import ResultCache
import Telemetry

/// The bytes of one reply on their way through, gathered to be stored.
///
/// Holds the fill lease taken before the query was sent (design §4, Fill). Confined to the
/// session's event loop.
final class ReplyCapture {
    let key: ByteBuffer
    let hash: UInt64
    let lease: FillLease
    /// Nanoseconds that an entry may live; nil: until invalidated.
    let timeToLive: UInt64?
    private let limit: Int
    private(set) var rowDescription: ByteBuffer?
    private var isDescribed = false
    private(set) var body = ByteBuffer()
    private(set) var abandonedFor: BypassReason?
    /// Set once CommandComplete has been captured.
    private(set) var isComplete = false
    let flight: Flight?
    /// The hit that this reply is to be compared with.
    let verification: HitVerification?

    init(
        key: ByteBuffer, hash: UInt64, lease: FillLease, timeToLive: UInt64?, limit: Int,
        flight: Flight?, verification: HitVerification? = nil
    ) {
        self.key = key
        self.hash = hash
        self.lease = lease
        self.timeToLive = timeToLive
        self.limit = limit
        self.flight = flight
        self.verification = verification
    }

    var isLive: Bool { abandonedFor == nil }

    /// A RowDescription begins. A second one (the portal was described twice) is not part of a
    /// reply that another session could be given.
    func descriptionBegan() {
        if isDescribed { abandon(.replyNotStorable) }
        isDescribed = true
    }

    func appendRowDescription(_ bytes: ByteBuffer) {
        guard isLive else { return }
        if rowDescription == nil { rowDescription = ByteBuffer() }
        rowDescription!.writeImmutableBuffer(bytes)
        checkSize()
    }

    func append(_ bytes: ByteBuffer) {
        guard isLive else { return }
        body.writeImmutableBuffer(bytes)
        checkSize()
    }

    func completed() {
        isComplete = true
    }

    /// Gives up the fill; the reply itself goes on. Wakes whoever waits to share it.
    func abandon(_ reason: BypassReason) {
        guard isLive else { return }
        abandonedFor = reason
        rowDescription = nil
        body = ByteBuffer()
        flight?.finish(reason == .entryTooLarge ? .notCacheable : .leaderFailed)
    }

    private func checkSize() {
        if body.readableBytes + (rowDescription?.readableBytes ?? 0) > limit {
            abandon(.entryTooLarge)
        }
    }
}
