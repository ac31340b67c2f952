/// What allocations really take from the heap, so that the memory limit counts what the operating
/// system sees and not what was asked for.
enum HeapCost {
    /// The GNU C library's rule on 64-bit systems: 8 bytes of header, rounded up to 16, at least
    /// 32; from 128 KiB on, an allocation may be a mapping of its own, in whole pages.
    /// Now and then a block is 16 bytes larger, where less than a block would have been left over;
    /// like other fragmentation, that is not counted.
    static func block(_ bytes: Int) -> Int {
        if bytes >= 128 * 1024 {
            return (bytes + 16 + 4095) & ~4095
        }
        return max(32, (bytes + 8 + 15) & ~15)
    }

    /// A `CachedReply` object. Measured; a test holds it against the allocator.
    static let replyObject = block(128)

    /// The storage object inside a `ByteBuffer`, without its bytes. Measured in the same way.
    static let bufferStorageObject = block(64)
}
