@_spi(CustomByteBufferAllocator) import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// One stored answer with all that must hold for it to be served: its key, its cells, the sum of
/// their words and its expiry.
///
/// All bytes lie in one block of exactly their size, because an allocation for each part, or a
/// slice of the receive buffer, would cost more than a small answer itself:
///
///     cells (8 bytes each) | key | RowDescription | DataRow* CommandComplete
///
/// The block belongs to `storage`, whose reader index is past the key, so that what is handed
/// out is the protocol messages alone.
package final class CachedReply: Sendable {
    private let storage: ByteBuffer
    // Nobody writes to the block after `init`: `storage` is a `let`, so another buffer that
    // shares it copies before it writes, and it frees the block no sooner than this object goes.
    nonisolated(unsafe) private let block: UnsafeRawPointer
    /// The sum of the cells' words when the lease was given under which this was stored.
    let sum: UInt64
    /// When it was stored, in nanoseconds of the clock that the caller gives as `now`.
    package let storedAt: UInt64
    /// From when on it is not served, on the same clock; `.max` is never.
    package let expiry: UInt64
    let hash: UInt64
    private let cellCount: UInt32
    private let keyLength: UInt32
    private let rowDescriptionLength: UInt32

    // The entry's place in its shard. These five are touched under the mutex of the shard that
    // `hash`, a constant, chooses (`ReplyCache.Shard.state`), or by whoever has the entry's links
    // to itself: the shard's `deinit`, and the one thread that took the entry out under that mutex
    // into its `ReleasedReplies`, which uses `nextInQueue` again. Others may then still look at
    // `place`, under the mutex, and go no further: an entry that has left never comes back.
    nonisolated(unsafe) var nextInChain: ReplyPointer?
    nonisolated(unsafe) var nextInQueue: ReplyPointer?
    nonisolated(unsafe) var previousInQueue: ReplyPointer?
    nonisolated(unsafe) var place = Place.outside
    /// Hits since it entered its queue, up to 3.
    nonisolated(unsafe) var frequency: UInt8 = 0

    enum Place: UInt8 {
        case outside
        case small
        case main
    }

    /// Copies everything. The lengths must have passed `blockLength`.
    init(
        key: UnsafeRawBufferPointer, hash: UInt64, rowDescription: ByteBuffer?, body: ByteBuffer,
        lease: FillLease, expiry: UInt64, now: UInt64
    ) {
        let cells = lease.cells.cells
        let rowDescriptionLength = rowDescription?.readableBytes ?? 0
        let keyOffset = cells.count * MemoryLayout<VersionCell>.size
        let replyOffset = keyOffset + key.count
        let length = replyOffset + rowDescriptionLength + body.readableBytes

        let block = Self.exactSize.allocate(max(1, length))
        let bytes = UnsafeMutableRawBufferPointer(start: block, count: length)
        cells.withUnsafeBytes { bytes.copyMemory(from: $0) }
        UnsafeMutableRawBufferPointer(rebasing: bytes[keyOffset...]).copyMemory(from: key)
        rowDescription?.withUnsafeReadableBytes {
            UnsafeMutableRawBufferPointer(rebasing: bytes[replyOffset...]).copyMemory(from: $0)
        }
        body.withUnsafeReadableBytes {
            UnsafeMutableRawBufferPointer(rebasing: bytes[(replyOffset + rowDescriptionLength)...])
                .copyMemory(from: $0)
        }

        self.block = UnsafeRawPointer(block)
        self.storage = ByteBuffer(
            takingOwnershipOf: UnsafeMutableRawBufferPointer(start: block, count: max(1, length)),
            allocator: Self.exactSize.buffers, readerIndex: replyOffset, writerIndex: length)
        self.sum = lease.sum
        self.storedAt = now
        self.expiry = expiry
        self.hash = hash
        self.cellCount = UInt32(cells.count)
        self.keyLength = UInt32(key.count)
        self.rowDescriptionLength = rowDescription == nil ? .max : UInt32(rowDescriptionLength)
    }

    private static let exactSize = ExactSizeAllocator()
}

extension CachedReply {
    private var rowDescriptionBytes: Int {
        rowDescriptionLength == .max ? 0 : Int(rowDescriptionLength)
    }

    /// The RowDescription message, or nil if the reply was stored without one. Shares the entry's
    /// memory; no allocation.
    package var rowDescription: ByteBuffer? {
        guard rowDescriptionLength != .max else { return nil }
        var buffer = storage
        buffer.moveWriterIndex(to: buffer.readerIndex + rowDescriptionBytes)
        return buffer
    }

    /// The DataRow messages and CommandComplete. Shares the entry's memory; no allocation.
    package var body: ByteBuffer {
        var buffer = storage
        buffer.moveReaderIndex(forwardBy: rowDescriptionBytes)
        return buffer
    }

    /// RowDescription, if there is one, and body as one run of bytes: what answers a simple
    /// query. Shares the entry's memory; no allocation.
    package var rowDescriptionAndBody: ByteBuffer { storage }

    /// Bytes of the messages.
    package var readableBytes: Int { storage.readableBytes }

    /// What the entry depends on. Allocates; for inspection.
    package var cells: CellSet { CellSet(cellBuffer) }

    /// Whether no cell has moved since the lease was given, as of now. See `CellSet.isCurrent`.
    package var isCurrent: Bool {
        var now: UInt64 = 0
        for cell in cellBuffer { now &+= cell.current }
        return now == sum
    }

    /// Whether a cell's version has grown, so that the entry will never be current again. One
    /// that merely has a writer in flight will be, should that writer abort.
    package var isInvalidated: Bool {
        var now: UInt64 = 0
        for cell in cellBuffer { now &+= cell.current & ~VersionCell.writerMask }
        return now != sum
    }

    package func isExpired(at now: UInt64) -> Bool {
        expiry != .max && now >= expiry
    }

    private var cellBuffer: UnsafeBufferPointer<VersionCell> {
        UnsafeBufferPointer(
            start: block.assumingMemoryBound(to: VersionCell.self), count: Int(cellCount))
    }

    /// The bytes that it is stored under. Valid while the reply is.
    var key: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: block + keyOffset, count: Int(keyLength))
    }

    private var keyOffset: Int { Int(cellCount) * MemoryLayout<VersionCell>.size }

    /// Full equality of the key; the hash only spares most comparisons.
    func matches(_ key: UnsafeRawBufferPointer, hash: UInt64) -> Bool {
        guard self.hash == hash, Int(keyLength) == key.count else { return false }
        guard let bytes = key.baseAddress else { return true }
        return memcmp(block + keyOffset, bytes, key.count) == 0
    }

    /// Heap bytes that the entry takes, without its share of the shard's tables.
    var cost: Int {
        Self.cost(blockLength: storage.capacity)
    }

    static func cost(blockLength: Int) -> Int {
        HeapCost.replyObject + HeapCost.bufferStorageObject + HeapCost.block(max(1, blockLength))
    }

    /// The length of the block that holds everything, or nil if it cannot be that long.
    static func blockLength(cells: Int, key: Int, rowDescription: Int, body: Int) -> Int? {
        let largest = CacheLimits.largestEntry
        guard cells <= largest / 8, key <= largest, rowDescription <= largest, body <= largest
        else { return nil }
        let length = cells * MemoryLayout<VersionCell>.size + key + rowDescription + body
        return length <= Int(UInt32.max) ? length : nil
    }
}

/// `ByteBufferAllocator` rounds each request up to a power of two, which would waste a quarter of
/// the cache on average. This one hands `ByteBuffer` a block of the size that was asked for.
private struct ExactSizeAllocator: Sendable {
    let buffers = ByteBufferAllocator(
        allocate: { malloc($0) },
        reallocate: { block, _, size in realloc(block, size) },
        deallocate: { free($0) },
        copy: { target, source, count in target.copyMemory(from: source, byteCount: count) })

    func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
        guard let block = malloc(bytes) else { preconditionFailure("out of memory") }
        return block
    }
}
