import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry

/// One hit that is being checked: the statement runs upstream, as any miss does, and its reply is
/// compared with the entry that would have answered it.
///
/// The entry was current when it was looked up, before the statement was sent, and is looked at
/// again when the reply is complete. Two equal readings mean that nothing which the entry depends
/// on moved while the statement ran (design §4, Hit): the replies must then be the same.
///
/// Confined to the session's event loop. One that is let go without an outcome counts as
/// inconclusive.
final class HitVerification {
    enum Outcome {
        case verified, mismatch, inconclusive
    }

    let entry: CachedReply
    private let text: String
    private let metrics: ProxyMetrics
    private var isSettled = false

    init(entry: CachedReply, text: String, metrics: ProxyMetrics) {
        self.entry = entry
        self.text = text
        self.metrics = metrics
    }

    deinit {
        if !isSettled { metrics.cacheVerifyInconclusive.increment() }
    }

    /// Compares the entry with a complete reply, and counts the outcome.
    func settle(rowDescription: ByteBuffer?, body: ByteBuffer) -> Outcome {
        guard entry.isCurrent else { return .inconclusive }
        isSettled = true
        if agrees(rowDescription: rowDescription, body: body) {
            metrics.cacheVerified.increment()
            return .verified
        }
        metrics.cacheVerifyMismatch.increment()
        return .mismatch
    }

    private func agrees(rowDescription: ByteBuffer?, body: ByteBuffer) -> Bool {
        // A statement that was not described has no RowDescription to compare.
        if let known = entry.rowDescription, let rowDescription, known != rowDescription {
            return false
        }
        if entry.body == body { return true }
        let stored = ReplyRows(entry.body)
        let fresh = ReplyRows(body)
        guard stored.completion == fresh.completion else { return false }
        // Without ORDER BY the order of rows is free; with LIMIT and its like also which they are.
        return stored.rows == fresh.rows || FreeChoice.isMade(by: text)
    }
}

/// The rows of a reply without their order.
private struct ReplyRows {
    private(set) var rows: [ByteBuffer: Int] = [:]
    /// CommandComplete, which tells how many rows there are.
    private(set) var completion: ByteBuffer?

    init(_ body: ByteBuffer) {
        var body = body
        while let frame = try? MessageFraming.next(in: &body, limit: .max) {
            if frame.tag == BackendTag.dataRow {
                rows[frame.bytes, default: 0] += 1
            } else {
                completion = frame.bytes
            }
        }
    }
}

// MARK: - The session's part

extension ClientSession {
    /// Whether the hit just found is to be run upstream and compared instead of being served. Once
    /// chosen it stays so until its reply is captured or it turns out that it cannot be: the same
    /// message may be looked at several times, when something has to be awaited.
    @inline(__always)
    func verifies(_ reply: CachedReply, text: @autoclosure () -> String) -> Bool {
        if hitSampler.passes() { return false }
        return choosesToVerify(reply, text())
    }

    private func choosesToVerify(
        _ reply: CachedReply, _ text: @autoclosure () -> String
    ) -> Bool {
        if let verification { return verification.entry === reply }
        // A mirror's answer may be older than the node's that leads, which verifies its own.
        guard !services.right.isFollowing else { return false }
        guard hitSampler.draws(share: services.verifiedShare) else { return false }
        verification = HitVerification(entry: reply, text: text(), metrics: services.metrics)
        return true
    }

    /// The verification for which the reply stored under `key` is needed, if there is one.
    func takeVerification(key: ByteBuffer, hash: UInt64) -> HitVerification? {
        guard let chosen = verification,
            key.withUnsafeReadableBytes({ chosen.entry.isStored(under: $0, hash: hash) })
        else { return nil }
        verification = nil
        return chosen
    }

    /// Settles the verification that `capture` was made for; false where the entry stays as it is.
    func replacesEntry(_ capture: ReplyCapture) -> Bool {
        guard let verification = capture.verification else { return true }
        switch verification.settle(rowDescription: capture.rowDescription, body: capture.body) {
        case .verified:
            return false
        case .inconclusive:
            return true
        case .mismatch:
            services.logger.error(
                "an answer from memory differs from the database's: dropped",
                metadata: [
                    "database": "\(database)", "key": "\(String(capture.hash, radix: 16))",
                ])
            services.cache.remove(verification.entry)
            return true
        }
    }
}
