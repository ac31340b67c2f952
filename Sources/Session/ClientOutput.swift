import NIOCore
import Telemetry

/// The way to the client: gathers small messages into one buffer and passes large ones on by
/// reference. Confined to the channel's event loop.
final class ClientOutput {
    /// Up to this size bytes are copied into the gathered buffer: cheaper than a write of their own.
    static let copyLimit = 8 * 1024

    private let context: ChannelHandlerContext
    private let metrics: ProxyMetrics
    /// Has no storage while there is nothing in it: thousands of clients are idle.
    private var gathered = ByteBuffer()
    /// How much of it was needed the last time, in bytes, up to a page.
    private var expectedSize = 0
    /// The only thing to send so far, not copied; empty `gathered` goes with it.
    private var passing: ByteBuffer?
    private var hasUnflushed = false
    private var isClosed = false

    init(context: ChannelHandlerContext, metrics: ProxyMetrics) {
        self.context = context
        self.metrics = metrics
    }

    /// Where messages made by the proxy are written; sent with the next `flush`.
    var buffer: ByteBuffer {
        _read { yield gathered }
        _modify {
            gatherPassing()
            reserve()
            yield &gathered
        }
    }

    var eventLoop: any EventLoop { context.eventLoop }

    /// Whether the client takes what is sent; false while more than the write buffer's limit waits.
    var isWritable: Bool { context.channel.isWritable }

    /// Adds whole or partial messages.
    func append(_ bytes: ByteBuffer) {
        if gathered.readableBytes == 0, passing == nil {
            // Often all that there is to send: then it goes out without a copy.
            passing = bytes
        } else if bytes.readableBytes <= Self.copyLimit {
            gatherPassing()
            reserve()
            gathered.writeImmutableBuffer(bytes)
        } else {
            passOn()
            write(bytes)
        }
    }

    /// Puts what was to be passed on by itself in front of what is now added.
    private func gatherPassing() {
        guard let bytes = passing else { return }
        passing = nil
        if bytes.readableBytes <= Self.copyLimit {
            reserve()
            gathered.writeImmutableBuffer(bytes)
        } else {
            write(bytes)
        }
    }

    /// Gives an empty buffer the storage that it will probably need.
    private func reserve() {
        guard gathered.capacity == 0 else { return }
        gathered = context.channel.allocator.buffer(capacity: expectedSize)
    }

    func flush() {
        passOn()
        guard hasUnflushed, !isClosed else { return }
        hasUnflushed = false
        context.flush()
    }

    /// Sends what is gathered, then closes.
    func close() {
        guard !isClosed else { return }
        flush()
        isClosed = true
        context.close(promise: nil)
    }

    func setReading(_ reads: Bool) {
        context.channel.setOption(.autoRead, value: reads).whenFailure { _ in
            // The channel is closing: there is nothing left to read or not to read.
        }
    }

    private func passOn() {
        if let bytes = passing {
            passing = nil
            write(bytes)
            return
        }
        guard gathered.readableBytes > 0 else { return }
        let bytes = gathered
        gathered = ByteBuffer()
        expectedSize = min(bytes.readableBytes, 4096)
        write(bytes)
    }

    private func write(_ bytes: ByteBuffer) {
        guard !isClosed else { return }
        metrics.bytesToClients.add(bytes.readableBytes)
        hasUnflushed = true
        context.write(NIOAny(bytes), promise: nil)
    }
}
