import NIOCore
import Testing

@testable import ResultCache

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

@Suite("Heap cost")
struct HeapCostTests {
    private typealias UsableSize = @convention(c) (UnsafeRawPointer?) -> Int

    private let usableSize: UsableSize

    init() throws {
        // Not in the C library's module map, so found by name.
        let symbol = try #require(dlsym(dlopen(nil, RTLD_NOW), "malloc_usable_size"))
        usableSize = unsafeBitCast(symbol, to: UsableSize.self)
    }

    /// What the allocator may add to a block when the rest of the place that it found is too small
    /// to be a block of its own.
    private let splinter = 16

    /// What the allocator set aside for the block at `pointer`, with its header.
    private func measured(_ pointer: UnsafeRawPointer) -> Int {
        usableSize(pointer) + 8
    }

    @Test("A block costs what the allocator really takes")
    func blocks() throws {
        for size in Array(1...600) + [1000, 4096, 10_000, 100_000, 131_000, 140_000, 1_000_000] {
            let block = try #require(malloc(size))
            defer { free(block) }
            let real = measured(block)
            #expect(HeapCost.block(size) + splinter >= real)
            #expect(HeapCost.block(size) - real < (size < 128 * 1024 ? 32 : 4112))
        }
    }

    @Test(
        "An entry costs what its objects and its block really take", arguments: [0, 1, 200, 5000])
    func entries(bodyLength: Int) throws {
        let table = CellTable()
        let cells = CellSet([
            table.cell(.schema(database: "d")), table.cell(.all(database: "d", relation: "r")),
        ])
        let lease = try #require(cells.capture())
        let reply = withBytes(of: "a key of some length") { key in
            CachedReply(
                key: key, hash: 1, rowDescription: ByteBuffer(string: "columns"),
                body: ByteBuffer(repeating: 7, count: bodyLength), lease: lease, expiry: .max,
                now: 0)
        }
        let object = UnsafeRawPointer(Unmanaged.passUnretained(reply).toOpaque())
        // The first word of a `ByteBuffer` is the reference to its storage object.
        let storage = try #require(
            withUnsafeBytes(of: reply.body) { $0.load(as: UnsafeRawPointer?.self) })
        // The block starts with the cells and the key.
        let block = try #require(reply.key.baseAddress) - 2 * MemoryLayout<VersionCell>.size

        #expect(measured(object) <= HeapCost.replyObject + splinter)
        #expect(measured(storage) <= HeapCost.bufferStorageObject + splinter)
        let real = measured(object) + measured(storage) + measured(block)
        #expect(reply.cost + 3 * splinter >= real)
        #expect(reply.cost - real <= 32)
    }

    @Test("A small entry costs at most 280 bytes beyond key and reply, tables included")
    func overhead() throws {
        let table = CellTable()
        let cells = CellSet([
            table.cell(.schema(database: "d")), table.cell(.all(database: "d", relation: "r")),
        ])
        let lease = try #require(cells.capture())
        let cache = ReplyCache(limits: CacheLimits(memory: 64 << 20, maximumEntry: 1 << 16))
        let body = String(repeating: "v", count: 200)
        for number in 0..<20_000 {
            // 64 bytes of key, 200 of value.
            let digits = String(number)
            let key = String(repeating: "k", count: 64 - digits.utf8.count) + digits
            cache.store(key, body, under: lease)
        }
        #expect(cache.statistics.entries == 20_000)
        #expect(cache.statistics.bytes / 20_000 - 264 <= 280)
    }
}
